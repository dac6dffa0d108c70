//! What peers get wrong, by the numbers D1 to D25 of the catalogue that was made of them, as far
//! as it concerns one process.
//!
//! A defect is covered by the test that the table names, here or elsewhere; a test holds the
//! table against the sources.

use std::path::Path;
use std::time::Duration;

use crate::practice::{Api, Issuer, Reply, Rotation};
use crate::support::{Sidecar, client};

/// The defect's number, what it is, and the test that would fail if Bearward had it.
const COVERED: [(u8, &str, &str); 21] = [
    (
        1,
        "a refresh token read outside the single flight is stale",
        "a_newer_record_in_the_store_is_taken_instead_of_asking",
    ),
    (
        4,
        "a save that fails is swallowed",
        "what_cannot_be_saved_is_served_and_not_rotated_again",
    ),
    (
        5,
        "an absent member overwrites the refresh token",
        "d05_an_absent_refresh_token_keeps_the_old",
    ),
    (
        6,
        "no `expires_in` means for ever, or a fetch per request",
        "what_tells_no_lifetime_lives_for_the_default",
    ),
    (
        7,
        "a failed refresh becomes an empty 200",
        "each_misbehaviour_is_told_counted_and_never_a_storm",
    ),
    (
        8,
        "failures follow each other, one for each who waits",
        "a_failure_is_shared_and_then_remembered",
    ),
    (
        9,
        "a token that has ended is still put on",
        "d09_a_token_that_has_ended_is_never_put_on",
    ),
    (
        10,
        "without a token the call goes out bare",
        "a_dead_grant_is_told_in_words_and_asked_about_rarely",
    ),
    (
        11,
        "a second `Authorization` stands beside the caller's",
        "d11_the_callers_authorization_is_replaced",
    ),
    (
        12,
        "two grants share a cached token",
        "each_key_shows_in_the_request_the_call_or_the_status",
    ),
    (
        13,
        "bodies and events are held back",
        "d13_an_event_arrives_while_the_next_is_awaited",
    ),
    (
        14,
        "the first caller's hanging up ends everyone's refresh",
        "one_who_hangs_up_cancels_nobodys_refresh",
    ),
    (
        15,
        "a margin as long as the life means a refresh per request",
        "a_token_shorter_lived_than_any_margin_makes_no_refresh_per_request",
    ),
    (
        16,
        "one option overwrites another in silence",
        "each_key_shows_in_the_request_the_call_or_the_status",
    ),
    (
        17,
        "after a refused upgrade calls go out bare",
        "d17_after_a_refused_upgrade_calls_still_carry_the_token",
    ),
    (
        18,
        "one malformed answer ends all refreshing",
        "d18_a_malformed_answer_ends_nothing",
    ),
    (
        19,
        "an answer lost after rotation costs the grant",
        "an_answer_that_is_lost_after_rotation_is_not_asked_for_again_while_the_token_lives",
    ),
    (
        20,
        "the wall clock is trusted",
        "a_clock_that_was_set_back_keeps_no_token_alive_for_longer_than_its_life",
    ),
    (
        21,
        "a refresh forced by a 401 looks at the expiry and does nothing",
        "a_rejected_token_is_replaced_and_the_call_sent_again",
    ),
    (
        23,
        "too few or too many answers mean that a grant is dead",
        "failures_get_their_class_and_code",
    ),
    (
        25,
        "a corrupt store is read as empty and overwritten",
        "d25_a_corrupt_store_stops_the_start_and_stays_as_it_is",
    ),
];

#[test]
fn the_tests_that_the_table_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut sources, mut folders) = (String::new(), vec![root.join("src"), root.join("tests/it")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for (number, defect, test) in COVERED {
        let is_there = sources.contains(&format!("fn {test}()"));
        assert!(is_there, "D{number} ({defect}): no test `{test}`");
    }
}

#[tokio::test]
async fn d05_an_absent_refresh_token_keeps_the_old() {
    let builder = Issuer::builder().rotation(Rotation::Never);
    let issuer = builder.lifetime(Duration::from_secs(1)).start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let requests = issuer.requests().reaches(3).await.unwrap();
    let first = &requests[0].fingerprint;
    assert!(requests.iter().all(|request| request.fingerprint == *first));
    assert_eq!(sidecar.get("/").await.status, 200);
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("bearward_grant_rotations_total", &[]), 0.0);
}

#[tokio::test]
async fn d09_a_token_that_has_ended_is_never_put_on() {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_secs(1))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    issuer.go_down().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = api.requests().len();
    let answer = sidecar.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "issuer_unavailable");
    assert_eq!(api.requests().len(), before);
}

#[tokio::test]
async fn d11_the_callers_authorization_is_replaced() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let mut request = client::get("/");
    for value in ["Bearer stale", "Basic eDp5"] {
        let value = value.parse().unwrap();
        request.headers_mut().append("authorization", value);
    }
    assert_eq!(sidecar.send(request).await.status, 200);
    let arrived = api.last().unwrap();
    assert_eq!(arrived.headers.get_all("authorization").iter().count(), 1);
    assert_eq!(arrived.bearer(), issuer.access_token().as_deref());
}

#[tokio::test]
async fn d13_an_event_arrives_while_the_next_is_awaited() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    api.on("/events", Reply::events(2, Duration::from_secs(600)));
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let mut connection = sidecar.connect().await;
    let mut answer = connection.open(client::get("/events")).await.unwrap();
    let frame = http_body_util::BodyExt::frame(answer.body_mut());
    let frame = tokio::time::timeout(client::PATIENCE, frame).await;
    let event = frame.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(event, "data: 1\n\n");
}

#[tokio::test]
async fn d17_after_a_refused_upgrade_calls_still_carry_the_token() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    api.on("/socket", Reply::status(400));
    let mut connection = sidecar.connect().await;
    let mut request = client::get("/socket");
    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
        let value = value.parse().unwrap();
        request.headers_mut().insert(name, value);
    }
    assert_eq!(connection.send(request).await.unwrap().status, 400);
    let answer = connection.get("/after").await;
    // Closing would be as good an answer; a bare call would not.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 200);
        assert_eq!(
            api.last().unwrap().bearer(),
            issuer.access_token().as_deref()
        );
    }
    let bare = |call: &crate::practice::Recorded| call.bearer().is_none();
    assert_eq!(api.requests().count(bare), 0);
}

#[tokio::test]
async fn d18_a_malformed_answer_ends_nothing() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let broken = Reply::status(200)
        .header("content-type", "application/json")
        .body("<html>");
    issuer.next(broken);
    let sidecar = Sidecar::between(&issuer, &api).start_unready().await;
    assert_eq!(sidecar.get("/").await.status, 503);
    sidecar.ready().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.requests().len(), 2);
}

#[tokio::test]
async fn d25_a_corrupt_store_stops_the_start_and_stays_as_it_is() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let store = plan.home().join("grant").join("crm.grant");
    make_private_folder(store.parent().unwrap());
    // As a cut copy leaves it.
    plan.secret_file("grant/crm.grant", "{\"version\":1,\"grant\":\"cr");
    let exit = plan
        .start_failing_with(|| std::fs::read(&store).unwrap())
        .await;
    assert_ne!(exit.0.code, Some(0));
    assert_eq!(
        exit.1, b"{\"version\":1,\"grant\":\"cr",
        "it is not overwritten"
    );
    assert!(exit.0.stderr.contains("crm.grant"), "{}", exit.0.stderr);
    assert!(issuer.requests().is_empty());
}

fn make_private_folder(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(path).unwrap();
}
