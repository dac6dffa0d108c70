//! The practice world by itself: a test may only trust servers that are as strict as they say.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc;

use crate::practice::{
    Api, ClientAuth, Gate, Issuer, OldAccess, Outcome, Protocol, RawBackend, Replay, Reply,
    Rotation, Step,
};
use crate::support::client::{self, Address, Answer, Connection, Sent};

/// A refresh by a well-behaved client.
async fn refresh(issuer: &Issuer, token: &str) -> Answer {
    try_refresh(issuer, token).await.unwrap()
}

async fn try_refresh(issuer: &Issuer, token: &str) -> hyper::Result<Answer> {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    let secret = issuer.client_secret().unwrap_or_default();
    if matches!(issuer.client_auth(), ClientAuth::Post | ClientAuth::None) {
        fields.push(("client_id", issuer.client_id()));
    }
    if issuer.client_auth() == ClientAuth::Post {
        fields.push(("client_secret", secret));
    }
    let mut request = client::form("/token", &fields);
    let encoded = |text: &str| -> String {
        if issuer.client_auth() == ClientAuth::Basic {
            form_urlencoded::byte_serialize(text.as_bytes()).collect()
        } else {
            text.to_owned()
        }
    };
    if matches!(
        issuer.client_auth(),
        ClientAuth::Basic | ClientAuth::RawBasic
    ) {
        let pair = format!("{}:{}", encoded(issuer.client_id()), encoded(secret));
        let header = format!("Basic {}", base64(&pair)).parse().unwrap();
        request.headers_mut().insert("authorization", header);
    }
    client::call(&Address::parse(issuer.url()), request).await
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn member(answer: &Answer, name: &str) -> String {
    let json = answer.json();
    json[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {json}"))
        .to_owned()
}

async fn send_all(sender: mpsc::Sender<Frame<Bytes>>, frames: [Frame<Bytes>; 3]) {
    for frame in frames {
        sender.send(frame).await.unwrap();
    }
}

fn with_token(path: &str, token: &str) -> Request<Sent> {
    let mut request = client::get(path);
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn the_issuer_rotates_and_revokes_on_reuse() {
    let issuer = Issuer::start().await;
    let first = issuer.refresh_token();
    let answer = refresh(&issuer, &first).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let second = member(&answer, "refresh_token");
    let access = member(&answer, "access_token");
    assert_eq!(access.len(), 900);
    assert_eq!(issuer.refresh_token(), second);
    assert!(issuer.is_live(&access));

    let reused = refresh(&issuer, &first).await;
    assert_eq!(
        (reused.status.as_u16(), reused.json()),
        (400, json!({ "error": "invalid_grant" }))
    );
    assert!(!issuer.is_live(&access));
    assert_eq!(refresh(&issuer, &second).await.status, 400);
    assert_eq!(refresh(&issuer, "never given out").await.status, 400);

    let log = issuer.requests().all();
    let outcomes: Vec<_> = log
        .iter()
        .map(|request| (request.generation, request.outcome))
        .collect();
    let expected = [
        (Some(0), Outcome::Refreshed),
        (Some(0), Outcome::Reused),
        (Some(1), Outcome::Revoked),
        (None, Outcome::Unknown),
    ];
    assert_eq!(outcomes, expected);
    assert!(issuer.secrets().all().contains(&access));
}

#[tokio::test]
async fn the_issuer_forgives_inside_its_replay_window() {
    for (replay, same) in [(Replay::SamePair, true), (Replay::NewPair, false)] {
        let issuer = Issuer::builder()
            .replay_window(Duration::from_secs(60), replay)
            .start()
            .await;
        let first = issuer.refresh_token();
        let one = refresh(&issuer, &first).await;
        let two = refresh(&issuer, &first).await;
        assert_eq!(two.status, 200);
        let pair = |answer| {
            (
                member(answer, "access_token"),
                member(answer, "refresh_token"),
            )
        };
        assert_eq!(pair(&one) == pair(&two), same, "{replay:?}");
        assert_eq!(
            (issuer.refreshes(), issuer.count(Outcome::Replayed)),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn the_issuer_can_keep_one_refresh_token_and_drop_old_access_tokens() {
    let issuer = Issuer::builder()
        .rotation(Rotation::Never)
        .old_access(OldAccess::Dies)
        .start()
        .await;
    let token = issuer.refresh_token();
    let one = refresh(&issuer, &token).await;
    assert_eq!(one.json().get("refresh_token"), None);
    let two = refresh(&issuer, &token).await;
    assert!(!issuer.is_live(&member(&one, "access_token")));
    assert!(issuer.is_live(&member(&two, "access_token")));
}

#[tokio::test]
async fn access_tokens_end() {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_millis(1500))
        .start()
        .await;
    let answer = refresh(&issuer, &issuer.refresh_token()).await;
    assert_eq!(answer.json()["expires_in"], 1);
    let access = member(&answer, "access_token");
    assert!(issuer.is_live(&access));
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert!(!issuer.is_live(&access));
}

#[tokio::test]
async fn clients_prove_themselves_in_exactly_one_way() {
    let all = [
        ClientAuth::Basic,
        ClientAuth::RawBasic,
        ClientAuth::Post,
        ClientAuth::None,
    ];
    for auth in all {
        let issuer = Issuer::builder()
            .client("id", "p%20 s+ü/:", auth)
            .start()
            .await;
        let token = issuer.refresh_token();
        assert_eq!(refresh(&issuer, &token).await.status, 200, "{auth:?}");
        // Without any proof, and by a stranger.
        let strangers: [&[(&str, &str)]; 2] = [&[], &[("client_id", "x"), ("client_secret", "y")]];
        for stranger in strangers {
            let request = client::form("/token", stranger);
            let answer = client::call(&Address::parse(issuer.url()), request)
                .await
                .unwrap();
            assert_eq!(answer.status, 401, "{auth:?}");
            assert_eq!(answer.json()["error"], "invalid_client");
        }
    }
}

#[tokio::test]
async fn token_requests_are_read_from_query_and_json_too() {
    let issuer = Issuer::builder()
        .client("id", "", ClientAuth::None)
        .start()
        .await;
    let token = issuer.refresh_token();
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "refresh_token"),
            ("client_id", "id"),
            ("refresh_token", &token),
        ])
        .finish();
    let address = Address::parse(issuer.url());
    let answer = client::call(&address, client::post(&format!("/token?{query}"), ""))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let next = member(&answer, "refresh_token");
    let body = json!({ "grant_type": "refresh_token", "client_id": "id", "refresh_token": next });
    let mut request = client::post("/token", body.to_string());
    request
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    assert_eq!(client::call(&address, request).await.unwrap().status, 200);
    assert_eq!(issuer.requests().all()[1].parameters["refresh_token"], next);
}

#[tokio::test]
async fn metadata_are_where_the_standards_put_them() {
    let issuer = Issuer::builder()
        .path("/tenant")
        .metadata("extra", json!(1))
        .start()
        .await;
    let address = Address::parse(issuer.url());
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
    ] {
        let answer = client::call(&address, client::get(path)).await.unwrap();
        assert_eq!(answer.json()["issuer"], issuer.url());
        assert_eq!(answer.json()["token_endpoint"], issuer.token_endpoint());
        assert_eq!(answer.json()["extra"], 1);
    }
    issuer.answer_discovery(Some(Reply::html(200)));
    let page = client::call(
        &address,
        client::get("/tenant/.well-known/openid-configuration"),
    )
    .await;
    assert!(page.unwrap().text().starts_with("<!doctype html>"));
    assert_eq!(issuer.lookups().len(), 3);
}

#[tokio::test]
async fn scripted_answers_come_in_order_and_leave_the_grant_alone_unless_told() {
    let issuer = Issuer::start().await;
    let token = issuer.refresh_token();
    issuer.next(Reply::status(503).header("retry-after", "3"));
    issuer.next(Reply::hang_up());
    issuer.next(Reply::redirect(307, "http://127.0.0.1:1/token"));
    let busy = refresh(&issuer, &token).await;
    assert_eq!(
        (busy.status.as_u16(), busy.header("retry-after")),
        (503, Some("3"))
    );
    assert!(try_refresh(&issuer, &token).await.is_err());
    assert_eq!(refresh(&issuer, &token).await.status, 307);
    assert_eq!(issuer.count(Outcome::Scripted), 3);

    issuer.next(Reply::status(500).after_commit());
    assert_eq!(refresh(&issuer, &token).await.status, 500);
    assert_eq!(
        refresh(&issuer, &token).await.status,
        400,
        "it was spent by the one before"
    );
    assert_eq!(issuer.count(Outcome::Reused), 1);
}

#[tokio::test]
async fn an_answer_can_be_cut_after_the_token_was_spent() {
    let issuer = Issuer::start().await;
    let token = issuer.refresh_token();
    issuer.next(Reply::regular().cut_after(10));
    assert!(try_refresh(&issuer, &token).await.is_err());
    assert_eq!(issuer.requests().all()[0].outcome, Outcome::Refreshed);
    assert_ne!(issuer.refresh_token(), token);

    // What stands before the cut is on the wire, head and all.
    issuer.next(Reply::json(200, &json!({ "access_token": "x" })).cut_after(5));
    let address = Address::parse(issuer.url());
    let raw = address
        .exchange("POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(
        raw.contains("content-length: 20\r\n") && raw.ends_with("\r\n\r\n{\"acc"),
        "{raw}"
    );
}

#[tokio::test]
async fn a_gate_holds_an_answer_until_it_is_opened() {
    let issuer = Issuer::start().await;
    let gate = Gate::closed();
    issuer.next(Reply::regular().hold(&gate));
    let token = issuer.refresh_token();
    let held = refresh(&issuer, &token);
    let opener = async {
        gate.reached_by(1).await;
        assert_eq!(issuer.refreshes(), 1, "spent, but not yet answered");
        gate.open();
    };
    let (answer, ()) = tokio::join!(held, opener);
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn servers_go_down_and_come_back_at_the_same_port() {
    let issuer = Issuer::start().await;
    let address = Address::parse(issuer.url());
    issuer.go_down().await;
    assert!(address.connect().await.is_err());
    issuer.come_back().await.unwrap();
    assert_eq!(refresh(&issuer, &issuer.refresh_token()).await.status, 200);
}

#[tokio::test]
async fn the_api_takes_live_tokens_only() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let address = Address::parse(api.url());
    let access = member(
        &refresh(&issuer, &issuer.refresh_token()).await,
        "access_token",
    );

    let none = client::call(&address, client::get("/x")).await.unwrap();
    assert_eq!(none.status, 401);
    assert_eq!(
        none.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    let good = client::call(&address, with_token("/x?y=1", &access))
        .await
        .unwrap();
    assert_eq!(
        good.json(),
        json!({ "method": "GET", "path": "/x", "query": "y=1" })
    );
    assert_eq!(api.last().unwrap().bearer(), Some(access.as_str()));

    let mut twice = with_token("/x", &access);
    twice
        .headers_mut()
        .append("authorization", "Bearer other".parse().unwrap());
    assert_eq!(client::call(&address, twice).await.unwrap().status, 401);

    api.reject_with(&access, Reply::status(403));
    assert_eq!(
        client::call(&address, with_token("/x", &access))
            .await
            .unwrap()
            .status,
        403
    );
    issuer.revoke_grant();
    assert!(!issuer.is_live(&access));
}

#[tokio::test]
async fn the_api_records_bodies_and_trailers_and_echoes_over_both_versions() {
    let api = Api::builder().start().await;
    let address = Address::parse(api.url());
    api.on("/echo", Reply::echo());
    for mut connection in [
        Connection::http1(&address).await,
        Connection::http2(&address).await,
    ] {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let frames = [
            Frame::data("one ".into()),
            Frame::data("two".into()),
            Frame::trailers(trailers.clone()),
        ];
        let (sender, body) = client::streamed();
        tokio::spawn(send_all(sender, frames));
        let mut request = with_token("/echo", "any").map(|_| body);
        *request.method_mut() = Method::POST;
        request
            .headers_mut()
            .insert("trailer", "x-sum".parse().unwrap());
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.text(), "one two");
        let seen = api.last().unwrap();
        assert_eq!((seen.body.as_ref(), seen.length), (b"one two".as_ref(), 7));
        assert_eq!(seen.trailers, Some(trailers));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"one two");
        assert_eq!(seen.hash().unwrap().as_slice(), hash.as_ref());
    }
    let versions: Vec<_> = api
        .requests()
        .all()
        .iter()
        .map(|seen| seen.version)
        .collect();
    assert_eq!(versions, [http::Version::HTTP_11, http::Version::HTTP_2]);
}

#[tokio::test]
async fn the_api_streams_breaks_off_and_closes() {
    let api = Api::builder().start().await;
    let address = Address::parse(api.url());
    api.next(Reply::events(3, Duration::from_millis(5)));
    let events = client::call(&address, client::get("/events"))
        .await
        .unwrap();
    assert_eq!(events.text(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");

    api.next(Reply::status(200).body("0123456789").cut_after(4));
    let mut connection = Connection::http1(&address).await;
    let mut cut = connection
        .open(client::get("/cut"))
        .await
        .unwrap()
        .into_body();
    assert_eq!(
        cut.frame().await.unwrap().unwrap().into_data().unwrap(),
        "0123"
    );
    assert!(cut.frame().await.unwrap().is_err());

    api.next(Reply::status(200).body("bye").close());
    let mut connection = Connection::http1(&address).await;
    let last = connection.get("/").await.unwrap();
    assert_eq!(
        (last.text().as_str(), last.header("connection")),
        ("bye", None)
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!connection.is_open(), "closed without a word");

    api.next(Reply::status(200).delay(Duration::from_millis(50)));
    let start = Instant::now();
    client::call(&address, client::get("/slow")).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(api.connections(), 4);
}

#[tokio::test]
async fn the_api_can_speak_one_version_only() {
    let api = Api::builder().protocol(Protocol::Http2).start().await;
    let address = Address::parse(api.url());
    let mut connection = Connection::http2(&address).await;
    assert_eq!(
        connection.send(with_token("/", "t")).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn the_raw_backend_keeps_what_it_read_and_says_what_it_was_told() {
    let backend = RawBackend::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let address = Address::parse(&backend.url());
    let mut connection = Connection::http1(&address).await;
    for path in ["/one", "/two"] {
        assert_eq!(connection.get(path).await.unwrap().status, 204);
    }
    assert_eq!(backend.received().len(), 1, "one connection");
    assert!(backend.text().starts_with("GET /one HTTP/1.1\r\n"));
    assert!(backend.text().contains("GET /two HTTP/1.1\r\n"));

    let echo = RawBackend::start([Step::Read(4), Step::write("hello "), Step::Echo]).await;
    let answer = Address::parse(&echo.url()).exchange("skipworld").await;
    assert_eq!(answer, "hello world");
}
