//! A kept connection that died meanwhile: what is safe is sent once more, what is not never is.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::{Raw, World, eventually};
use crate::practice::{RawBackend, Step};
use crate::support::client;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Answers one request, reads the next one on the same connection, and closes without a word,
/// as a server does whose idle connection ends just then.
fn dies_at_the_second() -> [Step; 4] {
    let ok = Step::write(OK);
    [Step::read_head(), ok, Step::read_head(), Step::Close]
}

#[tokio::test]
async fn what_does_no_harm_twice_is_sent_once_more() {
    for (method, body, repeated) in [
        (Method::GET, "", true),
        (Method::HEAD, "", true),
        (Method::OPTIONS, "", true),
        (Method::DELETE, "", true),
        (Method::PUT, "hi", true),
        (Method::POST, "", false),
        (Method::POST, "hi", false),
        (Method::PATCH, "hi", false),
    ] {
        let backend = RawBackend::start(dies_at_the_second()).await;
        let world = Raw::behind(backend, |sidecar| sidecar).await;
        assert_eq!(world.sidecar.get("/").await.status, 200);
        let request = client::request(method.clone(), "/again", body);
        let answer = world.sidecar.send(request).await;
        let sent = world.reached().matches("/again HTTP/1.1").count();
        if repeated {
            assert_eq!((answer.status.as_u16(), sent), (200, 2), "{method} {body}");
        } else {
            assert_eq!((answer.status.as_u16(), sent), (502, 1), "{method} {body}");
            assert_eq!(answer.json()["error"], "upstream_closed");
        }
    }
}

/// Where one kept connection is dead the others may be too, so the second try is a new one.
#[tokio::test]
async fn the_second_try_takes_a_new_connection() {
    let pause = Step::Pause(Duration::from_millis(300));
    let ok = || Step::write(OK);
    let steps = [
        Step::read_head(),
        pause,
        ok(),
        Step::read_head(),
        Step::Close,
    ];
    let backend = RawBackend::start(steps).await;
    let world = Raw::behind(backend, |sidecar| sidecar).await;
    let (mut one, mut other) = (world.sidecar.connect().await, world.sidecar.connect().await);
    let (one, other) = tokio::join!(one.get("/"), other.get("/"));
    assert_eq!(
        (one.unwrap().status, other.unwrap().status),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(world.backend.received().len(), 2);
    assert_eq!(world.sidecar.get("/").await.status, 200);
    assert_eq!(world.backend.received().len(), 3);
}

#[tokio::test]
async fn a_first_connection_that_dies_is_not_tried_again() {
    let backend = RawBackend::start([Step::read_head(), Step::Close]).await;
    let world = Raw::behind(backend, |sidecar| sidecar).await;
    assert_eq!(world.sidecar.get("/").await.status, 502);
    assert_eq!(world.backend.received().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_gone_cannot_be_sent_again() {
    let large = "x".repeat(100_000);
    let steps = [
        Step::read_head(),
        Step::write(OK),
        Step::read_head(),
        Step::Read(large.len()),
        Step::Close,
    ];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    let request = client::request(Method::PUT, "/again", Bytes::from(large));
    assert_eq!(world.sidecar.send(request).await.status, 502);
    assert_eq!(world.reached().matches("/again").count(), 1);
}

/// Nothing was written on a connection that is known to be dead, so every method is safe.
#[tokio::test]
async fn what_was_not_sent_goes_out_on_another_connection() {
    let steps = [Step::read_head(), Step::write(OK), Step::Close];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    for _ in 0..5 {
        let answer = world.sidecar.send(client::post("/", "")).await;
        assert_eq!(answer.status, 200);
        eventually(&world.sidecar, "bearward_upstream_connections", 0.0).await;
    }
    assert_eq!(world.backend.received().len(), 5);
    assert_eq!(world.reached().matches("POST").count(), 5);
}

#[tokio::test]
async fn an_upstream_that_restarts_costs_no_idempotent_call() {
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        let mut connection = world.sidecar.connect().await;
        for _ in 0..5 {
            assert_eq!(connection.get("/").await.unwrap().status, 200);
            world.api.go_down().await;
            world.api.come_back().await.unwrap();
            assert_eq!(connection.get("/").await.unwrap().status, 200, "{http}");
        }
    }
}
