//! A change of protocol, as WebSocket asks for it: joined if both sides want it, and otherwise
//! an ordinary call.

use http::Version;
use tokio::io::AsyncWriteExt;

use super::{Raw, head, head_of, lanes, settled, status};
use crate::practice::{Api, Authority, Issuer, RawBackend, Reply, Step};
use crate::support::client::Wire;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n\r\n";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pP\r\n\r\n";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

async fn text_until(wire: &mut Wire, end: &str) -> String {
    String::from_utf8_lossy(&wire.until(end.as_bytes()).await).into_owned()
}

#[tokio::test]
async fn both_sides_are_joined_from_the_first_byte() {
    // The upstream speaks at once, in the same write as its answer.
    let greeting = Step::write(format!("{SWITCH}hello "));
    let backend = RawBackend::start([Step::read_head(), greeting, Step::Echo]).await;
    let world = Raw::behind(backend, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    // So does the caller.
    wire.write_all(format!("{ASK}early ").as_bytes())
        .await
        .unwrap();
    let answer = head_of(&mut wire).await;
    assert_eq!(
        head(&answer)[..4],
        [
            "HTTP/1.1 101 Switching Protocols",
            "connection: upgrade",
            answer
                .split("\r\n")
                .find(|line| line.starts_with("date"))
                .unwrap_or("none"),
            "sec-websocket-accept: s3pP",
        ]
    );
    assert_eq!(text_until(&mut wire, "early ").await, "hello early ");
    let large = "x".repeat(300_000) + "!";
    let (mut read, mut write) = tokio::io::split(wire);
    let sent = large.clone();
    tokio::spawn(async move {
        write.write_all(sent.as_bytes()).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut read, &mut back)
        .await
        .unwrap();
    assert_eq!(back.len(), large.len(), "and each side may end alone");
    let reached = world.reached();
    assert_eq!(
        head(&reached),
        [
            "GET /chat HTTP/1.1",
            "authorization: Bearer TOKEN",
            "connection: upgrade",
            "host: HOST",
            "sec-websocket-key: dGhl",
            "sec-websocket-version: 13",
            "upgrade: websocket",
        ]
    );
    settled(&world.sidecar).await;
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_to_the_next_call() {
    let refusal = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nConnection: upgrade\r\n\
        content-length: 2\r\n\r\nno";
    let ok = Step::write(OK);
    let steps = [
        Step::read_head(),
        Step::write(refusal),
        Step::read_head(),
        ok,
        Step::Again,
    ];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(ASK.as_bytes()).await.unwrap();
    let answer = text_until(&mut wire, "\r\n\r\nno").await;
    assert_eq!(status(&answer), 426, "{answer}");
    let next = ASK.replace("/chat", "/next");
    wire.write_all(next.as_bytes()).await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 200);
    let reached = world.reached();
    assert_eq!(
        reached.matches("authorization: Bearer TOKEN\r\n").count(),
        2
    );
    assert_eq!(world.backend.received().len(), 1, "one kept connection");
    // And an ordinary call on the caller's same connection.
    wire.write_all(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        status(&head_of(&mut wire).await),
        426,
        "the other pool's first answer"
    );
    assert_eq!(
        world
            .reached()
            .matches("authorization: Bearer TOKEN\r\n")
            .count(),
        3
    );
}

#[tokio::test]
async fn a_rejected_token_is_replaced_before_the_change() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    let switch = Step::write(SWITCH);
    let steps = [
        Step::read_head(),
        Step::write(refusal),
        Step::read_head(),
        switch,
        Step::Echo,
    ];
    let backend = RawBackend::start(steps).await;
    let world = Raw::behind(backend, |sidecar| sidecar.grant("renew_floor = '0s'")).await;
    let first = world.issuer.access_token().unwrap();
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(ASK.as_bytes()).await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 101);
    wire.write_all(b"ping.").await.unwrap();
    assert_eq!(text_until(&mut wire, ".").await, "ping.");
    let second = world.issuer.access_token().unwrap();
    let reached = world.backend.text();
    for token in [first, second] {
        assert_eq!(reached.matches(&token).count(), 1);
    }
}

#[tokio::test]
async fn what_nobody_asked_for_is_not_changed_to() {
    let other = SWITCH.replace("websocket", "other");
    let plain = "GET /0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let unnamed = "GET /0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n";
    let old = "GET /0 HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let asked = ASK.replace("/chat", "/1");
    let issuer = Issuer::start().await;
    let first = RawBackend::start([Step::read_head(), Step::write(SWITCH)]).await;
    let second = RawBackend::start([Step::read_head(), Step::write(other)]).await;
    let routes = [(first.url(), ""), (second.url(), "")];
    let sidecar = lanes(&issuer, routes, |sidecar| sidecar).await;
    for request in [plain, unnamed, old, &asked] {
        let mut wire = sidecar.proxy().connect().await.unwrap();
        wire.write_all(request.as_bytes()).await.unwrap();
        let answer = head_of(&mut wire).await;
        assert_eq!(status(&answer), 502, "{request}: {answer}");
    }
    let reached = first.text();
    assert!(!reached.contains("upgrade"), "{reached}");
}

/// Requests in a tunnel of HTTP/2 would pass routes, limits and credential.
#[tokio::test]
async fn a_change_to_another_http_is_an_ordinary_call() {
    let world = Raw::behind(RawBackend::answering(OK).await, |sidecar| sidecar).await;
    for protocols in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
             Upgrade: {protocols}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        );
        let answer = world.sidecar.proxy().exchange(request).await;
        assert_eq!(status(&answer), 200, "{protocols}: {answer}");
    }
    let reached = world.reached().to_ascii_lowercase();
    assert!(!reached.contains("upgrade"), "{reached}");
    assert!(!reached.contains("http2-settings"), "{reached}");
}

#[tokio::test]
async fn an_upstream_that_prefers_http2_is_asked_over_http1() {
    let authority = Authority::new().unwrap();
    let issuer = Issuer::start().await;
    let api = Api::builder()
        .trusting(&issuer)
        .start_tls(&authority)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let keys = format!("tls = {{ ca = '{}', system_roots = false }}", ca.display());
    let sidecar = lanes(&issuer, [(api.url().to_owned(), keys)], |sidecar| sidecar).await;
    let switch = Reply::status(101).header("connection", "upgrade");
    api.on("/0/chat", switch.header("upgrade", "websocket"));
    assert_eq!(sidecar.get("/0").await.status, 200);
    let mut wire = sidecar.proxy().connect().await.unwrap();
    let ask = ASK.replace("/chat", "/0/chat");
    wire.write_all(ask.as_bytes()).await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 101);
    let versions: Vec<_> = api
        .requests()
        .all()
        .iter()
        .map(|call| call.version)
        .collect();
    assert_eq!(versions, [Version::HTTP_2, Version::HTTP_11]);
    assert_eq!(api.last().unwrap().header("upgrade"), Some("websocket"));
}
