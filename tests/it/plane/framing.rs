//! Messages whose ends two parties could see differently, and heads that HTTP forbids: raw
//! bytes in, and to the byte what reaches the other side.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::{Raw, lanes, status};
use crate::practice::{Issuer, RawBackend, Step};

/// Heads and bodies that are refused: nothing of them may reach the upstream.
const REFUSED: [(&str, u16); 87] = [
    // Two framings, or one that is not plain.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    // Lengths.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\na",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    // Lines.
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x08b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("G\tT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
    ("GET /\r\nHost: a\r\n\r\n", 400),
    // Targets and hosts.
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET evil.example HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http://me:too@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("trace / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("TRACK / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("Connect / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    // Codings that another parser might take for the one.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: xchunked\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: identity\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 2\r\n\r\nab",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\x0b\r\n\r\na",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 01\r\nContent-Length: 2\r\n\r\nab",
        400,
    ),
    // Names.
    ("GET / HTTP/1.1\r\nHost: a\r\nX(Y): 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n\"X\": 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX@Y: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\x7f: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n\u{e9}: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400),
    // Hosts and targets.
    ("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
    ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http://evil.example/x HTTP/1.1\r\n\r\n", 400),
    (
        "GET http://evil.example/x HTTP/1.1\r\nHost: a\r\nHost: evil.example\r\n\r\n",
        400,
    ),
    ("GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03\r\n\r\n", 400),
];

#[tokio::test]
async fn what_http_forbids_is_refused_and_reaches_nobody() {
    let world = Raw::new().await;
    for (request, expected) in REFUSED {
        // What stands behind must not be taken for a request of its own.
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        wire.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&wire.until(b"\r\n\r\n").await).into_owned();
        assert_eq!(status(&answer), expected, "{request:?}: {answer}");
    }
    // Nor what follows in the same segment: where it begins is a matter of opinion by now.
    for (request, _) in REFUSED {
        let both = format!("{request}GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n");
        world.sidecar.proxy().exchange(both).await;
    }
    assert_eq!(world.backend.text(), "");
    assert_eq!(world.sidecar.get("/").await.status, 200);
}

/// Bodies whose framing goes wrong in the middle: 400, and the upstream never sees an end.
const BROKEN_CHUNKS: [&str; 25] = [
    "x\r\na\r\n0\r\n\r\n",
    "-1\r\na\r\n0\r\n\r\n",
    "+1\r\na\r\n0\r\n\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    "\r\na\r\n0\r\n\r\n",
    "1\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "1\r\na0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "1;ext=\na\r\n0\r\n\r\n",
    "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
    "1\r\na\r\n0\r\nX : y\r\n\r\n",
    "1 2\r\na\r\n0\r\n\r\n",
    "1;a\rb\r\na\r\n0\r\n\r\n",
    "1;a\0\r\na\r\n\0\r\n\r\n",
    "1\r\r\na\r\n0\r\n\r\n",
    "1\ra\r\n0\r\n\r\n",
    "10000000000000001\r\na\r\n0\r\n\r\n",
    "1_0\r\na\r\n0\r\n\r\n",
    "1,1\r\na\r\n0\r\n\r\n",
    "\u{661}\r\na\r\n0\r\n\r\n",
    "1\r\na\r\n0\r\nX: a\0b\r\n\r\n",
    "1\r\na\r\n0\r\nX: a\r\n b\r\n\r\n",
    "1\r\na\r\n0\r\nno colon\r\n\r\n",
    "1\r\na\r\n0\r\nX(Y): z\r\n\r\n",
];

#[tokio::test]
async fn a_body_with_broken_chunks_is_refused_and_ends_for_nobody() {
    // An upstream that waits for the end of what it is sent.
    let steps = [
        Step::ReadUntil(Bytes::from("\r\n0\r\n\r\n")),
        Step::write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        Step::Again,
    ];
    let backend = RawBackend::start(steps).await;
    let world = Raw::behind(backend, |sidecar| sidecar).await;
    for body in BROKEN_CHUNKS {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        wire.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&wire.until(b"\r\n\r\n").await).into_owned();
        assert_eq!(status(&answer), 400, "{body:?}: {answer}");
    }
    for reached in world.backend.received().all() {
        assert!(!reached.ends_with(b"0\r\n\r\n"), "{reached:?}");
    }
}

/// What is odd and allowed, and what the upstream gets of it behind the head.
const ALLOWED: [(&str, &str); 7] = [
    // A sender of both is served by the coding, and the connection is closed (RFC 9112 §6.3).
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "2\r\nhi\r\n0\r\n\r\n",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "hi",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: CHUNKED\r\n\r\n02;a=\"\0\"\r\nhi\r\n00\r\n\r\n",
        "2\r\nhi\r\n0\r\n\r\n",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r\n0\r\n\r\n",
    ),
    // A bare line feed ends a line (RFC 9112 §2.2); it is not handed on.
    ("GET / HTTP/1.1\nHost: a\nConnection: close\n\n", ""),
    (
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "",
    ),
    (
        "GET / HTTP/1.1\r\nHost:\t a \t\r\nConnection: close\r\n\r\n",
        "",
    ),
];

#[tokio::test]
async fn what_is_odd_and_allowed_arrives_plain() {
    let issuer = Issuer::start().await;
    let mut backends = Vec::new();
    for (_, body) in ALLOWED {
        let end = if body.is_empty() { "\r\n\r\n" } else { body };
        let steps = [
            Step::ReadUntil(Bytes::from(end)),
            Step::write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            Step::Again,
        ];
        backends.push(RawBackend::start(steps).await);
    }
    let routes = backends.iter().map(|backend| (backend.url(), ""));
    let sidecar = lanes(&issuer, routes, |sidecar| sidecar).await;
    for (place, (request, body)) in ALLOWED.iter().enumerate() {
        let request = request.replacen(" / ", &format!(" /{place} "), 1);
        let answer = sidecar.proxy().exchange(&request).await;
        assert_eq!(status(&answer), 200, "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        let reached = backends[place].text();
        let (head, rest) = reached.split_once("\r\n\r\n").unwrap();
        assert_eq!(rest, *body, "{request:?}");
        let codings = head.matches("transfer-encoding: chunked").count();
        let lengths = head.matches("content-length: 2").count();
        assert_eq!(codings + lengths, usize::from(!body.is_empty()), "{head}");
        assert!(!head.replace("\r\n", "").contains('\n'), "{head:?}");
    }
}

/// What a caller sees of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// This status and this content, whole.
    Whole(u16, &'static str),
    /// A reply of ours that says the upstream's is malformed.
    Malformed,
    /// A reply of ours that says that the upstream closed.
    Closed,
    /// Content that breaks off.
    Cut,
}
use Seen::{Closed, Cut, Malformed, Whole};

const ANSWERS: [(&str, Seen); 28] = [
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Whole(200, "hi"),
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Whole(200, "hi"),
    ),
    ("HTTP/1.0 200 OK\r\n\r\nhi", Whole(200, "hi")),
    (
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi",
        Whole(200, "hi"),
    ),
    (
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
        Whole(200, "hi"),
    ),
    (
        "HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nhi",
        Whole(299, "hi"),
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Whole(200, "hi"),
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Whole(200, "hi"),
    ),
    // Two framings, or none that is understood.
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi",
        Malformed,
    ),
    (
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Malformed,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
        Malformed,
    ),
    ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhi", Malformed),
    // A change of protocol that nobody asked for.
    (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        Malformed,
    ),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Malformed),
    // Garbage.
    ("nonsense\r\n\r\n", Malformed),
    ("SSH-2.0-OpenSSH_9.2\r\n", Malformed),
    ("HTTP/1.1 99999 OK\r\n\r\n", Malformed),
    ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", Malformed),
    ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", Malformed),
    ("", Closed),
    ("HTTP/1.1 200 O", Closed),
    // Bodies that break off.
    ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", Cut),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        Cut,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nx\r\n",
        Cut,
    ),
];

#[tokio::test]
async fn an_answer_passes_whole_or_is_seen_to_be_broken() {
    let issuer = Issuer::start().await;
    let mut backends = Vec::new();
    for (answer, _) in ANSWERS {
        let pause = Step::Pause(Duration::from_millis(20));
        let steps = [Step::read_head(), Step::write(answer), pause, Step::Close];
        backends.push(RawBackend::start(steps).await);
    }
    let routes = backends.iter().map(|backend| (backend.url(), ""));
    let sidecar = lanes(&issuer, routes, |sidecar| sidecar).await;
    for (place, (sent, expected)) in ANSWERS.iter().enumerate() {
        let mut connection = sidecar.connect().await;
        let got = connection.get(&format!("/{place}")).await;
        let seen = match &got {
            Err(_) => Cut,
            Ok(answer) if answer.status == 502 => match answer.json()["error"].as_str() {
                Some("upstream_malformed") => Malformed,
                Some("upstream_closed") => Closed,
                other => panic!("{sent:?}: {other:?}"),
            },
            Ok(answer) if answer.text() == "hi" => Whole(answer.status.as_u16(), "hi"),
            Ok(answer) => panic!("{sent:?}: {answer:?}"),
        };
        assert_eq!(&seen, expected, "{sent:?}: {got:?}");
        assert_eq!(backends[place].received().len(), 1, "{sent:?}: sent once");
    }
    assert_eq!(
        sidecar
            .metrics()
            .await
            .sum("bearward_requests_in_flight", &[]),
        0.0
    );
}

#[tokio::test]
async fn a_second_answer_is_nobodys() {
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\
               HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let world = Raw::behind(RawBackend::answering(two).await, |sidecar| sidecar).await;
    let mut connection = world.sidecar.connect().await;
    for _ in 0..20 {
        assert_eq!(connection.get("/").await.unwrap().text(), "hi");
    }
}

#[tokio::test]
async fn an_answers_head_without_end_is_cut_off() {
    let line = Bytes::from(format!("X-Filler: {}\r\n", "x".repeat(1000)));
    let mut steps = vec![Step::read_head(), Step::write("HTTP/1.1 200 OK\r\n")];
    steps.extend(std::iter::repeat_n(Step::Write(line), 4000));
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let answer = world.sidecar.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"], "upstream_malformed");
    assert_eq!(
        answer.header("proxy-status"),
        Some("bearward; error=http_protocol_error")
    );
}
