//! The slow test: half a minute with hundreds of clients that hardly read and hardly write. What
//! they cost stays below what windows and buffers add up to, and levels off as soon as those are full.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::streaming::{MIB, resident};
use super::{eventually, lanes, settled};
use crate::practice::{Api, Issuer, Reply};
use crate::support::Sidecar;
use crate::support::client::{self, Address, Connection};

/// How long it goes on.
const WHILE: Duration = Duration::from_secs(30);

/// How often each of them does something.
const PAUSE: Duration = Duration::from_millis(250);

/// How long it must stay on its level, and what the allocator may add meanwhile. A buffer held for
/// each piece that the writers write would be ten times as much.
const LEVEL: usize = 10;
const DRIFT: usize = 8 * MIB;

/// Of each kind: readers and writers, over either version of HTTP, to either kind of upstream.
const EACH: usize = 50;

/// Streams that share a connection of HTTP/2.
const STREAMS: usize = 10;

/// What all of them may take: half a MiB for each, which is the window of a stream upstream. What
/// they took when this was written was 140 MiB.
const BOUND: usize = 8 * EACH * MIB / 2;

/// Reads a little now and then of what would come at any speed. Its system holds little of it, so
/// that it is the sidecar which has to wait.
async fn reader(address: Address, path: String) {
    let Address::Tcp(address) = address else {
        unreachable!("it listens on TCP");
    };
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut wire = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.write_all(request.as_bytes()).await.unwrap();
    let mut piece = [0; 256];
    while wire.read(&mut piece).await.unwrap() > 0 {
        sleep(PAUSE).await;
    }
    panic!("a slow reader is cut off");
}

/// Writes a little now and then, and reads nothing.
async fn writer(address: Address, path: String) {
    let mut wire = address.connect().await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    wire.write_all(head.as_bytes()).await.unwrap();
    while wire.write_all(b"4\r\nslow\r\n").await.is_ok() {
        sleep(PAUSE).await;
    }
    panic!("a slow writer is cut off");
}

async fn readers_of_http2(address: Address, path: String) {
    let mut connection = Connection::http2(&address).await;
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let mut answer = connection.open(client::get(&path)).await.unwrap();
        streams.spawn(async move {
            while let Some(frame) = answer.body_mut().frame().await {
                frame.unwrap();
                sleep(PAUSE).await;
            }
        });
    }
    streams.join_next().await;
    panic!("a slow reader is cut off");
}

async fn writers_of_http2(address: Address, path: String) {
    let mut connection = Connection::http2(&address).await;
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (frames, body) = client::streamed();
        let request = client::post(&path, "").map(|_| body);
        let mut answer = connection.open(request).await.unwrap();
        streams.spawn(async move {
            let piece = Bytes::from_static(b"slow");
            while frames.send(Frame::data(piece.clone())).await.is_ok() {
                answer.body_mut().frame().await.unwrap().unwrap();
                sleep(PAUSE).await;
            }
        });
    }
    streams.join_next().await;
    panic!("a slow writer is cut off");
}

#[tokio::test]
async fn two_hundred_slow_readers_and_as_many_slow_writers_cost_bounded_memory() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let routes = ["http1", "http2"].map(|http| (api.url().to_owned(), format!("http = '{http}'")));
    let sidecar = lanes(&issuer, routes, |s| {
        s.config("log.level = 'info'\nlog.requests = false")
    })
    .await;
    // More than any of them takes, and no more: all of it is copied on one core.
    let piece = Bytes::from(vec![b'x'; MIB / 16]);
    let pace = Duration::from_millis(250);
    for place in ["/0", "/1"] {
        let large = Reply::pieces(vec![piece.clone(); 1024], pace);
        api.on(&format!("{place}/large"), large);
        api.on(&format!("{place}/echo"), Reply::echo());
        assert_eq!(sidecar.get(place).await.status, 200);
    }
    let before = resident(&sidecar, "VmRSS");
    let mut clients = all_of_them(&sidecar).await;
    let grown = watched(&sidecar, &mut clients, before).await;
    let most = grown.iter().max().unwrap();
    assert!(*most < BOUND, "{} MiB more", most / MIB);
    clients.shutdown().await;
    settled(&sidecar).await;
}

/// Starts them all, and waits until each has got hold of its answer.
async fn all_of_them(sidecar: &Sidecar) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let address = || sidecar.proxy().clone();
    let places = || {
        ["/0", "/1"]
            .into_iter()
            .flat_map(|place| (0..EACH).map(move |n| (place, n)))
    };
    for (place, number) in places() {
        let echo = format!("{place}/echo");
        clients.spawn(writer(address(), echo.clone()));
        if number % STREAMS == 0 {
            clients.spawn(writers_of_http2(address(), echo));
        }
    }
    let in_flight = "bearward_requests_in_flight";
    eventually(sidecar, in_flight, 200.0).await;
    for (place, number) in places() {
        let large = format!("{place}/large");
        clients.spawn(reader(address(), large.clone()));
        if number % STREAMS == 0 {
            clients.spawn(readers_of_http2(address(), large));
        }
    }
    eventually(sidecar, in_flight, 400.0).await;
    clients
}

/// How much more memory is taken, second by second, until it has been level for a while; meanwhile
/// nobody is cut off and others are served.
async fn watched(sidecar: &Sidecar, clients: &mut JoinSet<()>, before: usize) -> Vec<usize> {
    let start = Instant::now();
    let mut grown: Vec<usize> = Vec::new();
    let is_level = |grown: &[usize]| {
        let earlier = grown.iter().rev().nth(LEVEL);
        let now = grown.last().copied().unwrap_or_default();
        earlier.is_some_and(|earlier| now < earlier + DRIFT)
    };
    // A busy machine fills the buffers of its own system more slowly.
    while start.elapsed() < WHILE || !is_level(&grown) {
        assert!(start.elapsed() < WHILE * 3, "it grows on: {grown:?}");
        sleep(Duration::from_secs(1)).await;
        if let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
        // Others are served as if nothing were, those on the same connection too.
        let asked = Instant::now();
        for place in ["/0/quick", "/1/quick"] {
            assert_eq!(sidecar.get(place).await.status, 200);
        }
        assert!(asked.elapsed() < Duration::from_secs(10));
        grown.push(resident(sidecar, "VmRSS").saturating_sub(before));
    }
    grown
}
