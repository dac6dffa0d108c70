//! What must pass as if nobody stood between: line by line, and where each line is proved.
//!
//! | what passes | proved by |
//! |---|---|
//! | HTTP/1.0, closing and kept | [`super::forwarding`]`::http_1_0_is_answered_in_kind` |
//! | chunked, with trailers, both ways | `trailers_pass_both_ways_*` there; here `trailers_nobody_named_end_nothing` |
//! | `Expect: 100-continue` end to end | here `an_expectation_*` |
//! | 103 as far as hyper's server allows | here `early_hints_stop_here_and_harm_nothing` |
//! | framing of `HEAD`, 204, 304 | [`super::forwarding`]`::answers_without_content_*`, `an_answer_that_nothing_has_changed_*` |
//! | half-close | here `a_client_that_has_ended_its_side_*`, `what_follows_a_half_close_*` |
//! | pipelining | [`super::forwarding`]`::requests_in_one_write_*`; here `pipelined_requests_*` |
//! | both bodies at once | [`super::protocols`]`::a_stream_goes_both_ways_at_once`; [`super::clients`]`::grpc_*` |
//! | gRPC | [`super::clients`]`::grpc_*` |
//! | SSE without delay | [`super::streaming`]`::an_event_arrives_when_it_is_sent` |
//! | WebSocket, and a refused upgrade | [`super::upgrades`], [`super::clients`]`::a_websocket_*`, [`super::smuggling`] |
//! | large header fields, to 64 KiB and by key beyond | [`super::forwarding`]`::large_heads_*`, [`super::limits`]`::a_head_beyond_*`; here `large_heads_pass_over_http2_too` |
//! | any method, `OPTIONS *`, the path's bytes | [`super::forwarding`]`::methods_and_targets_*`; here `targets_of_http2_*` |
//! | paths that would leave their route | [`super::routes`]`::a_path_that_would_leave_*` |
//! | a caller that goes takes its call along | [`super::limits`]`::a_caller_that_goes_away_*`; here `a_stream_that_is_reset_*`; [`super::resets`] |
//! | an upstream that goes in mid-body is seen | [`super::limits`]`::an_answer_that_breaks_off_*`, [`super::framing`]; here `an_upstream_that_goes_*`; [`super::resets`] |
//! | what an answer says of its length, version and end | [`super::answers`] |
//! | slow readers and writers cost little | [`super::slow`], [`super::streaming`]`::a_body_in_tiny_pieces_*` |
//! | streams at the token's end, `max_stream_age` | [`super::ages`] |

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::http2::{
    AUTHORITY, END_HEADERS, END_STREAM, GREETING, HEADERS, METHOD, PATH, RST_STREAM, SCHEME, block,
    frame, verdict,
};
use super::{Raw, World, both, eventually, head_of, settled, status};
use crate::practice::{Gate, RawBackend, Recorded, Reply, Step};
use crate::support::client::{self, PATIENCE, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A request that waits to be told before it sends two bytes.
const EXPECTING: &str =
    "POST /orders HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";

/// True when nothing comes for a while.
async fn silent(wire: &mut Wire, wait: Duration) -> bool {
    timeout(wait, wire.read(&mut [0; 1])).await.is_err()
}

#[tokio::test]
async fn an_expectation_is_met_by_the_upstream_and_by_nobody_else() {
    let steps = [
        Step::read_head(),
        Step::Pause(Duration::from_millis(400)),
        Step::write("HTTP/1.1 100 Continue\r\n\r\n"),
        Step::Read(2),
        Step::write(OK),
        Step::Again,
    ];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    for _ in 0..2 {
        wire.write_all(EXPECTING.as_bytes()).await.unwrap();
        assert!(silent(&mut wire, Duration::from_millis(250)).await);
        assert_eq!(head_of(&mut wire).await, "HTTP/1.1 100 Continue\r\n\r\n");
        wire.write_all(b"hi").await.unwrap();
        assert_eq!(status(&head_of(&mut wire).await), 200);
    }
    assert_eq!(world.backend.received().len(), 1, "one kept connection");
    let reached = world.reached();
    assert_eq!(reached.matches("expect: 100-continue\r\n").count(), 2);
    assert_eq!(reached.matches("\r\n\r\nhi").count(), 2);
}

#[tokio::test]
async fn an_expectation_that_is_refused_costs_no_body() {
    let refusal = "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno";
    let steps = [Step::read_head(), Step::write(refusal)];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(EXPECTING.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
    assert_eq!(status(&answer), 417, "{answer}");
    assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
    // What the caller sends now could be body or request: nothing of it may be taken for either.
    let _ = wire
        .write_all(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert!(wire.ends_within(PATIENCE).await);
    assert!(world.reached().ends_with("\r\n\r\n"), "no body");
    assert!(!world.reached().contains("smuggled"));
    settled(&world.sidecar).await;
    eventually(&world.sidecar, "bearward_upstream_connections", 0.0).await;
}

/// An answer may be made of the body: its head comes first, and nobody says `100`.
#[tokio::test]
async fn an_expectation_that_is_answered_well_gets_its_body() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    let steps = [
        Step::read_head(),
        Step::write(head),
        Step::Pause(Duration::from_millis(50)),
        Step::Read(2),
        Step::write("ok"),
        Step::Again,
    ];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    for _ in 0..2 {
        wire.write_all(EXPECTING.as_bytes()).await.unwrap();
        let first = head_of(&mut wire).await;
        wire.write_all(b"hi").await.unwrap();
        let mut all = first + &String::from_utf8_lossy(&wire.until(b"ok").await);
        all = all.replacen("HTTP/1.1 100 Continue\r\n\r\n", "", 1);
        assert_eq!(status(&all), 200, "{all}");
    }
    assert_eq!(world.reached().matches("\r\n\r\nhi").count(), 2);
}

#[tokio::test]
async fn an_expectation_survives_a_rejected_token() {
    let world = World::new().await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    world.api.reject(&world.issuer.access_token().unwrap());
    // A refusal before the body, as a gateway gives it; and the new token takes its time.
    world
        .api
        .next(Reply::json(401, &serde_json::json!({})).early());
    let gate = Gate::closed();
    world.issuer.next(Reply::regular().hold(&gate));
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    wire.write_all(EXPECTING.as_bytes()).await.unwrap();
    gate.reached_by(1).await;
    assert!(silent(&mut wire, Duration::from_millis(1300)).await);
    gate.open();
    assert_eq!(head_of(&mut wire).await, "HTTP/1.1 100 Continue\r\n\r\n");
    wire.write_all(b"hi").await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 200);
    assert_eq!(world.api.last().unwrap().body, "hi");
}

/// Some servers do not know the word and wait for the body; the caller may not wait for ever.
#[tokio::test]
async fn an_expectation_that_nobody_answers_is_met_after_a_second() {
    let steps = [Step::read_head(), Step::Read(2), Step::write(OK)];
    let world = Raw::behind(RawBackend::start(steps).await, |sidecar| sidecar).await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    let start = Instant::now();
    wire.write_all(EXPECTING.as_bytes()).await.unwrap();
    assert_eq!(head_of(&mut wire).await, "HTTP/1.1 100 Continue\r\n\r\n");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    wire.write_all(b"hi").await.unwrap();
    assert_eq!(status(&head_of(&mut wire).await), 200);
}

#[tokio::test]
async fn an_expectation_of_http_1_0_is_not_one() {
    let world = Raw::new().await;
    let request = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    let answer = world.sidecar.proxy().exchange(request).await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(!world.reached().contains("expect"), "{}", world.reached());
}

/// hyper's server can send no interim answer but 100; its client drops what it cannot hand on.
#[tokio::test]
async fn early_hints_stop_here_and_harm_nothing() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let answer = format!("{hints}HTTP/1.1 102 Processing\r\n\r\n{hints}{OK}");
    let world = Raw::behind(RawBackend::answering(answer).await, |sidecar| sidecar).await;
    for mut connection in both(&world.sidecar).await {
        for _ in 0..3 {
            let answer = connection.get("/").await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("link"), None);
        }
    }
    assert_eq!(world.backend.received().len(), 1);
}

/// hyper writes only those trailers that `Trailer` has named; the others are left out, and the
/// body still ends well.
#[tokio::test]
async fn trailers_nobody_named_end_nothing() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Named\r\n\r\n\
        2\r\nhi\r\n0\r\nX-Named: 1\r\nX-Other: 2\r\n\r\n";
    let world = Raw::behind(RawBackend::answering(answer).await, |sidecar| sidecar).await;
    let [mut old, mut new] = both(&world.sidecar).await;
    let mut request = client::get("/");
    let te = HeaderValue::from_static("trailers");
    request.headers_mut().insert("te", te);
    let answer = old.send(request).await.unwrap();
    assert_eq!(
        (answer.text().as_str(), answer.header("trailer")),
        ("hi", Some("X-Named"))
    );
    let names: Vec<_> = answer.trailers.iter().flat_map(|all| all.keys()).collect();
    assert_eq!(names, ["x-named"]);
    // A caller that did not ask for trailers gets none (RFC 9110 §6.5.1).
    assert_eq!(old.get("/").await.unwrap().trailers, None);
    let answer = new.get("/").await.unwrap();
    assert_eq!(
        answer.trailers.map(|all| all.len()),
        Some(2),
        "HTTP/2 needs no names"
    );
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_gets_its_answer() {
    let world = World::new().await;
    let slow = Reply::pieces(["[one]", "[two]", "[three]"], Duration::from_millis(150));
    world
        .api
        .on("/slow", slow.delay(Duration::from_millis(300)));
    for request in [
        "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /slow HTTP/1.0\r\n\r\n",
        "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        wire.write_all(request.as_bytes()).await.unwrap();
        wire.shutdown().await.unwrap();
        let mut answer = String::new();
        let start = Instant::now();
        let read = wire.read_to_string(&mut answer);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        assert_eq!(status(&answer), 200, "{request}: {answer}");
        assert!(answer.contains("[three]"), "{answer}");
        // With the answer the connection ends: nothing more can be asked on it.
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
    }
    settled(&world.sidecar).await;
}

/// Time in which the answer comes does not count.
#[tokio::test]
async fn what_follows_a_half_close_is_bounded_by_silence_alone() {
    let short = "proxy.half_close_timeout = '300ms'";
    let world = World::with(|sidecar| sidecar.config(short)).await;
    let steady = Reply::pieces(["x"; 12], Duration::from_millis(100));
    world.api.on("/steady", steady);
    world.api.on("/silent", Reply::silence());
    let ask = async |path: &str| {
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        wire.write_all(request.as_bytes()).await.unwrap();
        wire.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = wire.read_to_string(&mut answer);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        answer
    };
    assert!(ask("/steady").await.ends_with("\r\n\r\nxxxxxxxxxxxx"));
    assert_eq!(ask("/silent").await, "");
    settled(&world.sidecar).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let world = Raw::new().await;
    let requests = (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let requests = requests.collect::<Vec<_>>().concat();
    for size in [7, 61, 400, requests.len()] {
        let before = world.reached().len();
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        for piece in requests.as_bytes().chunks(size) {
            wire.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        wire.shutdown().await.unwrap();
        let mut answers = String::new();
        let read = wire.read_to_string(&mut answers);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 20, "{size}");
        let reached = world.reached();
        let lines = reached[before..].split("\r\n");
        let asked: Vec<_> = lines.filter_map(|l| l.strip_prefix("GET /")).collect();
        let expected: Vec<_> = (0..20).map(|number| format!("{number} HTTP/1.1")).collect();
        assert_eq!(asked, expected, "{size}");
    }
    let tokens = world
        .reached()
        .matches("authorization: Bearer TOKEN")
        .count();
    assert_eq!(tokens, 80, "each with the credential");
}

#[tokio::test]
async fn targets_of_http2_reach_both_protocols_byte_for_byte() {
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        let mut connection = world.sidecar.connect_http2().await;
        for (method, target) in [
            ("GET", "/a%2Fb//c/../D;v=1/?x=%20&&y=/../"),
            ("GET", "/%00%ff%zz"),
            ("PROPFIND", "/dav"),
            ("QUERY", "/search?"),
            ("M-SEARCH", "/ssdp"),
            ("get", "/lower"),
            ("OPTIONS", "*"),
        ] {
            let mut request = client::request(method.parse().unwrap(), "/", "");
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = Some(world.sidecar.proxy().to_string().parse().unwrap());
            parts.path_and_query = Some(target.parse().unwrap());
            *request.uri_mut() = http::Uri::from_parts(parts).unwrap();
            let answer = connection.send(request).await.unwrap();
            assert_eq!(answer.status, 200, "{http} {method} {target}");
            let arrived = world.api.last().unwrap();
            assert_eq!(arrived.method.as_str(), method, "{http}");
            assert_eq!(arrived.path(), target, "{http}");
        }
    }
}

#[tokio::test]
async fn large_heads_pass_over_http2_too() {
    let wide = "proxy.max_header_size = '128KiB'";
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.config(wide).route(&format!("http = '{http}'"))).await;
        let value = "x".repeat(60_000);
        world
            .api
            .on("/", Reply::status(200).header("x-large", &value));
        for mut connection in both(&world.sidecar).await {
            let mut request = client::get("/");
            // Two of them are more than the usual limit.
            let large = HeaderValue::try_from(&value[..40_000]).unwrap();
            request.headers_mut().insert("x-one", large.clone());
            request.headers_mut().insert("x-two", large);
            let answer = connection.send(request).await.unwrap();
            assert_eq!(answer.status, 200, "{http}");
            assert_eq!(
                answer.header("x-large").map(str::len),
                Some(60_000),
                "{http}"
            );
            let arrived = world.api.last().unwrap();
            assert_eq!(
                arrived.header("x-two").map(str::len),
                Some(40_000),
                "{http}"
            );
        }
    }
}

/// One stream of many: its neighbours and the connection stay.
#[tokio::test]
async fn a_stream_that_is_reset_takes_only_its_own_call_with_it() {
    let world = World::with(|sidecar| sidecar.route("http = 'http2'")).await;
    let silent = Reply::silence().early();
    world.api.on("/silent", silent);
    let mut connection = world.sidecar.connect_http2().await;
    for count in 1..=3 {
        let reached = world
            .api
            .requests()
            .until(|all| all.iter().filter(|call| call.path() == "/silent").count() == count);
        tokio::select! {
            _ = connection.get("/silent") => panic!("an answer"),
            reached = reached => reached.map(drop).unwrap(),
        }
        settled(&world.sidecar).await;
        assert_eq!(connection.get("/").await.unwrap().status, 200);
    }
    assert!(connection.is_open());
    assert_eq!(world.api.connections(), 1);
    let broken = |call: &Recorded| call.path() == "/silent";
    assert_eq!(world.api.requests().count(broken), 3);
}

/// The answer's head may go with its body, where a reset of HTTP/2 overtakes both.
async fn cut_for_http1(world: &World, path: &str) {
    for version in ["1.0", "1.1"] {
        let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\n\r\n");
        let mut wire = world.sidecar.proxy().connect().await.unwrap();
        wire.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, wire.read_to_end(&mut answer)).await;
        read.unwrap().unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        let whole = answer.contains("\r\n0\r\n\r\n") || answer.contains('y');
        assert!(!whole, "{path} {version}");
        assert!(
            [0, 200].contains(&status(&answer)),
            "{path} {version}: {answer}"
        );
    }
}

/// Content of known length, in chunks, as a stream of HTTP/2: each ends in a way that shows.
#[tokio::test]
async fn an_upstream_that_goes_in_mid_body_is_seen_to_be_gone() {
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        let pieces = || Reply::pieces(["x".repeat(5000), "y".repeat(5000)], Duration::ZERO);
        let known = Reply::status(200).body("x".repeat(10_000));
        world.api.on("/length", known.cut_after(5000));
        world.api.on("/pieces", pieces().cut_after(5000));
        for path in ["/length", "/pieces"] {
            cut_for_http1(&world, path).await;
            let mut connection = world.sidecar.connect_http2().await;
            let error = connection.get(path).await.unwrap_err();
            let text = format!("{error:?}");
            assert!(text.contains("Reset("), "{http} {path}: {text}");
            assert!(connection.is_open());
        }
    }
}

/// The body that still comes must not run away from what is kept of it while a token is renewed.
#[tokio::test]
async fn an_early_rejection_is_replayed_however_long_the_body_is_under_way() {
    let world = World::with(|sidecar| sidecar.route("replay_max = '1KiB'")).await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    world
        .api
        .next(Reply::json(401, &serde_json::json!({})).early());
    let gate = Gate::closed();
    world.issuer.next(Reply::regular().hold(&gate));
    let (frames, body) = client::streamed();
    let mut connection = world.sidecar.connect().await;
    let request = client::request(Method::POST, "/", "").map(|_| body);
    let call = tokio::spawn(async move { connection.send(request).await.unwrap() });
    frames
        .send(Frame::data(Bytes::from("start ")))
        .await
        .unwrap();
    gate.reached_by(1).await;
    // More than is kept, before it is known whether the call is sent anew.
    for _ in 0..20 {
        let piece = Frame::data(Bytes::from(vec![b'x'; 1000]));
        frames.send(piece).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    drop(frames);
    let answer = call.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.api.last().unwrap().length, 20_006);
}

/// Callers of gRPC cancel many calls at once, and more streams of theirs share the connection.
#[tokio::test]
async fn a_burst_of_resets_leaves_the_connection_to_the_others() {
    let world = Raw::new().await;
    let mut wire = world.sidecar.proxy().connect().await.unwrap();
    let head = block(&[METHOD, SCHEME, AUTHORITY, PATH]);
    let mut bytes = GREETING.to_vec();
    for number in 0..300 {
        let stream = 2 * number + 1;
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 601, &head));
    wire.write_all(&bytes).await.unwrap();
    // Neither RST_STREAM nor GOAWAY: the answer to the last, 200.
    assert_eq!(verdict(&mut wire).await, (1, 0x88));
}

/// The timers of TCP connections in the system's table, where `of` says so of a row's columns:
/// `02` asks the other end whether it is there.
fn timers(of: impl Fn(&[&str]) -> bool) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1);
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns[3] == "01" && of(columns))
        .map(|columns| columns[5].split(':').next().unwrap().to_owned())
        .collect()
}

/// Nobody says so when the other end's machine loses its power, and a tunnel may be quiet for ever.
#[tokio::test]
async fn an_end_that_vanishes_is_noticed_on_both_sides() {
    let world = World::new().await;
    let mut connection = world.sidecar.connect().await;
    assert_eq!(connection.get("/").await.unwrap().status, 200);
    let port = |address: &str| {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        format!(":{port:04X}")
    };
    let near = port(&world.sidecar.proxy().to_string());
    let far = port(world.api.url().trim_end_matches('/'));
    // A moment later, when what was sent is acknowledged.
    for _ in 0..100 {
        let served = timers(|columns| columns[1].ends_with(&near));
        let dialed = timers(|columns| columns[2].ends_with(&far));
        if served == ["02"] && dialed == ["02"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody asks");
}
