//! What HTTP/2 says of a stream's end, and what each side makes of it (RFC 9113 §5.4, §6.8, §8.1).

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::io::AsyncWriteExt;

use super::http2::{
    AUTHORITY, DATA, END_HEADERS, END_STREAM, GOAWAY, GREETING, HEADERS, PATH, RST_STREAM, SCHEME,
    SETTINGS, block, field, frame,
};
use super::{Raw, World, both, eventually, settled};
use crate::practice::{Progress, RawBackend, Step};
use crate::support::client;

/// `:status: 200` (RFC 7541, appendix A).
const OK: &[u8] = b"\x88";

/// Error codes (RFC 9113 §7).
const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// The peer goes; what it may have looked at ends with the stream `last` (RFC 9113 §6.8).
fn leaving(last: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// Waits for the head of a request with these flags, which begins the stream.
fn asked(stream: u32, flags: u8) -> Step {
    let head = [&[HEADERS, flags][..], &stream.to_be_bytes()].concat();
    Step::ReadUntil(Bytes::from(head))
}

fn greeting() -> Step {
    Step::write(frame(SETTINGS, 0, 0, b""))
}

/// A request on stream 1 whose body goes on.
fn half_a_request() -> Vec<u8> {
    let head = block(&[(":method", "POST"), SCHEME, AUTHORITY, PATH]);
    let head = frame(HEADERS, END_HEADERS, 1, &head);
    [GREETING, &head, &frame(DATA, 0, 1, b"half")].concat()
}

async fn behind(steps: impl IntoIterator<Item = Step>) -> Raw {
    let backend = RawBackend::start(steps).await;
    Raw::behind(backend, |sidecar| sidecar.route("http = 'http2'")).await
}

/// hyper takes a reset that says `NO_ERROR` for the end, which it is only behind an answer that is
/// whole. Proxies say so of streams whose own upstream broke off.
#[tokio::test]
async fn an_answer_that_a_reset_cuts_is_never_a_short_success() {
    let pause = || Step::Pause(Duration::from_millis(50));
    for (length, code) in [
        (None, NO_ERROR),
        (None, CANCEL),
        (Some("9"), NO_ERROR),
        (Some("9"), CANCEL),
    ] {
        let length = length.map(|length| field("content-length", length));
        let head = [OK, &length.unwrap_or_default()].concat();
        let world = behind([
            greeting(),
            asked(1, END_HEADERS | END_STREAM),
            Step::write(frame(HEADERS, END_HEADERS, 1, &head)),
            Step::write(frame(DATA, 0, 1, b"half")),
            pause(),
            Step::write(reset(1, code)),
            pause(),
            Step::Close,
        ])
        .await;
        for mut connection in both(&world.sidecar).await {
            let answer = connection.get("/").await;
            assert!(answer.is_err(), "{code}: {answer:?}");
            eventually(&world.sidecar, "bearward_upstream_connections", 0.0).await;
        }
    }
}

/// A server that needs no more of a request says so by a reset without error.
#[tokio::test]
async fn a_whole_answer_passes_although_a_reset_follows_it() {
    let end = [frame(DATA, END_STREAM, 1, b"whole"), reset(1, NO_ERROR)].concat();
    let world = behind([
        greeting(),
        asked(1, END_HEADERS),
        Step::write(frame(HEADERS, END_HEADERS, 1, OK)),
        Step::write(end),
        Step::Pause(Duration::from_millis(200)),
        Step::Close,
    ])
    .await;
    for mut connection in both(&world.sidecar).await {
        let (frames, body) = client::streamed();
        frames.send(Frame::data(Bytes::from("one"))).await.unwrap();
        let request = client::post("/", "").map(|_| body);
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), "whole");
        eventually(&world.sidecar, "bearward_upstream_connections", 0.0).await;
    }
}

#[tokio::test]
async fn a_request_that_a_reset_cuts_is_never_a_short_one() {
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        for (count, code) in [NO_ERROR, CANCEL].into_iter().enumerate() {
            let mut wire = world.sidecar.proxy().connect().await.unwrap();
            wire.write_all(&half_a_request()).await.unwrap();
            let requests = world.api.requests();
            requests.reaches(count + 1).await.unwrap();
            requests.until(|all| all[count].length >= 4).await.unwrap();
            wire.write_all(&reset(1, code)).await.unwrap();
            let all = requests
                .until(|all| all[count].state != Progress::Open)
                .await;
            assert_eq!(all.unwrap()[count].state, Progress::Broken, "{http} {code}");
        }
        settled(&world.sidecar).await;
    }
}

/// As callers of gRPC cancel; the upstream is not told that anything went wrong.
#[tokio::test]
async fn a_call_that_is_cancelled_is_so_for_the_upstream_too() {
    let answer = frame(HEADERS, END_HEADERS, 1, OK);
    let world = behind([
        greeting(),
        asked(1, END_HEADERS),
        Step::ReadUntil("half".into()),
        Step::write(answer),
    ])
    .await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(&half_a_request()).await.unwrap();
    wire.until(b"\x88").await;
    wire.write_all(&reset(1, CANCEL)).await.unwrap();
    let received = world.backend.received();
    let told = received.until(|all| {
        let mut heads = all.iter().flat_map(|bytes| bytes.windows(13));
        heads.any(|bytes| bytes == reset(1, CANCEL))
    });
    told.await.unwrap();
}

/// What a server that leaves says it did not look at may be sent again, whatever the method; of
/// the rest nobody knows (RFC 9113 §8.7).
#[tokio::test]
async fn what_a_leaving_upstream_did_not_look_at_is_sent_again() {
    for (last, expected, connections) in [(1, 200, 2), (3, 502, 1)] {
        let world = behind([
            greeting(),
            asked(1, END_HEADERS | END_STREAM),
            Step::write(frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)),
            asked(3, END_HEADERS | END_STREAM),
            Step::write(leaving(last)),
            Step::Pause(Duration::from_millis(50)),
            Step::Close,
        ])
        .await;
        for status in [200, expected] {
            let answer = world.sidecar.send(client::post("/", "")).await;
            assert_eq!(answer.status, status, "{last}: {}", answer.text());
        }
        assert_eq!(world.backend.received().len(), connections, "{last}");
    }
}
