//! What an answer says of itself: its length once, its version ours, its end never mistaken.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Raw, both, status};
use crate::practice::{RawBackend, Step};
use crate::support::client;

/// A backend that answers so, and then closes if it is told to.
async fn behind(answer: impl Into<bytes::Bytes>) -> Raw {
    Raw::behind(RawBackend::answering(answer).await, |sidecar| sidecar).await
}

async fn closing(answer: &'static str) -> Raw {
    let pause = Step::Pause(Duration::from_millis(20));
    let steps = [Step::read_head(), Step::write(answer), pause, Step::Close];
    Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await
}

/// Two fields that agree are no lie, but the next party may refuse them (RFC 9110 §8.6).
#[tokio::test]
async fn a_length_is_said_once() {
    for lengths in [
        "content-length: 2\r\ncontent-length: 2",
        "content-length: 2, 2",
        "content-length: 2,2\r\nContent-Length: 2",
    ] {
        let world = behind(format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nhi")).await;
        for mut connection in both(&world.sidecar).await {
            let answer = connection.get("/").await.unwrap();
            assert_eq!(answer.text(), "hi", "{lengths}");
            let said = answer.headers.get_all("content-length");
            assert_eq!(said.iter().collect::<Vec<_>>(), ["2"], "{lengths}");
        }
    }
    // Nobody reads the content of these, so nobody has compared them either.
    let world = behind("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n").await;
    let head = client::request(http::Method::HEAD, "/", "");
    let answer = world.sidecar.send(head).await;
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn an_answer_without_content_has_no_length_for_http2_either() {
    let world = behind("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n").await;
    for mut connection in both(&world.sidecar).await {
        let answer = connection.get("/").await.unwrap();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("content-length"), None);
    }
}

#[tokio::test]
async fn an_answer_of_http_1_0_comes_in_our_version_and_keeps_the_connection() {
    let world = closing("HTTP/1.0 200 OK\r\n\r\nhi").await;
    let mut connection = world.sidecar.connect().await;
    for _ in 0..2 {
        let answer = connection.get("/").await.unwrap();
        assert_eq!(answer.version, http::Version::HTTP_11);
        assert_eq!(answer.text(), "hi");
    }
}

/// The end of the connection is the end of such an answer, so only a reset says that it is none.
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_short_success_for_http_1_0_either() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nx\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
    ] {
        let world = closing(answer).await;
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        wire.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut read = Vec::new();
        let end = wire.read_to_end(&mut read).await;
        let kind = end.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::ConnectionReset), "{answer:?}");
    }
    let world = closing("HTTP/1.1 200 OK\r\n\r\nhi").await;
    let answer = world
        .sidecar
        .proxy()
        .exchange("GET / HTTP/1.0\r\n\r\n")
        .await;
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
}

#[tokio::test]
async fn what_is_meant_for_one_hop_is_no_trailer() {
    let hop = [
        "connection: close",
        "keep-alive: timeout=5",
        "upgrade: h2c",
        "transfer-encoding: chunked",
        "content-length: 5",
        "te: gzip",
        "host: a",
    ];
    let named: Vec<_> = hop
        .iter()
        .map(|field| field.split(':').next().unwrap())
        .collect();
    let (named, fields) = (named.join(", "), hop.join("\r\n"));
    let world = behind(format!(
        "HTTP/1.1 200 OK\r\ntrailer: x-sum, {named}\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 1\r\n{fields}\r\n\r\n"
    ))
    .await;
    for mut connection in both(&world.sidecar).await {
        let mut request = client::get("/");
        let te = "trailers".parse().unwrap();
        request.headers_mut().insert("te", te);
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.text(), "hi");
        let trailers = answer.trailers.unwrap();
        let left: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(left, ["x-sum"]);
    }
}

/// RFC 9110 §15.5.22: a 426 without the protocol would say nothing.
#[tokio::test]
async fn an_upgrade_that_is_demanded_is_named() {
    let demand = "HTTP/1.1 426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        content-length: 0\r\n\r\n";
    let world = behind(demand).await;
    let [mut http1, mut http2] = both(&world.sidecar).await;
    for _ in 0..2 {
        let answer = http1.get("/").await.unwrap();
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("connection"), Some("upgrade"));
    }
    let answer = http2.get("/").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.header("upgrade")),
        (426, None)
    );
    // Said beside another status it is meant for this hop.
    let world = behind("HTTP/1.1 200 OK\r\nupgrade: h2c\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(world.sidecar.get("/").await.header("upgrade"), None);
}

#[tokio::test]
async fn more_than_a_hundred_fields_pass_by_key() {
    let fields: Vec<_> = (0..150)
        .map(|n| format!("Set-Cookie: c{n}=1\r\n"))
        .collect();
    let fields = fields.concat();
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n");
    let world = behind(answer.clone()).await;
    assert_eq!(world.sidecar.get("/").await.status, 502);
    let backend = RawBackend::answering(answer).await;
    let world = Raw::behind(backend, |s| s.route("max_headers = 200")).await;
    for mut connection in both(&world.sidecar).await {
        // The client of these tests takes no more over HTTP/1.1.
        let Ok(answer) = connection.get("/").await else {
            continue;
        };
        let cookies = answer.headers.get_all("set-cookie").iter();
        let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap()).collect();
        let expected: Vec<_> = (0..150).map(|n| format!("c{n}=1")).collect();
        assert_eq!(cookies, expected, "in their order");
    }
    let wire = world.sidecar.proxy();
    let text = wire
        .exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&text), 200);
    assert_eq!(text.matches("set-cookie: c").count(), 150);
}

/// An upstream that wants no more of a request may close behind its answer, with a reset where it
/// has not read all: what could not be sent is no reason not to read.
#[tokio::test]
async fn an_early_answer_passes_although_the_upstream_hangs_up_behind_it() {
    let refusal =
        "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig";
    let steps = [Step::read_head(), Step::write(refusal), Step::Close];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    for _ in 0..10 {
        for mut connection in both(&world.sidecar).await {
            let upload = client::post("/", vec![b'x'; 512 * 1024]);
            let answer = connection.send(upload).await.unwrap();
            assert_eq!(answer.status, 413, "{answer:?}");
            assert_eq!(answer.text(), "big");
        }
    }
}
