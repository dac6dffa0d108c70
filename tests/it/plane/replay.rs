//! A rejected token: renewed once, the call sent once more, and the caller sees none of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::{World, eventually, lanes, settled};
use crate::practice::{Api, Gate, Issuer, Progress, Protocol, Recorded, Reply};
use crate::support::Sidecar;
use crate::support::client::{self, Answer, Connection, Sent};

impl World {
    /// From now on the API takes the current token no more.
    fn reject(&self) -> String {
        let token = self.issuer.access_token().unwrap();
        self.api.reject(&token);
        token
    }
}

/// What becomes of a call whose token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    SentAgain,
    PassedOn,
}
use Then::{PassedOn, SentAgain};

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
}
use Framing::{Chunks, Length};

const BODIES: [(usize, Framing, Then); 8] = [
    (0, Length, SentAgain),
    (0, Chunks, SentAgain),
    (10, Length, SentAgain),
    (10, Chunks, SentAgain),
    (1024, Length, SentAgain),
    (1024, Chunks, SentAgain),
    (1025, Length, PassedOn),
    (1025, Chunks, PassedOn),
];

fn body_of(length: usize, framing: Framing) -> Sent {
    let body = Bytes::from("x".repeat(length));
    let (frames, streamed) = client::streamed();
    if let Length = framing {
        return client::post("/", body).into_body();
    }
    tokio::spawn(async move {
        let pieces = [body.slice(..length / 2), body.slice(length / 2..)];
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            frames.send(Frame::data(piece)).await.unwrap();
        }
    });
    streamed
}

#[tokio::test]
async fn a_call_is_sent_again_if_all_of_it_is_kept() {
    for http in ["http1", "http2"] {
        let keys = format!("replay_max = '1KiB'\nhttp = '{http}'");
        let world = World::with(|sidecar| sidecar.route(&keys)).await;
        for (length, framing, then) in BODIES {
            let what = format!("{length} {framing:?} {http}");
            sent_again_or_passed_on(&world, (length, framing, then), &what).await;
        }
    }
}

async fn sent_again_or_passed_on(
    world: &World,
    (length, framing, then): (usize, Framing, Then),
    what: &str,
) {
    // The token has proved itself, so that its rejection is news.
    assert_eq!(world.sidecar.get("/").await.status, 200, "{what}");
    let (rejected, before) = (world.reject(), world.api.requests().len());
    let refreshes = world.issuer.requests().len();
    // Whoever cannot be sent again does not wait for the new token either.
    let gate = Gate::closed();
    world.issuer.next(match then {
        SentAgain => Reply::regular(),
        PassedOn => Reply::regular().hold(&gate),
    });
    let request = client::post("/call", "").map(|_| body_of(length, framing));
    let answer = world.sidecar.send(request).await;
    gate.open();
    world
        .issuer
        .requests()
        .reaches(refreshes + 1)
        .await
        .unwrap();
    let calls = world.api.requests().all().split_off(before);
    let carried = calls.iter().filter(|call| call.bearer() == Some(&rejected));
    assert_eq!(carried.count(), 1, "{what}");
    let (status, times) = match then {
        SentAgain => (200, 2),
        PassedOn => (401, 1),
    };
    assert_eq!(
        (answer.status.as_u16(), calls.len()),
        (status, times),
        "{what}"
    );
    for call in &calls {
        assert_eq!(call.body, "x".repeat(length), "{what}");
        assert_eq!((call.method.as_str(), call.path()), ("POST", "/call"));
    }
    assert_eq!(world.sidecar.get("/").await.status, 200, "{what}");
    assert_eq!(world.issuer.requests().len(), refreshes + 1, "{what}");
}

async fn stream(connection: Connection) -> (Sender<Frame<Bytes>>, Streaming) {
    let (frames, body) = client::streamed();
    let mut connection = connection;
    let request = client::post("/stream", "").map(|_| body);
    let answer = tokio::spawn(async move { connection.send(request).await.unwrap() });
    frames.send(Frame::data(Bytes::from("one "))).await.unwrap();
    (frames, answer)
}

type Streaming = tokio::task::JoinHandle<Answer>;

#[tokio::test]
async fn a_body_that_still_streams_goes_on_in_the_second_sending() {
    for (near, far) in [("http1", "http1"), ("http2", "http1"), ("http2", "http2")] {
        let world = World::with(|s| s.route(&format!("http = '{far}'"))).await;
        assert_eq!(world.sidecar.get("/").await.status, 200);
        let token = world.issuer.access_token().unwrap();
        world.api.reject_with(&token, Reply::status(401).early());
        let connection = match near {
            "http1" => world.sidecar.connect().await,
            _ => world.sidecar.connect_http2().await,
        };
        let (frames, answer) = stream(connection).await;
        let calls = world.api.requests();
        calls
            .until(|all| all.len() == 3 && all[2].length == 4)
            .await
            .unwrap();
        frames.send(Frame::data(Bytes::from("two"))).await.unwrap();
        drop(frames);
        assert_eq!(answer.await.unwrap().status, 200);
        let calls = calls
            .until(|all| all[1].state != Progress::Open)
            .await
            .unwrap();
        assert_eq!(calls[1].state, Progress::Broken, "the first has no end");
        assert_eq!(calls[2].body, "one two");
        assert!(calls[2].hash().is_some());
        settled(&world.sidecar).await;
        // What the first sending went over is not left open.
        eventually(&world.sidecar, "bearward_upstream_connections", 1.0).await;
    }
}

#[tokio::test]
async fn a_rejection_of_a_long_stream_passes_and_the_stream_goes_on() {
    let world = World::with(|sidecar| sidecar.route("replay_max = '1KiB'")).await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    let token = world.issuer.access_token().unwrap();
    let (frames, body) = client::streamed();
    let gate = Gate::closed();
    let refusal = Reply::status(401).early().hold(&gate);
    world.api.reject_with(&token, refusal);
    let mut connection = world.sidecar.connect_http2().await;
    let request = client::post("/stream", "").map(|_| body);
    let answer = tokio::spawn(async move { connection.send(request).await.unwrap().status });
    let piece = Bytes::from("x".repeat(2000));
    frames.send(Frame::data(piece.clone())).await.unwrap();
    gate.reached_by(1).await;
    gate.open();
    // Its beginning is no longer kept once it has passed, so the refusal is the answer.
    world.issuer.requests().reaches(2).await.unwrap();
    assert_eq!(answer.await.unwrap(), 401);
    drop((frames, piece));
    assert_eq!(world.sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn trailers_are_sent_again_too() {
    for http in ["http1", "http2"] {
        let world = World::with(|s| s.route(&format!("http = '{http}'"))).await;
        assert_eq!(world.sidecar.get("/").await.status, 200);
        world.reject();
        let (frames, body) = client::streamed();
        let mut request = client::post("/", "").map(|_| body);
        let named = HeaderValue::from_static("x-sum");
        request.headers_mut().insert("trailer", named);
        let mut sum = HeaderMap::new();
        sum.insert("x-sum", HeaderValue::from_static("42"));
        let trailers = sum.clone();
        tokio::spawn(async move {
            frames.send(Frame::data(Bytes::from("hi"))).await.unwrap();
            frames.send(Frame::trailers(trailers)).await.unwrap();
        });
        assert_eq!(world.sidecar.send(request).await.status, 200, "{http}");
        let calls = world.api.requests().all().split_off(1);
        assert_eq!(calls.len(), 2, "{http}");
        for call in calls {
            assert_eq!(
                (call.body.as_ref(), &call.trailers),
                (&b"hi"[..], &Some(sum.clone()))
            );
        }
    }
}

/// A token may end between here and the API, and live shorter than `renew_floor`.
#[tokio::test]
async fn a_token_that_ends_on_its_way_is_replaced_however_young() {
    let issuer = Issuer::builder().lifetime(Duration::from_secs(2));
    let issuer = issuer.start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).grant("renew_floor = '1h'");
    let sidecar = sidecar.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    api.reject(&issuer.access_token().unwrap());
    assert_eq!(sidecar.get("/").await.status, 401, "of no use so early");
    let gate = Gate::closed();
    issuer.next(Reply::regular().hold(&gate));
    gate.reached_by(1).await;
    // Its successor is under way already, so waiting for it asks nothing of the issuer.
    let mut connection = sidecar.connect().await;
    let call = tokio::spawn(async move { connection.get("/").await.unwrap().status });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    assert_eq!(call.await.unwrap(), 200);
}

/// What the answers of real APIs mean, end to end.
#[tokio::test]
async fn every_known_way_to_reject_a_token_is_understood() {
    let vectors: Value = serde_json::from_str(include_str!(
        "../../../src/oauth/tests/vectors/upstream.json"
    ))
    .unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let issuer = Issuer::start().await;
    let mut apis = Vec::new();
    for case in cases {
        let api = Api::start(&issuer).await;
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let body = match &case["body"] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let mut reply = Reply::status(status).body(body);
        for (name, value) in case["headers"].as_object().unwrap() {
            reply = reply.header(name, value.as_str().unwrap());
        }
        apis.push((api, reply));
    }
    let rule = |case: &Value| {
        let rules = case["config"]["expired_when"].as_array().cloned();
        let rules: Vec<String> = rules.iter().flatten().map(inline).collect();
        format!("expired_when = [{}]", rules.join(", "))
    };
    let routes = apis.iter().zip(cases);
    let routes = routes.map(|((api, _), case)| (api.url().to_owned(), rule(case)));
    let sidecar = lanes(&issuer, routes, |s| s.grant("renew_floor = '0s'")).await;
    for (place, (case, (api, reply))) in cases.iter().zip(apis).enumerate() {
        let (path, name) = (format!("/{place}"), &case["id"]);
        assert_eq!(sidecar.get(&path).await.status, 200, "{name}");
        let (token, refreshes) = (issuer.access_token().unwrap(), issuer.refreshes());
        api.reject_with(&token, reply);
        let answer = sidecar.get(&path).await;
        if case["expect"] == "rejected" {
            assert_eq!(answer.status, 200, "{name}");
            assert_eq!(answer.json()["path"], *path, "{name}: the second answer");
            assert_eq!(api.requests().len(), 3, "{name}");
            assert_eq!(issuer.refreshes(), refreshes + 1, "{name}");
        } else {
            let text = match &case["body"] {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            assert_eq!(u64::from(answer.status.as_u16()), case["status"], "{name}");
            assert_eq!(answer.text(), text, "{name}");
            assert_eq!(api.requests().len(), 2, "{name}");
            assert_eq!(issuer.refreshes(), refreshes, "{name}");
        }
    }
}

/// A rule as an inline table of TOML.
fn inline(rule: &Value) -> String {
    let members = rule.as_object().unwrap().iter();
    let members: Vec<String> = members
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    format!("{{ {} }}", members.join(", "))
}

#[tokio::test]
async fn an_answer_that_is_looked_at_and_passes_is_whole() {
    let world = World::with(|sidecar| {
        sidecar.route("expired_when = [{ status = 200, json = 'error', equals = 'expired' }]")
    })
    .await;
    let mut sum = HeaderMap::new();
    sum.insert("x-sum", HeaderValue::from_static("42"));
    let long = "y".repeat(200_000);
    let rows: [(&str, Vec<&str>); 4] = [
        ("/short", vec!["{\"error\":", "\"none\"}"]),
        ("/none", vec![]),
        ("/no-json", vec!["plain"]),
        ("/long", vec![&long, &long]),
    ];
    for (path, pieces) in rows {
        let pieces: Vec<Bytes> = pieces
            .iter()
            .map(|p| Bytes::from((*p).to_owned()))
            .collect();
        let reply = Reply::pieces(pieces.clone(), Duration::ZERO);
        let reply = reply.header("trailer", "x-sum").trailers(sum.clone());
        world.api.on(path, reply);
        let mut request = client::get(path);
        let te = HeaderValue::from_static("trailers");
        request.headers_mut().insert("te", te);
        let answer = world.sidecar.send(request).await;
        assert_eq!(answer.body, pieces.concat(), "{path}");
        assert_eq!(answer.trailers, Some(sum.clone()), "{path}");
    }
    assert_eq!(world.api.requests().len(), 4);
}

#[tokio::test]
async fn a_storm_of_rejections_is_one_refresh() {
    let world = World::new().await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    let token = world.reject();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..60 {
        let proxy = world.sidecar.proxy().clone();
        let path = format!("/{number}");
        calls.spawn(async move {
            client::call(&proxy, client::get(&path))
                .await
                .unwrap()
                .status
        });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(world.issuer.refreshes(), 2);
    let rejected = |call: &Recorded| call.bearer() == Some(token.as_str());
    let rejected = world.api.requests().count(rejected) - 1;
    assert_eq!(
        world.api.requests().len(),
        1 + 60 + rejected,
        "each at most twice"
    );
}

#[tokio::test]
async fn there_is_no_replay_after_a_new_token_was_rejected() {
    let world = World::with(|sidecar| sidecar.grant("renew_floor = '1s'")).await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    let refusal = Reply::json(401, &serde_json::json!({ "why": "never" }));
    world.api.on("/never", refusal);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = world.sidecar.get("/never").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["why"], "never", "the upstream's own words");
    let sent = |call: &Recorded| call.path() == "/never";
    assert_eq!(world.api.requests().count(sent), 2);
    assert_eq!(world.issuer.refreshes(), 2);
    // The renewal led to nothing, so that the next rejections renew nothing for a while; on a
    // slow machine that may have passed once.
    for _ in 0..10 {
        assert_eq!(world.sidecar.get("/never").await.status, 401);
    }
    assert!(world.issuer.refreshes() <= 3);
}

#[tokio::test]
async fn a_newer_token_that_was_there_already_may_be_rejected_too() {
    let world = World::with(|sidecar| sidecar.grant("renew_floor = '1s'")).await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    // One call hears late that its token is refused.
    let (gate, floor) = (Gate::closed(), Duration::from_millis(1100));
    let first = world.issuer.access_token().unwrap();
    let late = Reply::status(401).hold(&gate);
    world.api.reject_with(&first, late);
    let proxy = world.sidecar.proxy().clone();
    let held = tokio::spawn(async move { client::call(&proxy, client::get("/held")).await });
    world.api.requests().reaches(2).await.unwrap();
    tokio::time::sleep(floor).await;
    // Meanwhile another has it replaced, and the successor dies too.
    world.reject();
    assert_eq!(world.sidecar.get("/").await.status, 200);
    assert_eq!(world.issuer.refreshes(), 2);
    // What was obtained for a rejection is left alone for twice as long.
    tokio::time::sleep(floor * 2).await;
    world.reject();
    gate.open();
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    let sent = |call: &Recorded| call.path() == "/held";
    assert_eq!(world.api.requests().count(sent), 3);
    assert_eq!(world.issuer.refreshes(), 3);
}

#[tokio::test]
async fn a_stored_token_is_as_old_after_a_start_as_before() {
    let mut world = World::with(|sidecar| sidecar.grant("renew_floor = '1s'")).await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.sidecar.stop().await;
    world.reject();
    world.sidecar.start_again().await;
    assert_eq!(world.sidecar.get("/").await.status, 200);
    assert_eq!(world.issuer.refreshes(), 2);
}

#[tokio::test]
async fn each_grant_is_renewed_for_its_own_rejections() {
    let (first, second) = (Issuer::start().await, Issuer::start().await);
    let crm = Api::start(&first).await;
    let erp = Api::builder()
        .trusting(&second)
        .credential(http::HeaderName::from_static("x-erp"), "")
        .start()
        .await;
    let sidecar = Sidecar::between(&first, &crm).grant("renew_floor = '0s'");
    let secret = sidecar.secret_file("erp-secret", second.client_secret().unwrap());
    let seed = sidecar.secret_file("erp-seed", &second.refresh_token());
    let store = sidecar.home().join("grant").join("erp.grant");
    let sidecar = sidecar.watch(second.secrets()).config(&format!(
        "[grant.erp]\nissuer = '{}'\nclient_id = '{}'\nclient_secret.file = '{secret}'\n\
         seed.refresh_token.file = '{seed}'\nstore.file.path = '{}'\nrenew_floor = '0s'\n\
         inject = {{ header = 'X-Erp', scheme = '' }}\n\
         [[route]]\npath = '/erp'\ngrant = 'erp'\nupstream = '{}'\n",
        second.url(),
        second.client_id(),
        store.display(),
        erp.url()
    ));
    let sidecar = sidecar.start().await;
    for path in ["/", "/erp"] {
        assert_eq!(sidecar.get(path).await.status, 200, "{path}");
    }
    erp.reject(&second.access_token().unwrap());
    assert_eq!(sidecar.get("/erp").await.status, 200);
    assert_eq!((first.refreshes(), second.refreshes()), (1, 2));
    crm.reject(&first.access_token().unwrap());
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!((first.refreshes(), second.refreshes()), (2, 2));
    let arrived = erp.last().unwrap();
    assert_eq!(arrived.header("x-erp"), second.access_token().as_deref());
    assert_eq!(arrived.header("authorization"), None);
}

#[tokio::test]
async fn an_http2_upstream_gets_the_second_sending_on_the_same_connection() {
    let issuer = Issuer::start().await;
    let api = Api::builder()
        .trusting(&issuer)
        .protocol(Protocol::Http2)
        .start()
        .await;
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .route("http = 'http2'")
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);
    api.reject(&issuer.access_token().unwrap());
    assert_eq!(sidecar.send(client::post("/", "hi")).await.status, 200);
    let calls = api.requests().all();
    assert_eq!(calls.iter().filter(|call| call.body == "hi").count(), 2);
    assert!(
        calls
            .iter()
            .all(|call| call.version == http::Version::HTTP_2)
    );
    assert_eq!(api.connections(), 1);
}
