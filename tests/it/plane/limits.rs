//! Limits and timeouts, and what happens when a side breaks off: never a short success.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{World, both, eventually, eventually_of, head_of, lanes, settled, status};
use crate::practice::{Gate, Issuer, Progress, RawBackend, Recorded, Reply, Step};
use crate::support::Sidecar;
use crate::support::client;

/// The parts of a reply of ours that programs read.
fn assert_reply(answer: &str, expected: u16, error: &str, proxy_error: &str) {
    assert_eq!(status(answer), expected, "{answer}");
    assert!(
        answer.contains(&format!("\"error\":\"{error}\"")),
        "{answer}"
    );
    let proxy_status = format!("proxy-status: bearward; error={proxy_error}\r\n");
    assert!(answer.contains(&proxy_status), "{answer}");
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_refused() {
    let narrow = World::with(|sidecar| {
        sidecar.config("[proxy]\nmax_headers = 20\nmax_header_size = '4KiB'")
    })
    .await;
    let wide = World::with(|sidecar| sidecar.config("proxy.max_header_size = '128KiB'")).await;
    let fields = |count: usize| {
        let fields = "x: y\r\n".repeat(count);
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
    };
    let field = |length: usize| {
        let value = "x".repeat(length);
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {value}\r\n\r\n")
    };
    let target = |length: usize| {
        let path = "x".repeat(length);
        format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };
    for (what, world, request, expected) in [
        ("18 fields of 20", &narrow, fields(18), 200),
        ("19 fields and 2", &narrow, fields(19), 431),
        ("1000 fields", &narrow, fields(1000), 431),
        ("a field below", &narrow, field(4000), 200),
        ("a field beyond", &narrow, field(4096), 431),
        ("a field far beyond", &narrow, field(500_000), 431),
        ("a target below", &wide, target(60_000), 200),
        ("a target beyond", &wide, target(66_000), 414),
        ("98 fields of 100", &wide, fields(98), 200),
        ("99 fields and 2", &wide, fields(99), 431),
    ] {
        let mut caller = world.sidecar.proxy().connect().await.unwrap();
        // It may be refused while it is still sent.
        let _ = caller.write_all(request.as_bytes()).await;
        let answer = head_of(&mut caller).await;
        assert_eq!(status(&answer), expected, "{what}: {answer}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_declared_or_streamed() {
    let world = World::with(|sidecar| sidecar.config("proxy.max_body = '10KiB'")).await;
    let (at, beyond) = (10 * 1024, 10 * 1024 + 1);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    for (length, framing) in [
        (at, "declared"),
        (at, "chunked"),
        (beyond, "declared"),
        (beyond, "chunked"),
    ] {
        let body = "x".repeat(length);
        let request = match framing {
            "declared" => format!("{head}Content-Length: {length}\r\n\r\n{body}"),
            _ => {
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
            }
        };
        let answer = world.sidecar.proxy().exchange(request).await;
        if length == at {
            assert_eq!(status(&answer), 200, "{framing}: {answer}");
        } else {
            assert_reply(&answer, 413, "body_too_large", "http_request_error");
        }
    }
    let mut connection = world.sidecar.connect_http2().await;
    let answer = connection.send(client::post("/", "x".repeat(20_000))).await;
    assert_eq!(answer.unwrap().status, 413);
    let whole = |r: &Recorded| r.hash().is_some();
    assert_eq!(
        world.api.requests().count(whole),
        2,
        "only those within the limit"
    );
}

#[tokio::test]
async fn what_comes_too_slowly_is_told_so() {
    let world = World::with(|sidecar| {
        sidecar.config(
            "[proxy]\nheader_timeout = '300ms'\nbody_timeout = '300ms'\nidle_timeout = '600ms'",
        )
    })
    .await;
    let proxy = world.sidecar.proxy();
    for (what, request, expected) in [
        ("half a head", "GET / HTTP/1.1\r\nHost: ", 408),
        ("half a line", "GE", 408),
        ("half a preface", "PRI * HTTP/2.0\r\n", 408),
        (
            "half a body",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
            408,
        ),
        (
            "half a chunk",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            408,
        ),
        ("nothing", "", 0),
        (
            "an idle keep-alive",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            200,
        ),
    ] {
        let start = Instant::now();
        let mut caller = proxy.connect().await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        // The other side is the one that ends it.
        let mut answer = String::new();
        let read = caller.read_to_string(&mut answer);
        timeout(client::PATIENCE, read).await.unwrap().unwrap();
        assert_eq!(status(&answer), expected, "{what}: {answer}");
        assert!(start.elapsed() >= Duration::from_millis(290), "{what}");
        if what.contains("body") {
            assert_reply(&answer, 408, "body_too_slow", "http_request_error");
        }
    }
    let labels = [("reason", "header_timeout")];
    eventually_of(
        &world.sidecar,
        "bearward_connections_closed_total",
        &labels,
        3.0,
    )
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let world = World::with(|sidecar| sidecar.config("proxy.max_connections = 2")).await;
    let (mut first, mut second) = (world.sidecar.connect().await, world.sidecar.connect().await);
    assert_eq!(first.get("/").await.unwrap().status, 200);
    assert_eq!(second.get("/").await.unwrap().status, 200);
    let mut third = world.sidecar.connect().await;
    let waiting = tokio::spawn(async move { third.get("/third").await.unwrap().status });
    assert_eq!(first.get("/").await.unwrap().status, 200);
    assert_eq!(world.api.requests().count(|r| r.path() == "/third"), 0);
    drop(first);
    assert_eq!(waiting.await.unwrap(), 200);
}

/// An address that nobody listens on.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A listener whose queue is full, so that nobody's connection ever stands.
struct FullQueue {
    url: String,
    _listener: TcpListener,
    _fillers: Vec<TcpStream>,
}

impl FullQueue {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut fillers = Vec::new();
        let wait = Duration::from_millis(100);
        while let Ok(Ok(stream)) = timeout(wait, TcpStream::connect(address)).await {
            fillers.push(stream);
        }
        Self {
            url: format!("http://{address}"),
            _listener: listener,
            _fillers: fillers,
        }
    }
}

/// An upstream that cannot be asked: its URL, more keys of its route, and what the caller is told.
type Unreachable = (String, &'static str, u16, &'static str, &'static str);

#[tokio::test]
async fn an_upstream_that_cannot_be_asked_is_told_with_its_reason() {
    let full = FullQueue::new().await;
    let silent = RawBackend::start([Step::read_head(), Step::Pause(Duration::from_mins(1))]).await;
    let hanging = RawBackend::start([Step::read_head(), Step::Close]).await;
    let plain = RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let blunt = RawBackend::start([Step::write("HTTP/1.1 400 Bad Request\r\n\r\n")]).await;
    let short = "connect_timeout = '200ms'\nresponse_timeout = '200ms'";
    let named = "allow_plaintext = true";
    // No name may have a part of 64 bytes, so nobody needs to be asked.
    let unnamed = format!("http://{}.invalid", "x".repeat(64));
    let secured = blunt.url().replace("http:", "https:");
    let rows: [Unreachable; 7] = [
        (
            closed_port().await,
            "",
            502,
            "connect_refused",
            "connection_refused",
        ),
        (unnamed, named, 502, "dns_failed", "dns_error"),
        (
            full.url.clone(),
            short,
            504,
            "connect_timeout",
            "connection_timeout",
        ),
        (
            silent.url(),
            short,
            504,
            "upstream_timeout",
            "http_response_timeout",
        ),
        (
            hanging.url(),
            "",
            502,
            "upstream_closed",
            "connection_terminated",
        ),
        (secured, "", 502, "tls_failed", "tls_protocol_error"),
        (
            plain.url(),
            "http = 'http2'",
            502,
            "upstream_malformed",
            "http_protocol_error",
        ),
    ];
    let issuer = Issuer::start().await;
    let routes = rows.iter().map(|(url, keys, ..)| (url.clone(), *keys));
    let sidecar = lanes(&issuer, routes, |sidecar| sidecar).await;
    for (place, row) in rows.iter().enumerate() {
        is_told(&sidecar, place, row).await;
    }
}

async fn is_told(sidecar: &Sidecar, place: usize, row: &Unreachable) {
    let (url, _, expected, error, proxy_error) = row;
    let request = format!("GET /{place} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = sidecar.proxy().exchange(request).await;
    assert_reply(&answer, *expected, error, proxy_error);
    let route = format!("/{place}");
    let labels = [("route", route.as_str()), ("reason", error)];
    let counted = sidecar
        .metrics()
        .await
        .sum("bearward_requests_total", &labels);
    assert_eq!(counted, 1.0, "{url}");
}

#[tokio::test]
async fn a_call_beyond_the_pool_waits_and_is_then_refused() {
    let world =
        World::with(|sidecar| sidecar.route("connect_timeout = '300ms'\npool.max_connections = 1"))
            .await;
    let gate = Gate::closed();
    world.api.on("/held", Reply::regular().hold(&gate));
    let mut holder = world.sidecar.connect().await;
    let held = tokio::spawn(async move { holder.get("/held").await.unwrap().status });
    gate.reached_by(1).await;
    let answer = world.sidecar.get("/").await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["error"], "upstream_busy");
    gate.open();
    assert_eq!(held.await.unwrap(), 200);
    assert_eq!(world.sidecar.get("/").await.status, 200);
    assert_eq!(world.api.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_a_short_success() {
    let world = World::with(|sidecar| {
        sidecar.route("body_timeout = '300ms'\nexpired_when = [{ status = 200, json = 'error' }]")
    })
    .await;
    let page = Reply::status(200).body("x".repeat(10_000));
    let pieces = |pause| Reply::pieces(["{\"a\":", "1", "}"], pause);
    let ms = Duration::from_millis;
    world.api.on("/length", page.clone().cut_after(5000));
    world.api.on("/chunks", pieces(ms(1)).cut_after(6));
    world.api.on("/slow", pieces(ms(1000)));
    // The same where the answer is looked at, whatever it is sent as.
    let json = |reply: Reply| reply.header("content-type", "application/json");
    world.api.on("/looked/length", json(page.cut_after(5000)));
    world
        .api
        .on("/looked/chunks", json(pieces(ms(1))).cut_after(6));
    world.api.on("/looked/slow", json(pieces(ms(1000))));
    for path in [
        "/length",
        "/chunks",
        "/slow",
        "/looked/length",
        "/looked/chunks",
        "/looked/slow",
    ] {
        for mut connection in both(&world.sidecar).await {
            let answer = connection.get(path).await;
            assert!(answer.is_err(), "{path}: {answer:?}");
        }
    }
    settled(&world.sidecar).await;
}

#[tokio::test]
async fn a_request_that_breaks_off_is_never_a_short_one() {
    let world = World::new().await;
    for head in ["Content-Length: 99", "Transfer-Encoding: chunked"] {
        let count = world.api.requests().len();
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n4\r\nhalf\r\n");
        wire.write_all(request.as_bytes()).await.unwrap();
        let requests = world.api.requests();
        requests.reaches(count + 1).await.unwrap();
        requests.until(|all| all[count].length >= 4).await.unwrap();
        drop(wire);
        let all = requests
            .until(|all| all[count].state != Progress::Open)
            .await;
        assert_eq!(all.unwrap()[count].state, Progress::Broken, "{head}");
    }
    settled(&world.sidecar).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_call_with_it() {
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        world.api.on("/silent", Reply::silence().early());
        let events = Reply::events(100_000, Duration::from_millis(5));
        world.api.on("/events", events);
        for mut connection in both(&world.sidecar).await {
            let count = world.api.requests().len();
            let reached = world.api.requests().reaches(count + 1);
            tokio::select! {
                _ = connection.get("/silent") => panic!("an answer"),
                reached = reached => reached.map(drop).unwrap(),
            }
            drop(connection);
            settled(&world.sidecar).await;
        }
        for mut connection in both(&world.sidecar).await {
            let mut answer = connection.open(client::get("/events")).await.unwrap();
            answer.body_mut().frame().await.unwrap().unwrap();
            drop((answer, connection));
            settled(&world.sidecar).await;
        }
        // A connection that was cut is not kept; a stream that was reset leaves its connection.
        let kept = if http == "http1" { 0.0 } else { 1.0 };
        eventually(&world.sidecar, "bearward_upstream_connections", kept).await;
    }
}

#[tokio::test]
async fn an_early_answer_passes_while_the_body_still_comes() {
    let world = World::new().await;
    world.api.on("/early", Reply::status(202).early());
    let (frames, body) = client::streamed();
    frames.send(Frame::data(Bytes::from("one"))).await.unwrap();
    let mut connection = world.sidecar.connect_http2().await;
    let answer = connection
        .send(client::post("/early", "").map(|_| body))
        .await;
    assert_eq!(answer.unwrap().status, 202);
    assert_eq!(world.api.last().unwrap().path(), "/early");
    drop(frames);
    let ended = |all: &[Recorded]| all[0].state != Progress::Open;
    world.api.requests().until(ended).await.unwrap();
    assert_eq!(world.sidecar.get("/").await.status, 200);
}
