//! The protocols on both sides: HTTP/1.1 and HTTP/2, TCP and Unix sockets, TLS with its proofs.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::http2::{
    AUTHORITY, END_HEADERS, END_STREAM, GREETING, HEADERS, METHOD, PATH, SCHEME, block, frame,
    verdict,
};
use super::{Raw, World, eventually, lanes, settled};
use crate::practice::{Api, ApiBuilder, Authority, Issuer, Protocol, RawBackend, Reply};
use crate::support::client::{self, Address, PATIENCE};

/// What a call through TLS comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It arrives over this version of HTTP.
    Arrives(Version),
    /// The handshake fails, and the reply says so.
    Fails,
    /// The upstream goes away: TLS 1.3 refuses a client after its handshake has ended.
    Refused,
}
use Outcome::{Arrives, Fails, Refused};

/// How an upstream differs from the usual one, which is an API at its address for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Usual,
    Named,
    Tls12,
    Tls13,
    Certified12,
    Certified13,
    OnlyHttp1,
}
use Upstream::{Certified12, Certified13, Named, OnlyHttp1, Tls12, Tls13, Usual};

impl Upstream {
    fn change(self, api: ApiBuilder) -> ApiBuilder {
        let (v12, v13) = (&rustls::version::TLS12, &rustls::version::TLS13);
        match self {
            Usual => api,
            Named => api.named("api.example"),
            Tls12 => api.tls_version(v12),
            Tls13 => api.tls_version(v13),
            Certified12 => api.tls_version(v12).for_certified_clients(),
            Certified13 => api.tls_version(v13).for_certified_clients(),
            OnlyHttp1 => api.protocol(Protocol::Http1),
        }
    }
}

const ALONE: &str = "ca = 'DIR/ca.pem', system_roots = false";
const MUTUAL: &str =
    "ca = 'DIR/ca.pem', system_roots = false, cert = 'DIR/cert.pem', key = 'DIR/key.pem'";
const NAMED: &str = "ca = 'DIR/ca.pem', server_name = 'api.example'";

/// The upstream, the route's `tls` and more of its keys, and what comes of a call.
const HANDSHAKES: [(Upstream, &str, &str, Outcome); 15] = [
    (Usual, ALONE, "", Arrives(Version::HTTP_2)),
    (Usual, "ca = 'DIR/ca.pem'", "", Arrives(Version::HTTP_2)),
    (Usual, "", "", Fails),
    (Usual, "ca = 'DIR/other.pem'", "", Fails),
    (Named, ALONE, "", Fails),
    (Named, NAMED, "", Arrives(Version::HTTP_2)),
    (Tls12, ALONE, "", Arrives(Version::HTTP_2)),
    (Tls13, ALONE, "", Arrives(Version::HTTP_2)),
    (Certified12, MUTUAL, "", Arrives(Version::HTTP_2)),
    (Certified13, MUTUAL, "", Arrives(Version::HTTP_2)),
    (Certified12, ALONE, "", Fails),
    (Certified13, ALONE, "", Refused),
    (OnlyHttp1, ALONE, "", Arrives(Version::HTTP_11)),
    (Usual, ALONE, "http = 'http1'", Arrives(Version::HTTP_11)),
    (OnlyHttp1, ALONE, "http = 'http2'", Fails),
];

/// A folder with the certificates that the routes above name.
fn certificates(authority: &Authority) -> TempDir {
    let other = Authority::new().unwrap();
    let (cert, key) = authority.certificate(&["legacy"]).unwrap();
    let folder = TempDir::new().unwrap();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("other.pem", other.pem()),
        ("cert.pem", &cert),
        ("key.pem", &key),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[tokio::test]
async fn an_upstream_must_prove_itself_and_is_proved_to() {
    let authority = Authority::new().unwrap();
    let folder = certificates(&authority);
    let issuer = Issuer::start().await;
    let mut apis = Vec::new();
    for (upstream, ..) in HANDSHAKES {
        let api = upstream.change(Api::builder().trusting(&issuer));
        apis.push(api.start_tls(&authority).await.unwrap());
    }
    let folder = folder.path().to_str().unwrap();
    let routes = apis.iter().zip(HANDSHAKES).map(|(api, (_, tls, keys, _))| {
        let keys = format!("tls = {{ {tls} }}\n{keys}").replace("DIR", folder);
        (api.url().to_owned(), keys)
    });
    let sidecar = lanes(&issuer, routes, |sidecar| sidecar).await;
    for (place, (upstream, tls, keys, expected)) in HANDSHAKES.into_iter().enumerate() {
        let what = format!("{upstream:?} {tls} {keys}");
        let answer = sidecar.get(&format!("/{place}")).await;
        if let Arrives(version) = expected {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            assert_eq!(apis[place].last().unwrap().version, version, "{what}");
            continue;
        }
        assert_eq!(answer.status, 502, "{what}");
        let fails = answer.json()["error"] == "tls_failed";
        assert_eq!(fails, expected == Fails, "{what}: {}", answer.text());
        assert!(apis[place].requests().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn many_streams_of_http2_share_one_connection() {
    let world = World::with(|sidecar| sidecar.route("http = 'http2'")).await;
    let mut connection = world.sidecar.connect_http2().await;
    let slow = Reply::regular().delay(Duration::from_millis(200));
    world.api.on("/slow", slow);
    let slow = connection.open(client::get("/slow")).await;
    let mut calls = Vec::new();
    for number in 0..30 {
        let path = format!("/{number}");
        let answer = connection.get(&path).await.unwrap();
        calls.push((answer.version, answer.json()["path"].clone(), path));
    }
    for (version, got, path) in calls {
        assert_eq!((version, got), (Version::HTTP_2, path.into()));
    }
    assert_eq!(slow.unwrap().status(), 200);
    assert_eq!(world.api.connections(), 1);
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static(value));
    trailers
}

/// As gRPC does it: both ways at once, the status in the trailers.
#[tokio::test]
async fn a_stream_goes_both_ways_at_once() {
    let world = World::with(|sidecar| sidecar.route("http = 'http2'")).await;
    let echo = Reply::echo().header("content-type", "application/grpc");
    world.api.on("/chat.Chat/Talk", echo);
    let mut connection = world.sidecar.connect_http2().await;
    let (frames, body) = client::streamed();
    let mut request = client::post("/chat.Chat/Talk", "").map(|_| body);
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc")] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let mut answer = connection.open(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    for number in 0..10 {
        // The next piece is sent only after the one before has come back.
        let piece = Bytes::from(format!("message {number}"));
        frames.send(Frame::data(piece.clone())).await.unwrap();
        let back = timeout(PATIENCE, answer.body_mut().frame()).await.unwrap();
        assert_eq!(back.unwrap().unwrap().into_data().unwrap(), piece);
    }
    let status = trailers("grpc-status", "0");
    frames.send(Frame::trailers(status.clone())).await.unwrap();
    drop(frames);
    let last = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap(), status);
    let arrived = world.api.last().unwrap();
    assert_eq!(arrived.header("te"), Some("trailers"));
    assert_eq!(arrived.version, Version::HTTP_2);
    settled(&world.sidecar).await;
}

#[tokio::test]
async fn an_answer_of_trailers_alone_passes() {
    let world = World::with(|sidecar| sidecar.route("http = 'http2'")).await;
    let refusal = Reply::status(200)
        .header("content-type", "application/grpc")
        .header("grpc-status", "12");
    world.api.on("/chat.Chat/No", refusal);
    let mut connection = world.sidecar.connect_http2().await;
    let mut answer = connection
        .open(client::post("/chat.Chat/No", "x"))
        .await
        .unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12");
    assert!(answer.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn a_unix_socket_serves_whom_its_mode_lets_in() {
    for (mode, expected) in [("0600", 0o600), ("0660", 0o660)] {
        let mut path = None;
        let mut world = World::with(|sidecar| {
            let socket = sidecar.home().join("proxy.sock");
            let keys = format!(
                "listen = 'unix:{}'\nsocket_mode = '{mode}'",
                socket.display()
            );
            path = Some(socket);
            sidecar.config(&format!("[proxy]\n{keys}"))
        })
        .await;
        let path = path.unwrap();
        assert_eq!(world.sidecar.proxy(), &Address::Unix(path.clone()));
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, expected);
        assert_eq!(world.sidecar.get("/").await.status, 200);
        let mut connection = world.sidecar.connect_http2().await;
        assert_eq!(connection.get("/").await.unwrap().status, 200);
        drop(connection);
        world.sidecar.stop().await;
        assert!(!path.exists());
    }
}

/// Over TCP the two look the same, and both are kept for a while.
#[tokio::test]
async fn over_a_unix_socket_who_is_gone_is_told_from_who_still_listens() {
    let world = World::with(|sidecar| {
        let socket = sidecar.home().join("proxy.sock");
        sidecar.config(&format!("[proxy]\nlisten = 'unix:{}'", socket.display()))
    })
    .await;
    let slow = Reply::status(200).delay(Duration::from_millis(700));
    world.api.on("/slow", slow);
    world.api.on("/never", Reply::status(200).delay(PATIENCE));
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(ask("/slow").as_bytes()).await.unwrap();
    wire.shutdown().await.unwrap();
    let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(ask("/never").as_bytes()).await.unwrap();
    eventually(&world.sidecar, "bearward_requests_in_flight", 1.0).await;
    let gone = Instant::now();
    drop(wire);
    settled(&world.sidecar).await;
    assert!(gone.elapsed() < Duration::from_secs(2));
}

/// One request in one HEADERS frame that ends its stream, after preface and SETTINGS.
fn request_of(fields: &[(&str, &str)]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    [GREETING, &head].concat()
}

/// Heads of HTTP/2 that are refused (RFC 9113 §8.2, §8.3).
const REFUSED: [&[(&str, &str)]; 28] = [
    &[SCHEME, AUTHORITY, PATH],
    &[METHOD, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY],
    &[METHOD, SCHEME, PATH],
    &[METHOD, METHOD, SCHEME, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, PATH],
    &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")],
    &[METHOD, SCHEME, AUTHORITY, PATH, (":odd", "x")],
    &[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH],
    &[METHOD, SCHEME, AUTHORITY, (":path", "")],
    &[METHOD, SCHEME, AUTHORITY, (":path", "*")],
    &[METHOD, SCHEME, AUTHORITY, (":path", "nowhere")],
    &[METHOD, SCHEME, AUTHORITY, (":path", "?a=b")],
    &[METHOD, SCHEME, AUTHORITY, (":path", "/a b")],
    &[METHOD, SCHEME, AUTHORITY, (":path", "/ HTTP/1.1\r\nX: y")],
    &[METHOD, SCHEME, (":authority", "me@a"), PATH],
    &[METHOD, SCHEME, (":authority", "a/b"), PATH],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "b")],
    &[METHOD, SCHEME, PATH, ("host", "a"), ("host", "a")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("X-Upper", "y")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x y", "z")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x", "y\r\nz: w")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("x", "y\0")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("connection", "close")],
    &[
        METHOD,
        SCHEME,
        AUTHORITY,
        PATH,
        ("transfer-encoding", "chunked"),
    ],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("te", "gzip")],
    &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "5")],
];

#[tokio::test]
async fn what_http2_forbids_is_refused_and_reaches_nobody() {
    let world = Raw::new().await;
    let try_out = async |fields: &[(&str, &str)]| {
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        wire.write_all(&request_of(fields)).await.unwrap();
        verdict(&mut wire).await
    };
    for fields in REFUSED {
        let (kind, first) = try_out(fields).await;
        // 0x88 is `:status: 200` (RFC 7541, appendix A).
        assert!(kind != 1 || first != 0x88, "{fields:?} was answered");
    }
    for method in ["TRACE", "CONNECT"] {
        let (kind, first) = try_out(&[(":method", method), SCHEME, AUTHORITY, PATH]).await;
        assert!(kind != 1 || first != 0x88, "{method} was answered");
    }
    assert_eq!(world.backend.text(), "");
    for fields in [
        &[METHOD, SCHEME, AUTHORITY, PATH][..],
        &[METHOD, SCHEME, PATH, ("host", "a")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "A")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("te", "trailers")],
    ] {
        assert_eq!(try_out(fields).await, (1, 0x88), "{fields:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_http2_is_told() {
    // A SETTINGS frame, then one that no client may get: HEADERS on stream 0.
    let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\0\x88".to_vec();
    let backend = RawBackend::start([crate::practice::Step::write(frames)]).await;
    let world = Raw::behind(backend, |sidecar| sidecar.route("http = 'http2'")).await;
    let answer = world.sidecar.get("/").await;
    assert_eq!(answer.status, 502);
    // Where its frames are there before the call is, the call finds the connection closed.
    let reason = answer.json()["error"].as_str().unwrap().to_owned();
    let known = ["upstream_malformed", "upstream_closed"];
    assert!(known.contains(&reason.as_str()), "{reason}");
}
