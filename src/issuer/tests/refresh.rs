//! One refresh, whatever the server does with it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::server::{Clients, Server, Turn, answer, certified};
use super::{TOKENS, attempt, failure, issuer, refresh_token};
use crate::issuer::{Issuer, LEASE_LOST, NotAfter, SetupError};
use crate::oauth::{Answer, Class};

#[tokio::test]
async fn a_refresh_is_one_request_on_one_connection() {
    let server = Server::start([Turn::SayAndHang(answer("200 OK", TOKENS))]).await;
    let issuer = issuer(&json!({ "token_endpoint": server.url("/token?a=b") }));
    let before = Timestamp::now();
    let attempt = issuer.refresh(&refresh_token(), None).await;
    let Answer::Success(tokens) = attempt.answer else {
        panic!("{:?}", attempt.answer);
    };
    assert_eq!(tokens.refresh_token.unwrap().expose(), "RT2");
    assert!(before <= attempt.sent_at && attempt.sent_at <= Timestamp::now());
    assert!(attempt.took < Duration::from_secs(5));
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    let (start, body) = heard[0].split_once("\r\n\r\n").unwrap();
    assert!(start.starts_with("POST /token?a=b HTTP/1.1\r\n"), "{start}");
    assert!(start.contains("connection: close"), "{start}");
    assert!(
        start.contains(&format!("host: {}", server.address)),
        "{start}"
    );
    assert_eq!(
        body,
        "grant_type=refresh_token&refresh_token=RT1-word&client_id=app"
    );
}

#[tokio::test]
async fn an_answer_is_taken_in_every_framing() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{TOKENS}\r\n0\r\nx-trailer: 1\r\n\r\n",
        TOKENS.len()
    );
    let (half, rest) = TOKENS.split_at(20);
    for turn in [
        Turn::Say(chunked),
        Turn::Say(format!("HTTP/1.0 200 OK\r\n\r\n{TOKENS}")),
        Turn::Say(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{half}{rest}"
        )),
        Turn::Say(format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{}",
            answer("201 Created", TOKENS)
        )),
        Turn::Drip(answer("200 OK", TOKENS)),
        // Short of what its head promised, but whole by its own account.
        Turn::Say(
            answer("200 OK", &format!("{TOKENS}    "))
                .trim_end()
                .to_owned(),
        ),
    ] {
        let attempt = attempt(turn, &json!({})).await;
        assert!(
            matches!(attempt.answer, Answer::Success(_)),
            "{:?}",
            attempt.answer
        );
    }
}

#[tokio::test]
async fn whatever_fails_after_sending_is_ambiguous() {
    let short = json!({ "token_timeout": "300ms" });
    let cut = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{body}");
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"access_tok";
    for (turn, code) in [
        (Turn::Say(String::new()), "cut"),
        (Turn::Reset, "cut"),
        (
            Turn::Say(String::from("HTTP/1.1 200 OK\r\nContent-Le")),
            "cut",
        ),
        (Turn::Say(cut("")), "cut"),
        (Turn::Say(cut(r#"{"access_token":"AT2","refre"#)), "cut"),
        (Turn::Say(chunk.to_owned()), "cut"),
        (Turn::Say(chunk.replace("10\r\n", "zz\r\n")), "cut"),
        (Turn::SayAndHang(String::new()), "timeout"),
        (
            Turn::SayAndHang(String::from("HTTP/1.1 200 OK\r\n")),
            "timeout",
        ),
        (
            Turn::SayAndHang(cut(r#"{"access_token":"AT2","#)),
            "timeout",
        ),
        (
            Turn::SayAndHang(String::from("HTTP/1.1 102 Processing\r\n\r\n")),
            "timeout",
        ),
        (
            Turn::Say(String::from("220 mail.example ESMTP\r\n")),
            "not_http",
        ),
        (
            Turn::Say(format!(
                "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
                "y".repeat(1_000_000)
            )),
            "not_http",
        ),
        (
            Turn::Say(answer("200 OK", &"x".repeat(2 << 20))),
            "too_large",
        ),
        (Turn::Say(answer("502 Bad Gateway", "")), "http_502"),
        (Turn::Say(answer("200 OK", "")), "empty"),
    ] {
        let attempt = attempt(turn, &short).await;
        let failure = failure(&attempt);
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (Class::Ambiguous, code)
        );
    }
}

#[tokio::test]
async fn a_rotation_that_came_before_the_cut_is_kept() {
    let body = r#"{"refresh_token":"RT2","access_token":"A"#;
    let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{body}");
    for (turn, code) in [
        (Turn::Say(cut.clone()), "cut"),
        (Turn::SayAndHang(cut), "timeout"),
    ] {
        let attempt = attempt(turn, &json!({ "token_timeout": "300ms" })).await;
        let failure = failure(&attempt);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Later, code));
        assert_eq!(failure.rotated.as_ref().unwrap().expose(), "RT2");
    }
}

#[tokio::test]
async fn what_answers_is_classified_and_never_followed() {
    let elsewhere = Server::start([Turn::Say(answer("200 OK", TOKENS))]).await;
    let location = elsewhere.url("/token");
    for (text, class, code) in [
        (
            format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            ),
            Class::Later,
            "redirect",
        ),
        (
            String::from(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            ),
            Class::Later,
            "html",
        ),
        (answer("429 Slow", "{}"), Class::Later, "http_429"),
        (
            answer("400 Bad", r#"{"error":"invalid_grant"}"#),
            Class::Dead,
            "invalid_grant",
        ),
        (
            answer("400 Bad", r#"{"error":"word_RT1-word"}"#),
            Class::Unknown,
            "unnamed_error",
        ),
        (
            answer("400 Bad", r#"{"error":"word"}"#),
            Class::Unknown,
            "unnamed_error",
        ),
    ] {
        let attempt = attempt(Turn::Say(text), &json!({})).await;
        let failure = failure(&attempt);
        assert_eq!((failure.class, failure.code.as_str()), (class, code));
    }
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn whatever_fails_before_sending_is_for_later() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/token", free.local_addr().unwrap());
    drop(free);
    for (endpoint, code) in [
        (nobody.as_str(), "connect_refused"),
        ("http://127.0.0.1.invalid:1/token", "dns_failed"),
    ] {
        let issuer = issuer(&json!({ "token_endpoint": endpoint, "allow_plaintext": true }));
        let attempt = issuer.refresh(&refresh_token(), None).await;
        let failure = failure(&attempt);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Later, code));
    }
}

#[tokio::test]
async fn a_connection_closed_at_once_is_never_a_hang() {
    // Whether the request had left by then is the system's secret, so either class is right.
    let attempt = attempt(Turn::Close, &json!({})).await;
    let failure = failure(&attempt);
    let seen = (failure.class, failure.code.as_str());
    let fine = [
        (Class::Later, "connection_closed"),
        (Class::Ambiguous, "cut"),
    ];
    assert!(fine.contains(&seen), "{seen:?}");
    assert!(attempt.took < Duration::from_secs(4));
}

#[tokio::test]
async fn secrets_are_read_for_each_call() {
    let server = Server::start([Turn::Say(answer("200 OK", TOKENS))]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let issuer = issuer(&json!({
        "token_endpoint": server.url("/"), "client_auth": "client_secret_post",
        "client_secret": { "file": path }, "token_headers": { "x-id": "${uuid}" },
    }));
    let attempt = issuer.refresh(&refresh_token(), None).await;
    let seen = failure(&attempt);
    assert_eq!(
        (seen.class, seen.code.as_str()),
        (Class::ClientBroken, "secret_unreadable")
    );
    assert!(server.heard().is_empty());
    for secret in ["one", "two"] {
        std::fs::write(&path, secret).unwrap();
        let attempt = issuer.refresh(&refresh_token(), None).await;
        assert!(matches!(attempt.answer, Answer::Success(_)));
    }
    let heard = server.heard();
    assert!(heard[0].ends_with("client_secret=one") && heard[1].ends_with("client_secret=two"));
}

#[tokio::test]
async fn a_secret_that_is_not_used_need_not_be_there() {
    let keys = json!({ "client_auth": "none", "client_secret": { "file": "/nowhere/secret" } });
    let attempt = attempt(Turn::Say(answer("200 OK", TOKENS)), &keys).await;
    assert!(matches!(attempt.answer, Answer::Success(_)));
}

#[tokio::test]
async fn a_section_without_an_endpoint_is_refused() {
    let grant = json!({ "client_id": "app", "store": { "file": { "path": "/nowhere" } } });
    let grant = serde_json::from_value(grant).unwrap();
    assert!(matches!(Issuer::new(&grant), Err(SetupError::NoEndpoint)));
}

#[tokio::test]
async fn tls_proves_the_server_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ca) = certified(folder.path(), Clients::Unknown);
    let server = Server::secured(vec![Turn::Say(answer("200 OK", TOKENS))], acceptor).await;
    let port = server.address.port();
    for (host, tls, code) in [
        (
            "localhost",
            json!({ "ca": ca, "system_roots": false }),
            None,
        ),
        (
            "127.0.0.1",
            json!({ "ca": ca, "system_roots": false, "server_name": "localhost" }),
            None,
        ),
        (
            "127.0.0.1",
            json!({ "ca": ca, "system_roots": false }),
            Some("tls_failed"),
        ),
        ("localhost", json!({}), Some("tls_failed")),
    ] {
        let endpoint = format!("https://{host}:{port}/token");
        let issuer = issuer(&json!({ "token_endpoint": endpoint, "tls": tls }));
        let attempt = issuer.refresh(&refresh_token(), None).await;
        match (&attempt.answer, code) {
            (Answer::Success(_), None) => {}
            (Answer::Failed(failure), Some(code)) => {
                assert_eq!((failure.class, failure.code.as_str()), (Class::Later, code));
            }
            (answer, _) => panic!("{host} {tls}: {answer:?}"),
        }
    }
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn a_client_that_tls_turns_away_has_spent_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ca) = certified(folder.path(), Clients::Certified);
    let server = Server::secured(vec![Turn::Close], acceptor).await;
    let endpoint = format!("https://localhost:{}/token", server.address.port());
    let tls = json!({ "ca": ca, "system_roots": false });
    let issuer = issuer(&json!({ "token_endpoint": endpoint, "tls": tls }));
    let attempt = issuer.refresh(&refresh_token(), None).await;
    let failure = failure(&attempt);
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Later, "tls_failed")
    );
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn what_may_not_be_sent_any_more_is_not_sent() {
    let second = Duration::from_secs(1);
    let (mono, wall) = (Instant::now(), Timestamp::now());
    for (mono, wall, sent) in [
        (mono + 60 * second, wall + 60 * second, true),
        (mono - second, wall + 60 * second, false),
        (mono + 60 * second, wall - second, false),
    ] {
        let server = Server::start([Turn::Say(answer("200 OK", TOKENS))]).await;
        let issuer = issuer(&json!({ "token_endpoint": server.url("/") }));
        let last = NotAfter { mono, wall };
        let attempt = issuer.refresh(&refresh_token(), Some(last)).await;
        assert_eq!(server.heard().len(), usize::from(sent));
        if !sent {
            let failure = failure(&attempt);
            assert_eq!(
                (failure.class, failure.code.as_str()),
                (Class::Later, LEASE_LOST)
            );
        }
    }
}

#[tokio::test]
async fn a_refresh_can_run_in_a_task_of_its_own() {
    let server = Server::start([Turn::Say(answer("200 OK", TOKENS))]).await;
    let issuer = issuer(&json!({ "token_endpoint": server.url("/") }));
    let task = tokio::spawn(async move { issuer.refresh(&refresh_token(), None).await });
    assert!(matches!(task.await.unwrap().answer, Answer::Success(_)));
}

#[test]
fn errors_and_debug_show_no_secret() {
    let issuer = issuer(&json!({
        "token_endpoint": "https://as.example/t", "client_secret": { "env": "BEARWARD_TEST_UNSET" },
    }));
    let shown = format!("{issuer:?}");
    assert!(
        shown.contains("as.example") && !shown.contains("UNSET"),
        "{shown}"
    );
}
