//! The metrics tell the truth about what went through.

use std::time::Duration;

use http_body_util::BodyExt;

use super::{World, settled};
use crate::practice::Reply;
use crate::support::client;

#[tokio::test]
async fn answers_are_counted_by_route_code_and_reason() {
    let world = World::with(|sidecar| {
        sidecar.config("proxy.max_body = '100B'\n[[route]]\npath = '/down'\ngrant = 'crm'\nupstream = 'http://127.0.0.1:9'\nhost = 'down'")
    })
    .await;
    world.api.on("/moved", Reply::redirect(302, "/"));
    world.api.on("/missing", Reply::status(404));
    world.api.on("/broken", Reply::status(500));
    for path in ["/", "/", "/moved", "/missing", "/broken"] {
        world.sidecar.get(path).await;
    }
    world.sidecar.send(client::post("/", "x".repeat(200))).await;
    world
        .sidecar
        .send(client::request(http::Method::TRACE, "/", ""))
        .await;
    let mut nowhere = client::get("/down");
    nowhere
        .headers_mut()
        .insert("host", "down".parse().unwrap());
    world.sidecar.send(nowhere).await;
    let metrics = world.sidecar.metrics().await;
    for (route, code, reason, count) in [
        ("/", "2xx", "forwarded", 2.0),
        ("/", "3xx", "forwarded", 1.0),
        ("/", "4xx", "forwarded", 1.0),
        ("/", "5xx", "forwarded", 1.0),
        ("/", "4xx", "body_too_large", 1.0),
        ("none", "4xx", "method_refused", 1.0),
        ("down/down", "5xx", "connect_refused", 1.0),
    ] {
        let labels = [("route", route), ("code", code), ("reason", reason)];
        let counted = metrics.sum("bearward_requests_total", &labels);
        assert_eq!(counted, count, "{labels:?}");
    }
    let all = metrics.sum("bearward_requests_total", &[]);
    assert_eq!(all, 8.0);
    let durations = metrics.sum("bearward_request_duration_seconds_count", &[]);
    assert_eq!(durations, 7.0, "each that found a route");
    let failures = [("route", "down/down"), ("reason", "connect_refused")];
    let failures = metrics.sum("bearward_upstream_connection_failures_total", &failures);
    assert_eq!(failures, 1.0);
}

#[tokio::test]
async fn bytes_of_both_directions_are_counted() {
    let world = World::new().await;
    world.api.on("/echo", Reply::echo());
    for (body, kind) in [(1000, "http1"), (70_000, "http1"), (1000, "http2")] {
        let mut connection = match kind {
            "http1" => world.sidecar.connect().await,
            _ => world.sidecar.connect_http2().await,
        };
        let request = client::post("/echo", "x".repeat(body));
        assert_eq!(connection.send(request).await.unwrap().body.len(), body);
    }
    // Sent twice upstream, and counted once: it came once.
    let token = world.issuer.access_token().unwrap();
    world.api.reject_with(&token, Reply::status(401));
    let answer = world
        .sidecar
        .send(client::post("/echo", "x".repeat(500)))
        .await;
    assert_eq!(answer.body.len(), 500);
    settled(&world.sidecar).await;
    let metrics = world.sidecar.metrics().await;
    for name in [
        "bearward_request_body_bytes_total",
        "bearward_response_body_bytes_total",
    ] {
        assert_eq!(metrics.sum(name, &[("route", "/")]), 72_500.0, "{name}");
    }
    assert_eq!(metrics.sum("bearward_replays_total", &[]), 1.0);
    assert_eq!(metrics.sum("bearward_token_rejections_total", &[]), 1.0);
}

#[tokio::test]
async fn what_runs_is_in_flight_until_it_ends_or_is_cut() {
    let world = World::new().await;
    let gate = crate::practice::Gate::closed();
    world.api.on("/held", Reply::regular().hold(&gate));
    world
        .api
        .on("/events", Reply::events(100_000, Duration::from_millis(5)));
    let in_flight = async || {
        let metrics = world.sidecar.metrics().await;
        metrics.sum("bearward_requests_in_flight", &[("route", "/")])
    };
    let mut held = world.sidecar.connect().await;
    let held = tokio::spawn(async move { held.get("/held").await.unwrap().status });
    gate.reached_by(1).await;
    assert_eq!(in_flight().await, 1.0);
    let mut streaming = world.sidecar.connect_http2().await;
    let mut events = streaming.open(client::get("/events")).await.unwrap();
    events.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(in_flight().await, 2.0);
    drop((events, streaming));
    gate.open();
    assert_eq!(held.await.unwrap(), 200);
    settled(&world.sidecar).await;
}

#[tokio::test]
async fn connections_to_the_upstream_are_counted() {
    for (http, reused) in [("http1", 9.0), ("http2", 9.0)] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        for _ in 0..10 {
            assert_eq!(world.sidecar.get("/").await.status, 200);
        }
        let metrics = world.sidecar.metrics().await;
        let route = [("route", "/")];
        for (name, count) in [
            ("bearward_upstream_connections_opened_total", 1.0),
            ("bearward_upstream_connections_reused_total", reused),
            ("bearward_upstream_connections", 1.0),
        ] {
            assert_eq!(metrics.sum(name, &route), count, "{http} {name}");
        }
        assert_eq!(world.api.connections(), 1);
    }
}
