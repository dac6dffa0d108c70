//! Streams that outlive their token: they run on, unless the route says how old they may become.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Raw, World, both, eventually, head_of, settled, status};
use crate::practice::{RawBackend, Reply, Step};
use crate::support::client::{self, PATIENCE};

const ASK: &str =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn what_runs_when_its_token_ends_runs_on() {
    let world = World::new().await;
    world
        .api
        .on("/events", Reply::events(12, Duration::from_millis(100)));
    for mut connection in both(&world.sidecar).await {
        let mut events = connection.open(client::get("/events")).await.unwrap();
        events.body_mut().frame().await.unwrap().unwrap();
        let old = world.issuer.access_token().unwrap();
        world.api.reject(&old);
        assert_eq!(world.sidecar.get("/").await.status, 200);
        assert_ne!(world.issuer.access_token().unwrap(), old);
        let rest = events.into_body().collect().await.unwrap().to_bytes();
        assert!(rest.ends_with(b"data: 12\n\n"), "{rest:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_at_its_greatest_age_as_its_format_allows() {
    let age = "max_stream_age = '400ms'";
    let world = World::with(|s| s.route(&format!("{age}\nhttp = 'http2'"))).await;
    let endless = |kind: &str| {
        let pieces = Reply::pieces(["data: x\n\n"; 1000], Duration::from_millis(20));
        pieces.header("content-type", kind)
    };
    world.api.on("/events", endless("text/event-stream"));
    world
        .api
        .on("/download", endless("application/octet-stream"));
    world.api.on("/chat.Chat/Talk", endless("application/grpc"));
    for mut connection in both(&world.sidecar).await {
        let start = Instant::now();
        let answer = connection.get("/events").await.expect("a good end");
        let took = start.elapsed();
        assert!(answer.text().ends_with("data: x\n\n"));
        assert!(took >= Duration::from_millis(390), "{took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        // The connection of the caller is as good as before.
        assert_eq!(connection.get("/").await.unwrap().status, 200);
        let cut = connection.get("/download").await;
        assert!(cut.is_err(), "never a short success: {cut:?}");
    }
    let mut connection = world.sidecar.connect_http2().await;
    let answer = connection.get("/chat.Chat/Talk").await.unwrap();
    let trailers = answer.trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "14");
    // What ends in time is none of its business.
    world.api.on(
        "/short",
        Reply::pieces(["a", "b"], Duration::from_millis(50)),
    );
    assert_eq!(connection.get("/short").await.unwrap().text(), "ab");
    settled(&world.sidecar).await;
    let arrived = world.api.requests().len();
    assert_eq!(arrived, 8, "each asked once");
}

#[tokio::test]
async fn a_tunnel_ends_at_its_greatest_age_and_both_sides_are_told() {
    let steps = [Step::read_head(), Step::write(SWITCH), Step::Echo];
    let backend = RawBackend::start(steps).await;
    let world = Raw::behind(backend, |s| s.route("max_stream_age = '400ms'")).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(ASK.as_bytes()).await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 101);
    let start = Instant::now();
    wire.write_all(b"ping.").await.unwrap();
    let mut text = String::new();
    let read = wire.read_to_string(&mut text);
    // Ended, not reset.
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(text, "ping.");
    assert!(start.elapsed() >= Duration::from_millis(300));
    eventually(&world.sidecar, "bearward_upstream_connections", 0.0).await;
}

#[tokio::test]
async fn a_tunnel_without_a_limit_outlives_its_token() {
    let steps = [Step::read_head(), Step::write(SWITCH), Step::Echo];
    let backend = RawBackend::start(steps).await;
    let world = Raw::behind(backend, |s| s.grant("renew_floor = '0s'")).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(ASK.as_bytes()).await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 101);
    world
        .issuer
        .revoke_access(&world.issuer.access_token().unwrap());
    for _ in 0..3 {
        wire.write_all(b"ping.").await.unwrap();
        assert_eq!(wire.until(b".").await, b"ping.");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
