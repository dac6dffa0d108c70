//! Real sockets on loopback; time is paused, and jumps when nothing moves any more.

use std::convert::Infallible;
use std::time::Duration;

use http::{StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::config::{self, Deadline, Period, Size};
use crate::drain::Tasks;

/// Does what the path says.
struct Stage;

impl Handler for Stage {
    type Body = UnsyncBoxBody<Bytes, Infallible>;

    async fn handle(&self, request: Request<Inbound>) -> Result<Response<Self::Body>, Hangup> {
        let whole = |text: &str| Full::new(Bytes::from(text.to_owned())).boxed_unsync();
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/hang" => Err(Hangup),
            "/slow" => {
                sleep(Duration::from_secs(3)).await;
                Ok(Response::new(whole("at last")))
            }
            "/late" => {
                sleep(Duration::from_secs(1)).await;
                let body = body.collect().await.map_err(|_| Hangup)?;
                Ok(Response::new(Full::new(body.to_bytes()).boxed_unsync()))
            }
            "/endless" => Ok(Response::new(endless())),
            "/refuse" => {
                let mut refusal = Response::new(whole("refused"));
                *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                Ok(refusal)
            }
            _ if body.too_large_declared() => Ok(Response::new(whole("declared too large"))),
            _ => Ok(Response::new(match body.collect().await {
                Ok(body) => Full::new(body.to_bytes()).boxed_unsync(),
                Err(error) => whole(&error.to_string()),
            })),
        }
    }
}

fn endless() -> UnsyncBoxBody<Bytes, Infallible> {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            let frame = http_body::Frame::data(Bytes::from_static(&[b'x'; 4096]));
            std::task::Poll::Ready(Some(Ok(frame)))
        }
    }
    Endless.boxed_unsync()
}

struct Server {
    address: config::Listen,
    tasks: Tasks,
    registry: Registry,
}

impl Server {
    fn start(change: impl FnOnce(&mut config::Proxy)) -> Self {
        let mut proxy = config::Proxy {
            listen: "127.0.0.1:0".parse().unwrap(),
            max_headers: 10,
            max_header_size: Size::kib(8),
            max_body: Some(Size::kib(1)),
            header_timeout: Deadline::seconds(10),
            body_timeout: Deadline::seconds(20),
            idle_timeout: Deadline::seconds(30),
            ..config::Proxy::default()
        };
        change(&mut proxy);
        let (tasks, registry) = (Tasks::default(), Registry::new());
        let metrics = std::sync::Arc::new(Metrics::register(&registry).unwrap());
        let bound = Bound::bind(&proxy.listen, 0o600).unwrap();
        let address = bound.address().unwrap();
        let (limits, inner) = (Limits::from(&proxy), tasks.clone());
        tasks.spawn("listener", async move {
            serve(bound, Stage, limits, inner, metrics).await.unwrap();
        });
        Self {
            address,
            tasks,
            registry,
        }
    }

    fn usual() -> Self {
        Self::start(|_| {})
    }

    async fn client(&self) -> Client {
        let config::Listen::Tcp(address) = &self.address else {
            panic!("not TCP");
        };
        let stream = TcpStream::connect(address).await.unwrap();
        // A piece must not wait for the acknowledgement of the one before: paused time jumps.
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    /// The value of a metric's line.
    fn count(&self, name: &str) -> u64 {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    fn closed(&self, reason: &str) -> u64 {
        self.count(&format!(
            "bearward_connections_closed_total{{reason=\"{reason}\"}}"
        ))
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        settle();
    }

    /// What comes until `end` does, or the connection ends.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            match self.0.read_u8().await {
                Ok(byte) => text.push(char::from(byte)),
                Err(_) => break,
            }
        }
        text
    }

    /// What comes until the connection ends.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Gives the system a moment to carry bytes over loopback, which it may do behind our back;
/// paused time would jump meanwhile.
fn settle() {
    std::thread::sleep(Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn requests_follow_each_other_on_one_connection() {
    let server = Server::usual();
    let mut client = server.client().await;
    for text in ["one", "two", "three"] {
        // Nine seconds between them: each head has its own time, and so has each pause.
        sleep(Duration::from_secs(9)).await;
        client
            .send(&format!(
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n",
                text.len()
            ))
            .await;
        sleep(Duration::from_secs(9)).await;
        client.send(&format!("\r\n{text}")).await;
        let answer = client.until(text).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    assert_eq!(server.count("bearward_connections"), 1);
    drop(client);
    server.tasks.stop();
    server.tasks.finished().await;
    assert_eq!(server.count("bearward_connections"), 0);
    assert_eq!(server.count("bearward_connections_accepted_total"), 1);
    assert_eq!(server.closed("done"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_connection_grew_quiet_is_not_lost() {
    let server = Server::usual();
    let mut client = server.client().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n";
    let (begun, rest) = head.split_at(20);
    client.send(&format!("{head}one{begun}")).await;
    assert!(client.until("one").await.ends_with("one"));
    sleep(Duration::from_secs(9)).await;
    client.send(&format!("{rest}two")).await;
    assert!(client.until("two").await.ends_with("two"));
    // Each head has its own time, that which began behind another request too.
    client.send(&format!("{head}one{begun}")).await;
    assert!(client.rest().await.contains(" 408 "));
    drop(client);
    server.tasks.stop();
    server.tasks.finished().await;
    assert_eq!(server.closed("header_timeout"), 1);
}

/// What came and that nothing more comes may be read at once, before anybody has asked for the body.
#[tokio::test(start_paused = true)]
async fn an_end_that_comes_with_the_request_loses_no_body() {
    let server = Server::usual();
    let config::Listen::Tcp(address) = server.address.clone() else {
        panic!("not TCP");
    };
    for (framing, answered) in [
        ("content-length: 3\r\n\r\none", true),
        (
            "transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
            true,
        ),
        ("content-length: 4\r\n\r\none", false),
        ("transfer-encoding: chunked\r\n\r\n3\r\none\r\n", false),
    ] {
        for path in ["/", "/late"] {
            let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{framing}");
            // In one go: the server's side has its first look when all of it is there.
            let mut client = std::net::TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            settle();
            client.set_nonblocking(true).unwrap();
            let mut client = Client(TcpStream::from_std(client).unwrap());
            let start = Instant::now();
            let answer = client.rest().await;
            assert_eq!(answer.ends_with("one"), answered, "{request}: {answer}");
            assert!(start.elapsed() < Duration::from_secs(2), "{request}");
        }
    }
}

/// They give their buffers back in turn; one that waits for its turn serves on.
#[tokio::test(start_paused = true)]
async fn connections_that_grow_quiet_together_serve_on() {
    let server = Server::usual();
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\none";
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.client().await);
    }
    for client in &mut clients {
        client.send(request).await;
        assert!(client.until("one").await.ends_with("one"));
    }
    // From before the first turn until after the last.
    sleep(Duration::from_millis(4_995)).await;
    for client in clients.iter_mut().rev() {
        client.send(request).await;
        assert!(client.until("one").await.ends_with("one"));
        sleep(Duration::from_millis(2)).await;
    }
    for client in &mut clients {
        assert_eq!(client.rest().await, "");
    }
    server.tasks.stop();
    server.tasks.finished().await;
    assert_eq!(server.closed("idle"), 20);
}

/// What is sent, with what the answer begins or ends, and why the connection ended.
const EXCHANGES: [(&str, &str, &str); 12] = [
    ("", "", "idle"),
    (
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "HTTP/1.1 200 OK",
        "idle",
    ),
    (
        "GET / HT",
        "HTTP/1.1 408 Request Timeout\r\nconnection: close",
        "header_timeout",
    ),
    (
        "PRI * HTTP/2.0\r\n",
        "HTTP/1.1 408 Request Timeout",
        "header_timeout",
    ),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "idle"),
    ("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request", "malformed"),
    ("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n", "", "error"),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n",
        "declared too large",
        "done",
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf",
        "the request's body did not arrive in time",
        "done",
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nmalformed",
        "the request's body is malformed",
        "done",
    ),
    (
        "GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\nk:\r\n\r\n",
        "HTTP/1.1 431 Request Header Fields Too Large",
        "malformed",
    ),
    ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "done"),
];

#[tokio::test(start_paused = true)]
async fn every_end_of_a_connection_has_its_reason() {
    for (sent, answer, reason) in EXCHANGES {
        let server = Server::usual();
        let mut client = server.client().await;
        client.send(sent).await;
        let text = client.rest().await;
        assert!(
            text.starts_with(answer) || text.ends_with(answer),
            "{sent:?} got {text:?}"
        );
        assert!(!answer.is_empty() || !text.starts_with("HTTP"), "{text}");
        drop(client);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(server.closed(reason), 1, "{sent:?}");
        assert_eq!(server.count("bearward_connections"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_limit_is_noticed_as_it_streams() {
    let server = Server::usual();
    let mut client = server.client().await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client.send(&chunk.repeat(3)).await;
    let answer = client.rest().await;
    assert!(
        answer.ends_with("the request's body is larger than the limit"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::usual();
    let mut client = server.client().await;
    client
        .send("POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 400000\r\n\r\n")
        .await;
    sleep(Duration::from_millis(100)).await;
    client.send(&"x".repeat(400_000)).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("refused"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_beyond_the_limit_is_answered_with_431_or_414() {
    let server = Server::usual();
    let long = "x".repeat(9000);
    let mut client = server.client().await;
    client
        .send(&format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n"))
        .await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_has_its_time_once() {
    let server = Server::usual();
    let mut client = server.client().await;
    let start = Instant::now();
    for byte in "GET / HTTP/1.1\r".chars() {
        client.send(&byte.to_string()).await;
        if timeout(Duration::from_secs(1), client.0.readable())
            .await
            .is_ok()
        {
            break;
        }
    }
    assert!(client.rest().await.starts_with("HTTP/1.1 408 "));
    let took = start.elapsed().as_secs();
    assert!((10..=11).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut() {
    let server = Server::usual();
    let mut client = server.client().await;
    client
        .send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    sleep(Duration::from_secs(45)).await;
    assert_eq!(server.closed("stalled"), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = Server::start(|proxy| proxy.max_connections = 1);
    let mut first = server.client().await;
    first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(first.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let mut second = server.client().await;
    second.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let early = timeout(Duration::from_secs(5), second.until("\r\n\r\n")).await;
    assert!(early.is_err());
    drop(first);
    assert!(second.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_what_idles_and_finishes_what_runs() {
    let server = Server::usual();
    let (mut fresh, mut idle) = (server.client().await, server.client().await);
    let mut busy = server.client().await;
    idle.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.until("\r\n\r\n").await;
    busy.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    server.tasks.stop();
    assert_eq!(idle.rest().await, "");
    assert_eq!(fresh.rest().await, "");
    assert!(start.elapsed() < Duration::from_secs(1));
    let answer = busy.rest().await.to_lowercase();
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("at last"), "{answer}");
    server.tasks.finished().await;
    assert!(start.elapsed() < Duration::from_secs(4));
    let config::Listen::Tcp(address) = server.address else {
        panic!("not TCP");
    };
    assert!(TcpStream::connect(address).await.is_err());
}

type H2 = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

async fn h2(server: &Server) -> (H2, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = server.client().await.0;
    let (send, conn) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    (send, tokio::spawn(conn))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .uri(format!("http://localhost{path}"))
        .body(Empty::new())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn http2_is_spoken_by_prior_knowledge() {
    let server = Server::usual();
    let (mut send, _conn) = h2(&server).await;
    let (slow, quick) = (send.send_request(get("/slow")), send.send_request(get("/")));
    let quick = quick.await.unwrap();
    assert_eq!(quick.version(), Version::HTTP_2);
    let slow = slow.await.unwrap().collect().await.unwrap().to_bytes();
    assert_eq!(slow, "at last");
    assert!(send.send_request(get("/hang")).await.is_err());
    // Only the stream was reset.
    assert!(send.send_request(get("/")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn http2_is_ended_by_goaway_when_idle_or_stopping() {
    let server = Server::usual();
    let (mut send, conn) = h2(&server).await;
    send.send_request(get("/")).await.unwrap();
    let start = Instant::now();
    // The server may be gone before the client has said goodbye as well.
    let _ = conn.await.unwrap();
    let took = start.elapsed().as_secs();
    assert!((30..=32).contains(&took), "{took}");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.closed("idle"), 1);

    let (mut send, conn) = h2(&server).await;
    let slow = tokio::spawn(send.send_request(get("/slow")));
    sleep(Duration::from_secs(1)).await;
    server.tasks.stop();
    sleep(Duration::from_secs(1)).await;
    assert!(send.send_request(get("/")).await.is_err());
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK);
    drop(send);
    let _ = conn.await.unwrap();
    server.tasks.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_preface_may_drip_in() {
    let server = Server::usual();
    let mut client = server.client().await;
    for byte in "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".chars() {
        client.send(&byte.to_string()).await;
        sleep(Duration::from_millis(10)).await;
    }
    // The answer is a SETTINGS frame: its length, then its type.
    let mut head = [0; 9];
    client.0.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4);
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let server = Server::start(|proxy| proxy.listen = config::Listen::Unix(path.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nhi")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hi"), "{answer}");
    server.tasks.stop();
    server.tasks.finished().await;
    assert!(!path.exists());
}

#[tokio::test(start_paused = true)]
async fn never_means_never() {
    let server = Server::start(|proxy| {
        proxy.header_timeout = Deadline::Never;
        proxy.idle_timeout = Deadline::Never;
        proxy.body_timeout = Deadline::After(Period::seconds(1));
    });
    let mut client = server.client().await;
    sleep(Duration::from_secs(10_000)).await;
    client.send("GET / HTTP/1.1\r\n").await;
    sleep(Duration::from_secs(10_000)).await;
    client.send("\r\n").await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

/// Switches protocols, then answers each byte with the next one.
struct Switch;

impl Handler for Switch {
    type Body = Empty<Bytes>;

    async fn handle(&self, mut request: Request<Inbound>) -> Result<Response<Self::Body>, Hangup> {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut wire = TokioIo::new(upgrade.await.unwrap());
            let byte = wire.read_u8().await.unwrap();
            wire.write_u8(byte + 1).await.unwrap();
        });
        let switching = Response::builder().status(101).header("upgrade", "x");
        Ok(switching
            .header("connection", "upgrade")
            .body(Empty::new())
            .unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_counts_until_it_is_closed() {
    let (tasks, registry) = (Tasks::default(), Registry::new());
    let metrics = std::sync::Arc::new(Metrics::register(&registry).unwrap());
    let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap(), 0).unwrap();
    let server = Server {
        address: bound.address().unwrap(),
        tasks: tasks.clone(),
        registry,
    };
    let limits = Limits::from(&config::Proxy::default());
    let inner = tasks.clone();
    tasks.spawn("listener", async move {
        serve(bound, Switch, limits, inner, metrics).await.unwrap();
    });
    let mut client = server.client().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (server.count("bearward_connections"), server.closed("done")),
        (1, 1)
    );
    client.send("a").await;
    assert_eq!(client.rest().await, "b");
    assert_eq!(server.count("bearward_connections"), 0);
}
