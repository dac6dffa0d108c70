//! Requests within requests: behind a refused upgrade, and in HTTP/2 that becomes HTTP/1.1. A raw
//! backend counts what arrives, and each that does carries the credential.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::http2::{
    self, AUTHORITY, END_HEADERS, END_STREAM, GREETING, PATH, SCHEME, block, verdict,
};
use super::{Raw, head_of, status};
use crate::practice::{RawBackend, Step};
use crate::support::client::Wire;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 777\r\n\r\n";

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mine\r\n\r\n";

/// The paths that were asked for on all connections, and how many credentials came with them.
fn asked(world: &Raw) -> (Vec<String>, usize) {
    let reached = world.reached();
    let lines = reached.split("\r\n");
    let asked = lines
        .filter_map(|line| line.strip_suffix(" HTTP/1.1"))
        .map(str::to_owned);
    let tokens = reached.matches("authorization: Bearer TOKEN\r\n").count();
    assert!(!reached.contains("Bearer mine"), "{reached}");
    (asked.collect(), tokens)
}

/// A proxy that takes the upgrade for granted would join the two sides here.
#[tokio::test]
async fn what_follows_a_refused_upgrade_in_the_same_segment_is_a_request() {
    for refusal in [
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let world = Raw::behind(RawBackend::answering(refusal).await, |sidecar| sidecar).await;
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        let both = format!("{ASK}{SMUGGLED}");
        wire.write_all(both.as_bytes()).await.unwrap();
        let line = refusal.split("\r\n").next().unwrap();
        let answers = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert_eq!(answers.matches(line).count(), 2, "{answers}");
        let (paths, tokens) = asked(&world);
        assert_eq!(
            (paths, tokens),
            (vec!["GET /chat".into(), "GET /smuggled".into()], 2)
        );
    }
}

#[tokio::test]
async fn a_change_to_http2_that_is_ignored_leaves_no_tunnel() {
    let world = Raw::new().await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    let ask = "GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    wire.write_all(format!("{ask}{preface}").as_bytes())
        .await
        .unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 200);
    // hyper ends the connection without a word.
    assert_eq!(wire.rest().await, b"");
    assert_eq!(asked(&world), (vec!["GET /h2c".into()], 1));
}

/// A frame of HTTP/2 on stream 1.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    http2::frame(kind, flags, 1, payload)
}

/// Sends a head that has a body, and these frames behind it.
async fn send(wire: &mut Wire, fields: &[(&str, &str)], frames: &[Vec<u8>]) {
    let mut bytes = GREETING.to_vec();
    bytes.extend(frame(1, END_HEADERS, &block(fields)));
    bytes.extend(frames.concat());
    wire.write_all(&bytes).await.unwrap();
}

/// An upstream that waits for the end of what it is sent, by whatever framing: the body is `hi`.
async fn patient() -> Raw {
    let steps = [
        Step::read_head(),
        Step::ReadUntil("hi".into()),
        Step::write(OK),
        Step::Again,
    ];
    Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const POST: (&str, &str) = (":method", "POST");

/// RFC 9113 §8.1.1: a length that the DATA frames do not come to is malformed.
#[tokio::test]
async fn a_length_that_is_not_the_bodys_reaches_no_end_upstream() {
    let hidden = SMUGGLED.as_bytes();
    for (length, frames) in [
        ("0", vec![frame(0, END_STREAM, hidden)]),
        ("2", vec![frame(0, 0, b"ab"), frame(0, END_STREAM, hidden)]),
        ("5", vec![frame(0, END_STREAM, b"ab")]),
        (
            "5",
            vec![
                frame(0, 0, b"ab"),
                frame(1, END_STREAM | END_HEADERS, &block(&[("x-sum", "1")])),
            ],
        ),
        ("2, 2", vec![frame(0, END_STREAM, b"ab")]),
        ("+2", vec![frame(0, END_STREAM, b"ab")]),
        ("", vec![frame(0, END_STREAM, b"")]),
        ("", vec![frame(0, END_STREAM, b"ab")]),
        ("2\0", vec![frame(0, END_STREAM, b"ab")]),
    ] {
        let world = patient().await;
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        let fields = [POST, SCHEME, AUTHORITY, PATH, ("content-length", length)];
        send(&mut wire, &fields, &frames).await;
        let (kind, first) = verdict(&mut wire).await;
        // 0x88 is `:status: 200`.
        assert!(kind != 1 || first != 0x88, "{length} was answered");
        let (paths, tokens) = asked(&world);
        assert!(paths.len() <= 1 && tokens <= 1, "{length}: {paths:?}");
        assert!(!world.reached().contains("smuggled"), "{length}");
        assert!(!world.reached().contains("\r\n0\r\n\r\n"), "{length}");
    }
}

#[tokio::test]
async fn a_request_of_http2_is_framed_anew() {
    let data = || vec![frame(0, 0, b"h"), frame(0, END_STREAM, b"i")];
    for (more, frames, expected) in [
        // Of unknown length.
        (
            &[][..],
            vec![frame(0, END_STREAM, b"hi")],
            "transfer-encoding: chunked",
        ),
        (&[("content-length", "2")], data(), "content-length: 2"),
        (
            &[("content-length", "2"), ("content-length", "2")],
            data(),
            "content-length: 2",
        ),
        // Connection-specific fields are refused, but not these, which only look so.
        (
            &[("content-length", "2"), ("te", "trailers")],
            data(),
            "te: trailers",
        ),
        (
            &[("content-length", "2"), ("http2-settings", "AAMAAABk")],
            data(),
            "content-length: 2",
        ),
    ] {
        let steps = match expected {
            "transfer-encoding: chunked" => Step::ReadUntil("\r\n0\r\n\r\n".into()),
            _ => Step::ReadUntil("\r\n\r\nhi".into()),
        };
        let backend = RawBackend::start([steps, Step::write(OK), Step::Again]).await;
        let world = Raw::behind(backend, |sidecar| sidecar).await;
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        let mut fields = vec![POST, SCHEME, AUTHORITY, PATH];
        fields.extend(more);
        send(&mut wire, &fields, &frames).await;
        assert_eq!(verdict(&mut wire).await, (1, 0x88), "{more:?}");
        let reached = world.reached();
        assert!(
            reached.contains(&format!("\r\n{expected}\r\n")),
            "{reached}"
        );
        let framings = reached.matches("transfer-encoding").count();
        assert_eq!(
            framings + reached.matches("content-length").count(),
            1,
            "{reached}"
        );
        assert_eq!(asked(&world), (vec!["POST /".into()], 1));
    }
}

/// A body over HTTP/2 that looks like requests stays a body.
#[tokio::test]
async fn bytes_that_look_like_a_request_stay_in_their_chunk() {
    let steps = [
        Step::ReadUntil("\r\n0\r\n\r\n".into()),
        Step::write(OK),
        Step::Again,
    ];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    let frames = [frame(0, END_STREAM, body.as_bytes())];
    send(&mut wire, &[POST, SCHEME, AUTHORITY, PATH], &frames).await;
    let reached = loop {
        let reached = world.reached();
        if reached.ends_with("\r\n0\r\n\r\n") && reached.contains("smuggled") {
            break reached;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let chunk = format!("\r\n\r\n{:X}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert!(reached.ends_with(&chunk), "{reached}");
    assert_eq!(reached.matches("Bearer TOKEN").count(), 1);
}

/// Fields that would be lines of their own in HTTP/1.1, in trailers as in heads.
#[tokio::test]
async fn a_trailer_of_http2_brings_no_lines_along() {
    for (name, value) in [
        ("x", "y\r\nAuthorization: Bearer mine"),
        ("x", "y\nz"),
        ("x\r\ny", "z"),
        ("x y", "z"),
        ("X", "z"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
    ] {
        let world = patient().await;
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        let fields = [POST, SCHEME, AUTHORITY, PATH, ("trailer", name.trim())];
        let fields = if name == "x" {
            &fields[..]
        } else {
            &fields[..4]
        };
        let trailers = frame(1, END_STREAM | END_HEADERS, &block(&[(name, value)]));
        send(&mut wire, fields, &[frame(0, 0, b"ab"), trailers]).await;
        let verdict = timeout(Duration::from_secs(3), verdict(&mut wire)).await;
        let Ok((kind, first)) = verdict else {
            panic!("{name:?}: {value:?} is waited with: {}", world.reached());
        };
        assert!(kind != 1 || first != 0x88, "{name:?} was answered");
        let reached = world.reached();
        assert!(!reached.contains("\r\n0\r\n"), "{name:?}: {reached}");
        assert_eq!(
            reached.matches("Bearer TOKEN").count(),
            1.min(asked(&world).1)
        );
        assert!(!reached.contains("smuggled"));
    }
    // The library drops what belongs to no trailer (RFC 9113 §8.1) instead of refusing it.
    let world = patient().await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    let trailers = block(&[(":path", "/smuggled"), ("x-sum", "1")]);
    let trailers = frame(1, END_STREAM | END_HEADERS, &trailers);
    let body = frame(0, 0, b"hi");
    send(
        &mut wire,
        &[POST, SCHEME, AUTHORITY, PATH],
        &[body, trailers],
    )
    .await;
    assert_eq!(verdict(&mut wire).await, (1, 0x88));
    assert!(!world.reached().contains("smuggled"));
}
