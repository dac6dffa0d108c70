//! Bearward at work, on loopback: `cargo run --release --example demo`.
//!
//! Starts a practice authorization server that rotates refresh tokens, detects reuse and gives
//! access tokens of five seconds; a practice API that demands them; and Bearward in between.
//! Then it calls the API once a second through Bearward, as a legacy service would, and tells
//! what happens behind that service's back. Ctrl-C ends it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a program for people to read and watch; it shares the tests' practice servers"
)]

#[path = "../practice/mod.rs"]
mod practice;

use std::time::Duration;

use bearward::app::App;
use bearward::config::Config;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use practice::{Api, Issuer, Outcome};
use tokio::time::{Instant, interval};

/// How long an access token lives here.
const LIFETIME: Duration = Duration::from_secs(5);

/// Every how many calls the API takes a dislike to the token in use.
const DISLIKE_EVERY: u64 = 8;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        tokio::select! {
            () = demo() => {}
            _ = tokio::signal::ctrl_c() => println!("\nCtrl-C: the demo ends."),
        }
    });
}

async fn demo() {
    let issuer = Issuer::builder().lifetime(LIFETIME).start().await;
    let api = Api::start(&issuer).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = configuration(&issuer, &api, folder.path());
    let file = folder.path().join("demo.toml");
    std::fs::write(&file, &config).expect("the configuration is written");
    let config = Config::parse(&config, "demo.toml").expect("the demo's configuration");
    let app = App::start(config).await.expect("Bearward starts");
    let (proxy, admin) = (
        app.proxy_address().to_string(),
        app.admin_address().to_string(),
    );
    println!("authorization server  {}", issuer.url());
    println!("API                   {}", api.url());
    println!("Bearward              http://{proxy}  (admin http://{admin})\n");
    println!("Try, while this runs: the call needs no credential, Bearward puts it on.\n");
    println!("    curl -i http://{proxy}/orders");
    println!("    curl -s http://{admin}/status");
    println!("    curl -s http://{admin}/metrics | grep bearward_grant\n");
    println!("And give it another grant, as a person does; it takes it at once:\n");
    println!(
        "    cargo run --release -- login demo --config {}\n",
        file.display()
    );
    watch(&issuer, &api, &proxy).await;
}

fn configuration(issuer: &Issuer, api: &Api, folder: &std::path::Path) -> String {
    let seed = folder.join("refresh-token");
    let secret = folder.join("client-secret");
    std::fs::write(&seed, issuer.refresh_token()).expect("the seed is written");
    std::fs::write(&secret, issuer.client_secret().unwrap_or_default()).expect("the secret too");
    format!(
        r#"
        [proxy]
        listen = "127.0.0.1:0"
        [admin]
        listen = "127.0.0.1:{admin}"
        actions = true
        [grant.demo]
        issuer = "{issuer}"
        client_id = "{client}"
        client_secret = {{ file = "{secret}" }}
        scope = ["offline_access", "crm.read"]
        renew_floor = "0s"
        seed.refresh_token = {{ file = "{seed}" }}
        [grant.demo.store.file]
        path = "{store}"
        [[route]]
        grant = "demo"
        upstream = "{api}"
        "#,
        admin = free_port(),
        issuer = issuer.url(),
        client = issuer.client_id(),
        secret = secret.display(),
        seed = seed.display(),
        store = folder.join("grants/demo.grant").display(),
        api = api.url(),
    )
}

/// A port that nobody uses now: `bearward login` must find it in the file.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Calls the API through Bearward once a second and tells what else happened meanwhile.
async fn watch(issuer: &Issuer, api: &Api, proxy: &str) {
    let start = Instant::now();
    let mut seconds = interval(Duration::from_secs(1));
    let (mut refreshes, mut calls) = (0, 0_u64);
    loop {
        seconds.tick().await;
        calls += 1;
        let disliked = calls
            .is_multiple_of(DISLIKE_EVERY)
            .then(|| issuer.last_access_token())
            .flatten();
        if let Some(token) = &disliked {
            api.reject(token);
        }
        let before = api.requests().len();
        let status = call(proxy).await;
        let tries = api.requests().len() - before;
        let clock = start.elapsed().as_secs();
        for request in issuer.requests().all().iter().skip(refreshes) {
            println!("{clock:>4}s  token endpoint  {}", told(request.outcome));
        }
        refreshes = issuer.requests().len();
        if disliked.is_some() {
            println!("{clock:>4}s  API             401 to the token in use, from now on");
            if tries > 1 {
                println!(
                    "{clock:>4}s  Bearward        a new token and the call once more: {tries} tries, 1 answer"
                );
            }
        }
        println!("{clock:>4}s  the service     GET /orders → {status}");
    }
}

fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refreshed => "refreshed, the refresh token rotated",
        Outcome::Enrolled => "a person gave a grant",
        Outcome::Unenrolled => "no person has answered yet",
        Outcome::Reused | Outcome::Replayed => {
            "a spent refresh token came again: this must never happen"
        }
        _ => "refused",
    }
}

/// What the legacy service does: plain HTTP, no credential.
async fn call(proxy: &str) -> StatusCode {
    let stream = tokio::net::TcpStream::connect(proxy)
        .await
        .expect("Bearward accepts");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/1.1");
    tokio::spawn(connection);
    let request = Request::get("/orders")
        .header("host", proxy)
        .body(Empty::<bytes::Bytes>::new());
    let answer = sender
        .send_request(request.expect("a request"))
        .await
        .expect("an answer");
    let status = answer.status();
    answer.into_body().collect().await.expect("its body");
    status
}
