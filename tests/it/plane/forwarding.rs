//! What of a call passes, to the byte: what it asks for, what it says, and nothing invented.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Raw, World, both, head, head_of, status};
use crate::practice::{Api, Gate, Issuer, RawBackend, Reply, Secrets};
use crate::support::Sidecar;
use crate::support::client::{self, Sent};

/// What is asked for, and what the upstream is asked for.
const TARGETS: [(&str, &str); 22] = [
    ("GET /", "GET /"),
    ("GET /a%2Fb%2fc", "GET /a%2Fb%2fc"),
    ("GET //a///b//", "GET //a///b//"),
    ("GET //evil.example/x", "GET //evil.example/x"),
    ("GET /a/../b/./c", "GET /a/../b/./c"),
    ("GET /%2e%2e/%2E/", "GET /%2e%2e/%2E/"),
    ("GET /Case/cAsE", "GET /Case/cAsE"),
    ("GET /a?", "GET /a?"),
    ("GET /a?b=c&b=d&&e=%20+%2B?/", "GET /a?b=c&b=d&&e=%20+%2B?/"),
    ("GET /a?next=http://b/c", "GET /a?next=http://b/c"),
    ("GET /a;v=1,2/b'(x)!$*", "GET /a;v=1,2/b'(x)!$*"),
    ("GET /a:b@c", "GET /a:b@c"),
    (
        "GET /caf\u{e9}/\u{65e5}?q=\u{fc}",
        "GET /caf\u{e9}/\u{65e5}?q=\u{fc}",
    ),
    ("GET /%00%ff%zz", "GET /%00%ff%zz"),
    ("GET /{a}|b\"", "GET /{a}|b\""),
    ("get /", "get /"),
    ("PROPFIND /dav", "PROPFIND /dav"),
    ("X-ODD!#$ /", "X-ODD!#$ /"),
    ("OPTIONS *", "OPTIONS *"),
    ("GET http://elsewhere.example/a%2fb?c", "GET /a%2fb?c"),
    ("GET http://elsewhere.example", "GET /"),
    ("GET https://elsewhere.example:1?a=b", "GET /?a=b"),
];

#[tokio::test]
async fn methods_and_targets_pass_byte_for_byte() {
    let world = Raw::new().await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    for (asked, _) in TARGETS {
        let request = format!("{asked} HTTP/1.1\r\nHost: legacy\r\n\r\n");
        wire.write_all(request.as_bytes()).await.unwrap();
        let answer = head_of(&mut wire).await;
        assert_eq!(status(&answer), 200, "{asked}: {answer}");
    }
    let reached = world.reached();
    let lines = reached.split("\r\n");
    let asked: Vec<&str> = lines.filter_map(|l| l.strip_suffix(" HTTP/1.1")).collect();
    let expected: Vec<&str> = TARGETS.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(asked, expected);
    assert_eq!(reached.matches("host: HOST\r\n").count(), TARGETS.len());
    assert_eq!(world.backend.received().len(), 1, "one kept connection");
}

#[tokio::test]
async fn a_requests_head_passes_and_only_the_credential_is_added() {
    let world = Raw::new().await;
    let request = b"POST /orders HTTP/1.1\r\n\
        Host: crm.internal:8080\r\n\
        User-Agent: legacy/1.0\r\n\
        Accept: */*\r\n\
        X-Twice: b\r\n\
        X-Twice: a\r\n\
        X-Empty:\r\n\
        X-Bytes: caf\xe9\r\n\
        Cookie: a=1; b=2\r\n\
        Authorization: Bearer callers-own\r\n\
        Authorization: Basic Y2FsbGVyOm93bg==\r\n\
        Proxy-Authorization: Basic eA==\r\n\
        Connection: close, X-Hop, Authorization, Host, , Content-Length\r\n\
        X-Hop: 1\r\n\
        Keep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\n\
        TE: gzip;q=0.5, trailers\r\n\
        Trailer: X-Sum\r\n\
        Content-Length: 2\r\n\r\nhi";
    let answer = world.sidecar.proxy().exchange(request).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let reached = world.reached();
    assert_eq!(
        head(&reached),
        [
            "POST /orders HTTP/1.1",
            "accept: */*",
            "authorization: Bearer TOKEN",
            "connection: te",
            "content-length: 2",
            "cookie: a=1; b=2",
            "host: HOST",
            "te: trailers",
            "trailer: X-Sum",
            "user-agent: legacy/1.0",
            "x-bytes: caf\u{fffd}",
            "x-empty: ",
            "x-twice: a",
            "x-twice: b",
        ]
    );
    assert!(reached.find("x-twice: b").unwrap() < reached.find("x-twice: a").unwrap());
    assert!(reached.ends_with("\r\n\r\nhi"));
}

#[tokio::test]
async fn the_barest_request_gets_host_and_credential_and_nothing_else() {
    let world = Raw::new().await;
    for (request, framing) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            None,
        ),
        (
            "DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Some("content-length: 0"),
        ),
        ("GET / HTTP/1.0\r\n\r\n", None),
    ] {
        let before = world.reached().len();
        let answer = world.sidecar.proxy().exchange(request).await;
        assert_eq!(status(&answer), 200, "{request}");
        let reached = world.reached();
        let mut expected = vec!["authorization: Bearer TOKEN"];
        expected.extend(framing);
        expected.push("host: HOST");
        assert_eq!(head(&reached[before..])[1..], expected, "{request}");
    }
}

#[tokio::test]
async fn an_answers_head_passes_and_nothing_is_invented() {
    let answer = "HTTP/1.1 418 Whatever\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
        Server: theirs\r\nContent-Type: text/x-odd\r\nSet-Cookie: b=1\r\nSet-Cookie: a=2\r\n\
        Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
        Proxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
        Location: http://elsewhere.example/\r\nX-Bytes: caf\u{e9}\r\nContent-Length: 2\r\n\r\nhi";
    let world = Raw::behind(RawBackend::answering(answer).await, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&wire.until(b"\r\n\r\nhi").await).into_owned();
    assert_eq!(
        head(&answer),
        [
            "HTTP/1.1 418 Whatever",
            "content-length: 2",
            "content-type: text/x-odd",
            "date: Thu, 01 Jan 1970 00:00:00 GMT",
            "location: http://elsewhere.example/",
            "server: theirs",
            "set-cookie: a=2",
            "set-cookie: b=1",
            "x-bytes: caf\u{e9}",
        ]
    );
    assert!(answer.find("set-cookie: b").unwrap() < answer.find("set-cookie: a").unwrap());
}

/// RFC 9110 §6.6.1 demands a `Date` of whoever forwards an answer that has none.
#[tokio::test]
async fn an_answer_without_a_date_gets_one_and_nothing_else() {
    let backend = RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let world = Raw::behind(backend, |sidecar| sidecar).await;
    let answer = world.sidecar.get("/").await;
    let names: Vec<&str> = answer.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(answer.headers.contains_key("date"));
}

#[tokio::test]
async fn a_credential_stands_where_the_grant_says() {
    for (inject, name, scheme) in [
        ("header = 'Authorization'", "authorization", "Bearer "),
        ("scheme = 'OAuth'", "authorization", "OAuth "),
        ("scheme = ''", "authorization", ""),
        (
            "header = 'X-Shopify-Access-Token'\nscheme = ''",
            "x-shopify-access-token",
            "",
        ),
        ("header = 'X-Auth'\nscheme = 'Token'", "x-auth", "Token "),
    ] {
        let world = Raw::behind(
            RawBackend::answering("HTTP/1.1 204 No Content\r\n\r\n").await,
            |sidecar| {
                let headers = "headers = { X-Version = '2026-01', X-Key = { env = 'API_KEY' } }";
                let sidecar = sidecar.grant(&format!("[inject]\n{inject}")).route(headers);
                let secrets = Secrets::default();
                let key = secrets.keep("key-of-the-api-9d3f1");
                sidecar.watch(&secrets).environment("API_KEY", &key)
            },
        )
        .await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mine\r\n{name}: mine too\r\n\
             X-Version: mine\r\nConnection: close, {name}\r\n\r\n"
        );
        world.sidecar.proxy().exchange(request).await;
        let reached = world.reached();
        let mut expected = vec![
            format!("{name}: {scheme}TOKEN"),
            String::from("host: HOST"),
            String::from("x-key: key-of-the-api-9d3f1"),
            String::from("x-version: 2026-01"),
        ];
        expected.sort_unstable();
        assert_eq!(head(&reached)[1..], expected, "{inject}");
    }
}

#[tokio::test]
async fn answers_without_content_keep_their_fields_and_the_connection() {
    let world = World::new().await;
    let page = "x".repeat(1000);
    world.api.on("/page", Reply::status(200).body(page.clone()));
    world.api.on("/gone", Reply::status(204));
    world
        .api
        .on("/stream", Reply::pieces(["a", "b"], Duration::ZERO));
    for mut connection in both(&world.sidecar).await {
        for (method, path, status, length, content) in [
            (Method::HEAD, "/page", 200, Some("1000"), 0),
            (Method::HEAD, "/stream", 200, None, 0),
            (Method::GET, "/gone", 204, None, 0),
            (Method::GET, "/page", 200, Some("1000"), 1000),
        ] {
            let what = format!("{method} {path}");
            let request = client::request(method, path, "");
            let answer = connection.send(request).await.expect(&what);
            assert_eq!(answer.status, status, "{what}");
            assert_eq!(answer.header("content-length"), length, "{what}");
            assert_eq!(answer.body.len(), content, "{what}");
        }
        assert!(connection.is_open());
    }
}

/// A 304 may tell the length of what it stands for (RFC 9110 §8.6), which is not its own.
/// hyper's server leaves that out over HTTP/1.1, as it may.
#[tokio::test]
async fn an_answer_that_nothing_has_changed_keeps_its_fields() {
    let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 1000\r\n\r\n";
    let world = Raw::behind(RawBackend::answering(answer).await, |sidecar| sidecar).await;
    for mut connection in both(&world.sidecar).await {
        for _ in 0..2 {
            let answer = connection.get("/").await.unwrap();
            assert_eq!(answer.status, 304);
            assert_eq!(answer.header("etag"), Some("\"1\""));
            assert_eq!(answer.body, "");
        }
        assert!(connection.is_open());
    }
    assert_eq!(world.backend.received().len(), 1);
}

#[tokio::test]
async fn http_1_0_is_answered_in_kind() {
    let world = World::new().await;
    world
        .api
        .on("/stream", Reply::pieces(["one ", "two"], Duration::ZERO));
    let proxy = world.sidecar.proxy();
    let answer = proxy.exchange("GET /stream HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\none two"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    let keep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let twice = format!("{keep}GET / HTTP/1.0\r\n\r\n");
    let answers = proxy.exchange(twice).await;
    assert_eq!(answers.matches(" 200 OK\r\n").count(), 2, "{answers}");
    let versions = world.api.requests().all();
    assert!(versions.iter().all(|r| r.version == http::Version::HTTP_11));
}

#[tokio::test]
async fn requests_in_one_write_are_answered_in_order() {
    let world = World::new().await;
    world.api.on(
        "/1",
        Reply::status(200)
            .body("[one]")
            .delay(Duration::from_millis(50)),
    );
    world.api.on("/2", Reply::echo());
    world.api.on("/3", Reply::status(200).body("[three]"));
    let requests = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[two]\r\n0\r\n\r\n\
        GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = world.sidecar.proxy().exchange(requests).await;
    let places = ["[one]", "[two]", "[three]"].map(|what| answers.find(what));
    assert!(places.iter().all(Option::is_some), "{answers}");
    assert!(places.is_sorted(), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(world.api.connections(), 1);
}

/// Search engines take a `GET` with a body, and some clients send it in chunks.
#[tokio::test]
async fn a_body_passes_whatever_the_method() {
    let world = World::new().await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "QUERY"] {
        for body in [
            "Content-Length: 5\r\n\r\nquery",
            "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nqu\r\n3\r\nery\r\n0\r\n\r\n",
        ] {
            let request =
                format!("{method} /_search HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}");
            let answer = world.sidecar.proxy().exchange(request).await;
            assert_eq!(status(&answer), 200, "{method}: {answer}");
            let arrived = world.api.last().unwrap();
            assert_eq!(arrived.method.as_str(), method);
            assert_eq!(arrived.body, "query", "{method} {body}");
        }
    }
}

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    fields.collect()
}

/// Sends two bytes and trailers, and names them beforehand.
fn with_trailers(fields: HeaderMap) -> Request<Sent> {
    let (frames, body) = client::streamed();
    let mut request = client::post("/echo", "").map(|_| body);
    let named = HeaderValue::from_static("x-sum, authorization, x-version");
    request.headers_mut().insert("trailer", named);
    let te = HeaderValue::from_static("trailers");
    request.headers_mut().insert("te", te);
    tokio::spawn(async move {
        frames.send(Frame::data(Bytes::from("hi"))).await.unwrap();
        frames.send(Frame::trailers(fields)).await.unwrap();
    });
    request
}

#[tokio::test]
async fn trailers_pass_both_ways_without_what_is_put_on() {
    for http in ["http1", "http2"] {
        let route = format!("http = '{http}'\nheaders = {{ X-Version = '1' }}");
        let world = World::with(|sidecar| sidecar.route(&route)).await;
        let answer = Reply::echo().header("trailer", "x-sum");
        world.api.on("/echo", answer);
        for mut connection in both(&world.sidecar).await {
            let sent = trailers(&[
                ("x-sum", "42"),
                ("authorization", "Bearer mine"),
                ("x-version", "2"),
            ]);
            let answer = connection.send(with_trailers(sent)).await.expect(http);
            let passed = Some(trailers(&[("x-sum", "42")]));
            assert_eq!(answer.body, "hi", "{http}");
            assert_eq!(answer.trailers, passed, "{http}");
            let arrived = world.api.last().unwrap();
            assert_eq!(arrived.trailers, passed, "{http}");
            assert_eq!(arrived.header("te"), Some("trailers"), "{http}");
        }
    }
}

#[tokio::test]
async fn the_body_is_not_asked_for_before_there_is_a_token() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let gate = Gate::closed();
    issuer.next(Reply::regular().hold(&gate));
    let sidecar = Sidecar::between(&issuer, &api).start_unready().await;
    gate.reached_by(1).await;
    let mut wire = sidecar.proxy().connect().await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    wire.write_all(head.as_bytes()).await.unwrap();
    let mut byte = [0; 1];
    let early = timeout(Duration::from_millis(150), wire.read(&mut byte)).await;
    assert!(early.is_err(), "nothing before the token");
    gate.open();
    let interim = head_of(&mut wire).await;
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    wire.write_all(b"hi").await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 200);
    assert_eq!(api.last().unwrap().body, "hi");
}

#[tokio::test]
async fn a_refused_expectation_is_never_told_to_go_on() {
    let world = World::with(|sidecar| sidecar.config("proxy.max_body = '1KiB'")).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n";
    let answer = world.sidecar.proxy().exchange(head).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(world.api.requests().is_empty());
}

#[tokio::test]
async fn large_heads_pass_up_to_the_limit() {
    let world = World::new().await;
    for length in [8_000, 32_000, 60_000] {
        let large = "x".repeat(length);
        let mut request = client::get("/");
        let value = HeaderValue::try_from(&large).unwrap();
        request.headers_mut().insert("x-large", value);
        assert_eq!(world.sidecar.send(request).await.status, 200);
        assert_eq!(world.api.last().unwrap().header("x-large"), Some(&*large));
        world
            .api
            .on("/large", Reply::status(200).header("x-large", &large));
        let answer = world.sidecar.get("/large").await;
        assert_eq!(answer.header("x-large"), Some(&*large));
    }
}

#[tokio::test]
async fn cookies_of_http2_reach_http1_as_one_field() {
    let world = Raw::new().await;
    let mut connection = world.sidecar.connect_http2().await;
    let mut request = client::get("/");
    for crumb in ["a=1", "b=2", "c=3"] {
        let crumb = HeaderValue::from_static(crumb);
        request.headers_mut().append("cookie", crumb);
    }
    assert_eq!(connection.send(request).await.unwrap().status, 200);
    let reached = world.reached();
    assert!(
        reached.contains("\r\ncookie: a=1; b=2; c=3\r\n"),
        "{reached}"
    );
    assert_eq!(reached.matches("cookie").count(), 1);
}
