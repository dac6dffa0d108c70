//! Bodies stream: at once, in both directions, and never whole in memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc::Sender;

use super::{Raw, World, both, settled};
use crate::practice::{RawBackend, Reply, Step};
use crate::support::Sidecar;
use crate::support::client;

pub(super) const MIB: usize = 1024 * 1024;

/// How much of a body may be in memory at once, whatever its length: windows, buffers, and what
/// the allocator keeps.
const BOUND: usize = 8 * MIB;

/// The bytes of memory that the program has resident: now (`VmRSS`) or at most (`VmHWM`).
pub(super) fn resident(sidecar: &Sidecar, when: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sidecar.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(when));
    let kib = line
        .unwrap()
        .trim_matches([':', ' ', '\t'])
        .trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() * 1024
}

async fn length_of(mut body: Incoming) -> usize {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
    }
    length
}

/// A world that does not log each frame, which would take most of the time.
async fn quiet(route: &str) -> World {
    World::with(|sidecar| sidecar.config("log.level = 'info'").route(route)).await
}

#[tokio::test]
async fn an_event_arrives_when_it_is_sent() {
    let chunk = "d\r\ndata: first\n\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let steps = [
        Step::read_head(),
        Step::write(head),
        Step::Pause(Duration::from_millis(50)),
        Step::write(chunk),
        Step::Pause(Duration::from_mins(1)),
    ];
    let rules = "expired_when = [{ status = 200, json = 'error' }]";
    let world = Raw::behind(RawBackend::start(steps).await, |s| s.route(rules)).await;
    for mut connection in both(&world.sidecar).await {
        let start = Instant::now();
        let mut answer = connection.open(client::get("/events")).await.unwrap();
        let event = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(event.into_data().unwrap(), "data: first\n\n");
        // The next one is a minute off.
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_large_download_and_a_slow_reader_take_little_memory() {
    for http in ["http1", "http2"] {
        let world = quiet(&format!("http = '{http}'")).await;
        let piece = Bytes::from(vec![b'x'; MIB]);
        let large = Reply::pieces(vec![piece; 32], Duration::ZERO);
        world.api.on("/large", large);
        let before = resident(&world.sidecar, "VmRSS");
        for mut connection in both(&world.sidecar).await {
            let mut answer = connection.open(client::get("/large")).await.unwrap();
            let first = answer.body_mut().frame().await.unwrap().unwrap();
            // Nothing is read for a while, although all could be sent.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let rest = length_of(answer.into_body()).await;
            let length = first.into_data().unwrap().len() + rest;
            assert_eq!(length, 32 * MIB);
        }
        let grown = resident(&world.sidecar, "VmHWM").saturating_sub(before);
        assert!(grown < BOUND, "{http}: {grown} bytes more");
    }
}

#[tokio::test]
async fn a_large_upload_to_a_slow_upstream_takes_little_memory() {
    let steps = [
        Step::read_head(),
        Step::Pause(Duration::from_millis(300)),
        Step::Read(32 * MIB),
        Step::write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ];
    let world = Raw::behind(RawBackend::start(steps).await, |s| {
        s.config("log.level = 'info'")
    })
    .await;
    let before = resident(&world.sidecar, "VmRSS");
    let (frames, body) = client::streamed();
    let mut connection = world.sidecar.connect().await;
    let mut request = client::post("/upload", "").map(|_| body);
    request
        .headers_mut()
        .insert("content-length", (32 * MIB).into());
    let call = tokio::spawn(async move { connection.send(request).await.unwrap().status });
    let piece = Bytes::from(vec![b'x'; MIB]);
    for _ in 0..32 {
        frames.send(Frame::data(piece.clone())).await.unwrap();
    }
    drop(frames);
    assert_eq!(call.await.unwrap(), 200);
    let grown = resident(&world.sidecar, "VmHWM").saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes more");
    settled(&world.sidecar).await;
}

/// What is kept for a second sending is small, but each piece could hold on to a buffer.
#[tokio::test]
async fn a_body_in_tiny_pieces_is_kept_at_its_weight() {
    for http in ["http1", "http2"] {
        let world = quiet(&format!("http = '{http}'")).await;
        world.api.on("/echo", Reply::echo());
        for mut connection in both(&world.sidecar).await {
            assert_eq!(connection.get("/").await.unwrap().status, 200);
            let before = resident(&world.sidecar, "VmRSS");
            let (frames, body) = client::streamed();
            let echo = client::post("/echo", "").map(|_| body);
            let mut answer = connection.open(echo).await.unwrap();
            to_and_fro(&frames, answer.body_mut()).await;
            let grown = resident(&world.sidecar, "VmRSS").saturating_sub(before);
            assert!(grown < BOUND / 2, "{http}: {grown} bytes more");
        }
    }
}

/// Sends byte after byte. Each is read by itself, since the next leaves when it is back.
async fn to_and_fro(frames: &Sender<Frame<Bytes>>, echo: &mut Incoming) {
    let byte = Bytes::from_static(b"x");
    for _ in 0..4000 {
        frames.send(Frame::data(byte.clone())).await.unwrap();
        echo.frame().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_large_body_arrives_as_it_was_sent() {
    for http in ["http1", "http2"] {
        let world = quiet(&format!("http = '{http}'")).await;
        world.api.on("/echo", Reply::echo());
        let body: Vec<u8> = (0..3 * MIB)
            .map(|n| u8::try_from(n * 7 % 251).unwrap())
            .collect();
        for mut connection in both(&world.sidecar).await {
            let request = client::post("/echo", body.clone());
            let answer = connection.send(request).await.unwrap();
            assert!(answer.body == body, "{http}: {} bytes", answer.body.len());
        }
    }
}
