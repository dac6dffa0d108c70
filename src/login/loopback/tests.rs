//! The redirection endpoint, asked as a browser asks and as others would.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::login::page::Failed;

/// Sends `head` over a connection of its own and reads the answer to its end.
async fn ask(port: u16, head: &str) -> String {
    let mut stream = TcpStream::connect((HOST, port)).await.unwrap();
    let head = head.replace("PORT", &port.to_string());
    let head = format!("{head}\r\nconnection: close\r\n\r\n").replace('\n', "\r\n");
    let head = head.replace("\r\r", "\r");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const HOST: &str = "127.0.0.1";

async fn get(port: u16, target: &str) -> String {
    ask(
        port,
        &format!("GET {target} HTTP/1.1\nhost: 127.0.0.1:PORT"),
    )
    .await
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let mut lines = answer.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no `{name}` in: {answer}"))
}

fn port(loopback: &Loopback) -> u16 {
    let uri: Url = loopback.redirect_uri().parse().unwrap();
    uri.port()
}

fn failed(what: &str) -> Ending {
    Ending::Failed(Failed {
        grant: String::from("crm"),
        server: String::from("login.example.com"),
        what: what.to_owned(),
        remedy: None,
    })
}

/// A browser that comes back with `query`, until it has its page.
fn browser(port: u16, query: &str) -> tokio::task::JoinHandle<String> {
    let target = format!("/callback?{query}");
    tokio::spawn(async move {
        let sent_on = get(port, &target).await;
        assert_eq!(status(&sent_on), 303, "{sent_on}");
        get(port, field(&sent_on, "location")).await
    })
}

#[tokio::test]
async fn a_return_is_handed_over_and_its_page_held_until_the_ending() {
    let mut loopback = Loopback::bind(None).unwrap();
    let port = port(&loopback);
    assert_eq!(
        loopback.redirect_uri(),
        format!("http://127.0.0.1:{port}/callback")
    );
    let sent_on = get(port, "/callback?code=abc%20d&state=x").await;
    assert_eq!(status(&sent_on), 303);
    let page = field(&sent_on, "location").to_owned();
    assert!(
        page.starts_with("/done/") && !page.contains("abc"),
        "{page}"
    );
    assert_eq!(field(&sent_on, "referrer-policy"), "no-referrer");
    assert_eq!(field(&sent_on, "cache-control"), "no-store");

    let returned = loopback.returned().await;
    assert_eq!(returned.query().expose(), "code=abc%20d&state=x");
    assert!(!format!("{returned:?}").contains("abc"));
    let held = {
        let page = page.clone();
        tokio::spawn(async move { get(port, &page).await })
    };
    tokio::task::yield_now().await;
    assert!(!held.is_finished());
    // The same query again, by a second tab or an impatient finger, leads to the same page.
    let again = get(port, "/callback?code=abc%20d&state=x").await;
    assert_eq!(field(&again, "location"), page);

    returned.answer(&failed("It was denied."));
    let answer = held.await.unwrap();
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("It was denied."));
    assert_eq!(field(&answer, "content-type"), "text/html; charset=utf-8");
    assert_eq!(field(&answer, "x-content-type-options"), "nosniff");
    assert!(field(&answer, "content-security-policy").contains("style-src 'sha256-"));
    assert!(
        get(port, &page).await.contains("It was denied."),
        "loaded again"
    );

    let began = Instant::now();
    loopback.close().await;
    assert!(began.elapsed() < FAREWELL, "everything was fetched");
    assert!(TcpStream::connect((HOST, port)).await.is_err());
}

#[tokio::test]
async fn only_a_persons_own_visit_counts() {
    let get = "GET /callback?code=c&state=s HTTP/1.1\n";
    let own = "host: 127.0.0.1:PORT";
    let cases = [
        // Another host's name for this address (DNS rebinding), or none, or two.
        (get, "host: evil.example:PORT", 421),
        (get, "host: 127.0.0.1", 421),
        (get, "host: 127.0.0.1:1", 421),
        (get, "host: localhost.evil.example:PORT", 421),
        (get, "host: user@evil.example:PORT", 421),
        (get, "x-no-host: 1", 421),
        (get, "host: 127.0.0.1:PORT\nhost: 127.0.0.1:PORT", 421),
        (
            "GET http://evil.example/callback?code=c HTTP/1.1\n",
            own,
            421,
        ),
        ("HEAD /callback?code=c&state=s HTTP/1.1\n", own, 405),
        ("POST /callback?code=c&state=s HTTP/1.1\n", own, 405),
        ("OPTIONS /callback?code=c&state=s HTTP/1.1\n", own, 405),
        ("GET /callback HTTP/1.1\n", own, 404),
        ("GET /callback?coded=c HTTP/1.1\n", own, 404),
        ("GET /callback/?code=c HTTP/1.1\n", own, 404),
        ("GET /favicon.ico HTTP/1.1\n", own, 404),
        ("GET /done/ HTTP/1.1\n", own, 404),
        ("GET /done/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\n", own, 404),
        (get, "host: 127.0.0.1:PORT\nsec-purpose: prefetch", 503),
        (
            get,
            "host: 127.0.0.1:PORT\nsec-purpose: prefetch;prerender",
            503,
        ),
        (get, "host: 127.0.0.1:PORT\npurpose: Prefetch", 503),
        (get, "host: 127.0.0.1:PORT\nsec-fetch-dest: image", 403),
        (get, "host: 127.0.0.1:PORT\nsec-fetch-dest: iframe", 403),
        (get, "host: 127.0.0.1:PORT\nsec-fetch-dest: empty", 403),
    ];
    let mut loopback = Loopback::bind(None).unwrap();
    let port = port(&loopback);
    for (line, fields, expected) in cases {
        let answer = ask(port, &format!("{line}{fields}")).await;
        assert_eq!(status(&answer), expected, "{line}{fields}: {answer}");
        assert!(!answer.contains("location:"), "{answer}");
    }
    // Then each that does count; the first of them is the first that was handed over.
    let by_name = [
        ("host: localhost:PORT", "error=access_denied"),
        ("host: [::1]:PORT", "state=s"),
        ("host: LOCALHOST:PORT\nsec-fetch-dest: document", "code=c"),
    ];
    for (fields, query) in by_name {
        let answer = ask(port, &format!("GET /callback?{query} HTTP/1.1\n{fields}")).await;
        assert_eq!(status(&answer), 303, "{fields}");
        assert_eq!(loopback.returned().await.query().expose(), query);
    }
}

#[tokio::test]
async fn a_strangers_answer_is_refused_and_waiting_goes_on() {
    let mut loopback = Loopback::bind(None).unwrap();
    let port = port(&loopback);
    let stranger = browser(port, "code=forged&state=guessed");
    loopback.returned().await.answer(&failed("It is not ours."));
    assert!(stranger.await.unwrap().contains("It is not ours."));
    let person = browser(port, "code=real&state=s");
    let returned = loopback.returned().await;
    assert_eq!(returned.query().expose(), "code=real&state=s");
    // The ending is told before the browser comes for it, which is waited for.
    returned.answer(&failed("It is ours."));
    loopback.close().await;
    assert!(person.await.unwrap().contains("It is ours."));
}

#[tokio::test]
async fn who_is_never_answered_is_told_so() {
    let mut loopback = Loopback::bind(None).unwrap();
    let dropped = browser(port(&loopback), "state=1");
    drop(loopback.returned().await);
    assert_eq!(status(&dropped.await.unwrap()), 410);
}

#[tokio::test]
async fn everything_has_a_limit() {
    let loopback = Loopback::bind(None).unwrap();
    let port = port(&loopback);
    let large = format!("/callback?code={}", "x".repeat(HEAD.len()));
    assert!(matches!(status(&get(port, &large).await), 414 | 431));
    for visit in 0..WAITING {
        let answer = get(port, &format!("/callback?state={visit}")).await;
        assert_eq!(status(&answer), 303);
    }
    assert_eq!(status(&get(port, "/callback?state=more").await), 503);
}

#[test]
fn those_whose_page_was_fetched_make_room_for_others() {
    let slots = Slots::default();
    let fill = |from: usize| (from..99).take_while(|n| slots.remember(&slot(*n))).count();
    let most = fill(0);
    assert!(most > WAITING);
    slots.with_query("3").unwrap().abandon();
    assert!(slots.remember(&slot(most)));
    assert!(slots.with_query("3").is_none());
    assert!(slots.with_query("0").is_some());
    assert!(!slots.remember(&slot(most + 1)));
}

fn slot(number: usize) -> Arc<Slot> {
    Arc::new(Slot::new(number.to_string()))
}

#[tokio::test(start_paused = true)]
async fn an_ending_that_nobody_fetches_is_not_waited_for_long() {
    let loopback = Loopback::bind(None).unwrap();
    let given = slot(1);
    assert!(loopback.slots.remember(&given));
    assert!(loopback.slots.remember(&slot(2)), "one that nobody answers");
    given.give(page::html(&failed("Nobody looks.")));
    let began = Instant::now();
    loopback.close().await;
    let took = began.elapsed();
    assert!((FAREWELL..FAREWELL + Duration::from_millis(50)).contains(&took));
}

#[tokio::test]
async fn a_configured_address_is_kept_as_it_stands() {
    // Nobody else in this run listens on this address.
    let free = TcpListener::bind("127.8.2.5:0").unwrap().local_addr();
    let fixed = format!("http://{}/sign%2Din?tenant=a", free.unwrap());
    let mut loopback = Loopback::bind(Some(&fixed.parse().unwrap())).unwrap();
    assert_eq!(loopback.redirect_uri(), fixed);
    let address: SocketAddr = fixed[7..].split('/').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /sign%2Din?tenant=a&code=c HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(
        loopback.returned().await.query().expose(),
        "tenant=a&code=c"
    );

    let taken = Loopback::bind(Some(&fixed.parse().unwrap())).unwrap_err();
    let port = address.port();
    assert_eq!(
        taken.to_string(),
        format!("port {port} of the `redirect_uri` is taken")
    );
    assert!(taken.hint().contains("another port") && taken.source().is_some());
}

#[tokio::test]
async fn localhost_is_both_of_its_addresses() {
    let loopback = Loopback::bind(Some(&"http://localhost/cb".parse().unwrap())).unwrap();
    let port = port(&loopback);
    assert_eq!(
        loopback.redirect_uri(),
        format!("http://localhost:{port}/cb")
    );
    assert!(TcpStream::connect((HOST, port)).await.is_ok());
    if TcpListener::bind("[::1]:0").is_ok() {
        assert!(TcpStream::connect(("::1", port)).await.is_ok());
        let six = Loopback::bind(Some(&"http://[::1]".parse().unwrap())).unwrap();
        assert!(six.redirect_uri().starts_with("http://[::1]:"));
        assert!(six.redirect_uri().ends_with('/'));
    }
}

#[tokio::test]
async fn only_loopback_can_be_come_back_to() {
    let elsewhere = [
        "https://localhost:8443/cb",
        "http://192.0.2.7:8080/cb",
        "http://app.example.com/cb",
        "http://localhost.example.com/cb",
    ];
    for url in elsewhere {
        let refused = Loopback::bind(Some(&url.parse().unwrap())).unwrap_err();
        assert!(refused.to_string().contains(url), "{refused}");
        assert!(refused.hint().contains("--paste"));
    }
}
