//! Real sockets on loopback and upstreams that follow a script; time is paused where it is long.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::dial::tests::{Authority, Clients, names};
use super::*;
use crate::config::{Deadline, HttpVersion, Period, Url};
use crate::tls::Alpn;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What an upstream does next on a connection.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Reads one request's head.
    Read,
    Write(&'static str),
    Wait(u64),
    Close,
}
use Act::{Close, Read, Wait, Write};

/// Plays the scripts, one per connection; the last one for all that follow.
async fn play(listener: TcpListener, scripts: &'static [&'static [Act]]) {
    let mut scripts: VecDeque<_> = scripts.iter().collect();
    while let Ok((stream, _)) = listener.accept().await {
        let script = if scripts.len() > 1 {
            scripts.pop_front().unwrap()
        } else {
            scripts[0]
        };
        tokio::spawn(act(stream, script));
    }
}

async fn act(mut stream: TcpStream, script: &[Act]) {
    stream.set_nodelay(true).unwrap();
    for act in script {
        match act {
            Read => {
                head(&mut stream).await;
            }
            Write(text) => stream.write_all(text.as_bytes()).await.unwrap_or_default(),
            Wait(millis) => sleep(Duration::from_millis(*millis)).await,
            Close => return,
        }
    }
    // Nothing more is answered, but the connection stays.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// A request's head, as it came.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(char::from(byte)),
            Err(_) => break,
        }
    }
    text
}

async fn listener() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (
        listener,
        format!("http://127.0.0.1:{port}/base").parse().unwrap(),
    )
}

/// An upstream with what is around it.
struct House {
    upstream: Upstream<Script>,
    tasks: Tasks,
    registry: Registry,
}

impl House {
    fn new(url: &Url, change: impl FnOnce(&mut Settings)) -> Self {
        let connect_timeout = Duration::from_secs(5);
        let tls = config::Tls::default();
        let mut settings = Settings {
            route: Arc::from("crm"),
            dialer: Dialer::new(url, &tls, Alpn::Either, connect_timeout).unwrap(),
            http: HttpVersion::Auto,
            pool: config::Pool::default(),
            max_headers: 100,
            response_timeout: Some(Duration::from_secs(10)),
            body_timeout: Some(Duration::from_secs(20)),
        };
        change(&mut settings);
        let (tasks, registry) = (Tasks::default(), Registry::new());
        let metrics = Metrics::register(&registry).unwrap();
        Self {
            upstream: Upstream::new(settings, tasks.clone(), &metrics),
            tasks,
            registry,
        }
    }

    async fn scripted(scripts: &'static [&'static [Act]]) -> Self {
        let (listener, url) = listener().await;
        tokio::spawn(play(listener, scripts));
        Self::new(&url, |_| {})
    }

    /// One call without a body; the whole answer, or the reason.
    async fn get(&self) -> Result<String, String> {
        self.call(request(Script::default())).await
    }

    async fn call(&self, request: Request<Script>) -> Result<String, String> {
        let sent = self.upstream.send(request).await;
        let answer = sent.map_err(|error| {
            let reused = matches!(error, SendError::Closed { reused: true, .. });
            let suffix = if reused { " (reused)" } else { "" };
            format!("{}{suffix}", error.as_str())
        })?;
        let body = answer.into_body().collect().await;
        // The connection's other task has its turn before the next call.
        tokio::task::yield_now().await;
        let body = body.map_err(|error| error.as_str().to_owned())?;
        Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    /// Connections open, opened, reused.
    fn counts(&self) -> [u64; 3] {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        ["", "_opened_total", "_reused_total"].map(|suffix| {
            let name = format!("bearward_upstream_connections{suffix}{{route=\"crm\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&name));
            value
                .unwrap_or_else(|| panic!("no {name}"))
                .parse()
                .unwrap()
        })
    }
}

fn request(body: Script) -> Request<Script> {
    let method = if body.0.is_empty() {
        Method::GET
    } else {
        Method::POST
    };
    Request::builder()
        .method(method)
        .uri("/v2/items?a=b")
        .body(body)
        .unwrap()
}

/// A request's body that follows a script.
#[derive(Debug, Default)]
struct Script(VecDeque<Piece>);

#[derive(Debug)]
enum Piece {
    Data(&'static str),
    Pause(Pin<Box<tokio::time::Sleep>>),
    Fail,
}

impl Piece {
    fn pause(millis: u64) -> Self {
        Self::Pause(Box::pin(sleep(Duration::from_millis(millis))))
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(Piece::Pause(sleep)) = self.0.front_mut() {
            std::task::ready!(sleep.as_mut().poll(cx));
            self.0.pop_front();
        }
        Poll::Ready(match self.0.pop_front() {
            Some(Piece::Data(text)) => Some(Ok(Frame::data(Bytes::from(text)))),
            Some(Piece::Fail) => Some(Err(io::Error::other("cut"))),
            Some(Piece::Pause(_)) => unreachable!("two pauses in a row"),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// Gives the system a moment to carry bytes over loopback, which it may do behind our back.
async fn settle() {
    std::thread::sleep(Duration::from_millis(5));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn calls_follow_each_other_on_one_connection() {
    let house = House::scripted(&[&[Read, Write(OK), Read, Write(OK), Read, Write(OK)]]).await;
    for _ in 0..3 {
        assert_eq!(house.get().await.unwrap(), "ok");
    }
    assert_eq!(house.counts(), [1, 1, 2]);
}

#[tokio::test]
async fn a_request_has_origin_form_and_a_host() {
    let (listener, url) = listener().await;
    let house = House::new(&url, |_| {});
    let sees = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        let second = head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        (first, second)
    };
    let sends = async {
        let mut absolute = request(Script::default());
        *absolute.uri_mut() = "http://elsewhere/x".parse().unwrap();
        house.call(absolute).await.unwrap();
        let mut hosted = request(Script::default());
        *hosted.version_mut() = Version::HTTP_2;
        let host = HeaderValue::from_static("api.example.com");
        hosted.headers_mut().insert(HOST, host);
        house.call(hosted).await.unwrap();
    };
    let ((first, second), ()) = tokio::join!(sees, sends);
    let port = url.port();
    assert_eq!(
        first,
        format!("GET /x HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n")
    );
    assert_eq!(
        second,
        "GET /v2/items?a=b HTTP/1.1\r\nhost: api.example.com\r\n\r\n"
    );
}

/// What an upstream does on its connections, and what a call in each of them comes to.
type Story = (
    &'static [&'static [Act]],
    &'static [Result<&'static str, &'static str>],
);

const STORIES: [Story; 14] = [
    // Closed between calls: nobody notices.
    (
        &[&[Read, Write(OK), Close], &[Read, Write(OK)]],
        &[Ok("ok"), Ok("ok")],
    ),
    // Closed once the request was read: the caller decides.
    (&[&[Read, Close]], &[Err("upstream_closed")]),
    (
        &[&[Read, Write(OK), Read, Close], &[Read, Write(OK)]],
        &[Ok("ok"), Err("upstream_closed (reused)"), Ok("ok")],
    ),
    (
        &[&[
            Read,
            Write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end"),
            Close,
        ]],
        &[Ok("to the end"), Ok("to the end")],
    ),
    (
        &[&[Read, Write("nonsense\r\n\r\n")]],
        &[Err("upstream_malformed")],
    ),
    (
        &[&[
            Read,
            Write(
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ]],
        &[Err("upstream_malformed")],
    ),
    (
        &[&[
            Read,
            Write("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ]],
        &[Err("upstream_malformed")],
    ),
    (
        &[&[
            Read,
            Write("HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nx"),
        ]],
        &[Err("upstream_malformed")],
    ),
    (
        &[&[
            Read,
            Write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            Read,
            Write(OK),
        ]],
        &[Ok("ok"), Ok("ok")],
    ),
    (
        &[
            &[
                Read,
                Write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
                Close,
            ],
            &[Read, Write(OK)],
        ],
        &[Err("answer_cut"), Ok("ok")],
    ),
    (
        &[&[
            Read,
            Write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
        ]],
        &[Err("answer_slow")],
    ),
    (
        &[&[Read]],
        &[Err("upstream_timeout"), Err("upstream_timeout")],
    ),
    (
        &[&[
            Read,
            Wait(9000),
            Write("HTTP/1.1 100 Continue\r\n\r\n"),
            Wait(500),
            Write(OK),
        ]],
        &[Ok("ok")],
    ),
    (&[&[Close]], &[Err("upstream_closed")]),
];

#[tokio::test(start_paused = true)]
async fn what_an_upstream_does_is_what_a_call_comes_to() {
    for (scripts, outcomes) in STORIES {
        let house = House::scripted(scripts).await;
        for expected in outcomes {
            let outcome = house.get().await;
            let outcome = outcome.as_deref().map_err(String::as_str);
            assert_eq!(outcome, *expected, "{scripts:?}");
            settle().await;
        }
        house.tasks.stop();
        drop(house.upstream);
        house.tasks.finished().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_costs_the_upstream_no_time() {
    let house = House::scripted(&[&[Read, Wait(65_000), Write(OK), Read, Read, Write(OK)]]).await;
    let body = [Piece::Data("a"), Piece::pause(60_000), Piece::Data("b")];
    let start = Instant::now();
    assert_eq!(
        house.call(request(Script(body.into()))).await.unwrap(),
        "ok"
    );
    assert_eq!(start.elapsed().as_secs(), 65);
    assert_eq!(house.get().await.unwrap(), "ok");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_fails_the_call() {
    let house = House::scripted(&[&[Read]]).await;
    let body = [Piece::Data("a"), Piece::Fail];
    let error = house
        .upstream
        .send(request(Script(body.into())))
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::Body(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_dropped_closes_its_connection() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let script: &'static [Act] = Box::leak(Box::new([Read, Write(half)]));
    let scripts: &'static [&'static [Act]] = Box::leak(Box::new([script, &[Read, Write(OK)]]));
    let house = House::scripted(scripts).await;
    let answer = house
        .upstream
        .send(request(Script::default()))
        .await
        .unwrap();
    drop(answer);
    settle().await;
    assert_eq!(house.get().await.unwrap(), "ok");
    assert_eq!(house.counts(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_does_not_spoil_the_connection() {
    let house = House::scripted(&[&[Read, Write(OK), Read, Read, Write(OK)]]).await;
    // Known lengths, so that the scripted upstream need not understand chunks.
    let mut early = request(Script(
        [
            Piece::Data("a"),
            Piece::pause(500),
            Piece::Data("b\r\n\r\n"),
        ]
        .into(),
    ));
    early
        .headers_mut()
        .insert("content-length", HeaderValue::from_static("6"));
    assert_eq!(house.call(early).await.unwrap(), "ok");
    // The body's rest is still to be sent; then the connection can be used again.
    sleep(Duration::from_millis(600)).await;
    assert_eq!(house.get().await.unwrap(), "ok");
    assert_eq!(house.counts(), [1, 1, 1]);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_holds_no_request_back() {
    let (listener, url) = listener().await;
    let house = House::new(&url, |_| {});
    let takes = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let begun = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok";
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = String::new();
        while !rest.ends_with("0\r\n\r\n") {
            rest.push(char::from(stream.read_u8().await.unwrap()));
        }
        rest
    };
    let pieces = [
        Piece::Data("a"),
        Piece::pause(50),
        Piece::Data("b"),
        Piece::pause(50),
    ];
    let sends = house.upstream.send(request(Script(pieces.into())));
    let both = async { tokio::join!(takes, sends) };
    let (rest, answer) = timeout(Duration::from_secs(5), both).await.unwrap();
    assert_eq!(rest, "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    drop(answer.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_has_closed_is_let_go_of() {
    let house = House::scripted(&[&[Read, Write(OK), Close]]).await;
    house.get().await.unwrap();
    settle().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(house.counts(), [0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_than_allowed_and_waiting_is_in_order() {
    let (listener, url) = listener().await;
    let slow: &[Act] = &[
        Read,
        Wait(1000),
        Write(OK),
        Read,
        Wait(1000),
        Write(OK),
        Read,
        Wait(1000),
        Write(OK),
        Read,
    ];
    let scripts: &'static [&'static [Act]] = Box::leak(Box::new([slow]));
    tokio::spawn(play(listener, scripts));
    let house = House::new(&url, |settings| settings.pool.max_connections = 1);
    let order = AtomicUsize::new(0);
    let call = |place| {
        let (house, order) = (&house, &order);
        async move {
            assert_eq!(house.get().await.unwrap(), "ok");
            assert_eq!(order.fetch_add(1, Ordering::Relaxed), place);
        }
    };
    tokio::join!(call(0), call(1), call(2));
    assert_eq!(house.counts(), [1, 1, 2]);
    // The fourth is never answered; who waits behind it is told so.
    let (stuck, busy) = tokio::join!(house.get(), house.get());
    assert_eq!(
        (stuck.unwrap_err(), busy.unwrap_err()),
        ("upstream_timeout".into(), "upstream_busy".into())
    );
}

#[tokio::test(start_paused = true)]
async fn idle_and_old_connections_are_closed() {
    const MANY: &[Act] = &[
        Read,
        Write(OK),
        Read,
        Write(OK),
        Read,
        Write(OK),
        Read,
        Write(OK),
    ];
    let (listener, url) = listener().await;
    tokio::spawn(play(listener, &[MANY]));
    let house = House::new(&url, |settings| {
        settings.pool.idle_timeout = Deadline::seconds(30);
        settings.pool.max_age = Deadline::seconds(70);
    });
    house.get().await.unwrap();
    sleep(Duration::from_secs(29)).await;
    house.get().await.unwrap();
    assert_eq!(house.counts(), [1, 1, 1]);
    sleep(Duration::from_secs(31)).await;
    settle().await;
    assert_eq!(house.counts(), [0, 1, 1]);
    for _ in 0..3 {
        house.get().await.unwrap();
        sleep(Duration::from_secs(25)).await;
    }
    assert_eq!(house.counts(), [0, 2, 3]);
    // The sweeper is gone with the last connection.
    assert!(
        house.tasks.running().is_empty(),
        "{:?}",
        house.tasks.running()
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_closes_what_idles() {
    let house = House::scripted(&[&[Read, Write(OK), Read, Write(OK)]]).await;
    house.get().await.unwrap();
    house.tasks.stop();
    // The upstream itself is still held, and nothing waits for it.
    house.tasks.finished().await;
    assert_eq!(house.counts()[0], 0);
}

#[tokio::test]
async fn a_dial_that_fails_says_why() {
    let (listener, url) = listener().await;
    drop(listener);
    let house = House::new(&url, |_| {});
    assert_eq!(house.get().await.unwrap_err(), "connect_refused");
    let text = TextEncoder::new()
        .encode_to_string(&house.registry.gather())
        .unwrap();
    let line =
        "bearward_upstream_connection_failures_total{reason=\"connect_refused\",route=\"crm\"} 1";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn an_upgrade_is_handed_through() {
    let (listener, url) = listener().await;
    let house = House::new(&url, |_| {});
    let serves = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhi";
        stream.write_all(switch.as_bytes()).await.unwrap();
        stream.read_u8().await.unwrap()
    };
    let calls = async {
        let mut switch = request(Script::default());
        for (name, value) in [("connection", "upgrade"), ("upgrade", "x")] {
            switch
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        let mut answer = house.upstream.send(switch).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut wire = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
        let mut text = [0; 2];
        wire.read_exact(&mut text).await.unwrap();
        wire.write_u8(7).await.unwrap();
        assert_eq!(house.counts()[0], 1);
        text
    };
    let (byte, text) = tokio::join!(serves, calls);
    assert_eq!((byte, &text), (7, b"hi"));
    assert_eq!(house.counts()[0], 0);
}

/// An HTTP/2 upstream over whatever streams it is given; answers with what it was asked.
async fn mirror<S>(stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        if request.uri().path() == "/never" {
            sleep(Duration::from_secs(3600)).await;
        }
        let host = request.headers().contains_key(HOST);
        let text = format!("{} {:?} host={host}", request.uri(), request.version());
        Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(text))))
    });
    let conn = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    let _ = conn.await;
}

async fn http2_house(change: impl FnOnce(&mut Settings)) -> (House, Arc<AtomicUsize>) {
    let (listener, url) = listener().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(mirror(stream));
        }
    });
    let house = House::new(&url, |settings| {
        settings.http = HttpVersion::Http2;
        change(settings);
    });
    (house, accepted)
}

#[tokio::test]
async fn http2_calls_share_one_connection() {
    let (house, accepted) = http2_house(|_| {}).await;
    let calls = (house.get(), house.get(), house.get(), house.get());
    let (a, b, c, d) = tokio::join!(calls.0, calls.1, calls.2, calls.3);
    for answer in [a, b, c, d] {
        let answer = answer.unwrap();
        assert!(answer.starts_with("http://127.0.0.1:"), "{answer}");
        assert!(
            answer.ends_with("/v2/items?a=b HTTP/2.0 host=false"),
            "{answer}"
        );
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    assert_eq!(house.counts(), [1, 1, 3]);
    house.tasks.stop();
    house.tasks.finished().await;
}

#[tokio::test(start_paused = true)]
async fn http2_is_timed_and_ages() {
    let (house, _) = http2_house(|settings| {
        settings.pool.max_age = Deadline::seconds(100);
        settings.pool.idle_timeout = Deadline::After(Period::seconds(50));
    })
    .await;
    let mut never = request(Script::default());
    *never.uri_mut() = "/never".parse().unwrap();
    let start = Instant::now();
    assert_eq!(house.call(never).await.unwrap_err(), "upstream_timeout");
    assert_eq!(start.elapsed().as_secs(), 10);
    // Only the stream was reset.
    house.get().await.unwrap();
    assert_eq!(house.counts(), [1, 1, 1]);
    sleep(Duration::from_secs(51)).await;
    settle().await;
    assert_eq!(house.counts()[0], 0);
    house.get().await.unwrap();
    for _ in 0..3 {
        sleep(Duration::from_secs(40)).await;
        house.get().await.unwrap();
    }
    assert_eq!(house.counts()[1], 3);
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_that_ends_is_replaced() {
    let (listener, url) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let _ = timeout(Duration::from_secs(1), mirror(stream)).await;
        }
    });
    let house = House::new(&url, |settings| settings.http = HttpVersion::Http2);
    for _ in 0..3 {
        house.get().await.unwrap();
        sleep(Duration::from_secs(2)).await;
        settle().await;
    }
    assert_eq!(house.counts()[1..], [3, 0]);
    let mut never = request(Script::default());
    *never.uri_mut() = "/never".parse().unwrap();
    assert_eq!(house.call(never).await.unwrap_err(), "upstream_closed");
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_for_http2_is_shared() {
    let (listener, url) = listener().await;
    let house = House::new(&url, |settings| {
        settings.http = HttpVersion::Http2;
        // It listens, but TLS is never spoken.
        let https = url.to_string().replace("http:", "https:").parse().unwrap();
        let limit = Duration::from_secs(5);
        settings.dialer = Dialer::new(&https, &config::Tls::default(), Alpn::Http2, limit).unwrap();
    });
    let start = Instant::now();
    let (a, b, c) = tokio::join!(house.get(), house.get(), house.get());
    for outcome in [a, b, c] {
        assert_eq!(outcome.unwrap_err(), "connect_timeout");
    }
    assert_eq!(start.elapsed().as_secs(), 5);
    drop(listener);
}

/// Speaks what ALPN chose: HTTP/2 as a mirror, HTTP/1.1 for one call.
async fn speak(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream = acceptor.accept(stream).await.unwrap();
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            tokio::spawn(mirror(stream));
            continue;
        }
        let mut first = [0; 256];
        let _ = stream.read(&mut first).await;
        let _ = stream.write_all(OK.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn alpn_decides_and_later_dials_follow() {
    for (alpn, version) in [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "ok")] {
        let authority = Authority::new();
        let acceptor = authority.acceptor(&names(&["127.0.0.1"]), Clients::Unknown, alpn);
        let (listener, url) = listener().await;
        tokio::spawn(speak(listener, acceptor));
        let house = House::new(&url, |settings| {
            let https = url.to_string().replace("http:", "https:").parse().unwrap();
            let limit = Duration::from_secs(5);
            let alpn = Alpn::from(settings.http);
            settings.dialer = Dialer::new(&https, &authority.settings(), alpn, limit).unwrap();
        });
        let (one, two) = tokio::join!(house.get(), house.get());
        for answer in [one.unwrap(), two.unwrap(), house.get().await.unwrap()] {
            assert!(answer.contains(version), "{answer}");
        }
    }
}
