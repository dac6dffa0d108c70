//! The main job: plain HTTP goes in, a call with a fresh token reaches the API, and the caller
//! sees nothing of expiry, rotation and rejection.

use std::time::Duration;

use crate::practice::{Api, Issuer, Outcome, Reply};
use crate::support::Sidecar;

#[tokio::test]
async fn a_call_arrives_with_a_token_that_the_caller_never_had() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let answer = sidecar.get("/orders?open=1").await;
    assert_eq!(answer.status, 200);
    let arrived = api.last().unwrap();
    assert_eq!(arrived.bearer(), issuer.access_token().as_deref());
    assert_eq!(issuer.refreshes(), 1);
    assert_eq!(issuer.count(Outcome::Refreshed), 1);
}

#[tokio::test]
async fn expiry_and_rotation_are_invisible() {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_secs(1))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let end = tokio::time::Instant::now() + Duration::from_secs(4);
    while tokio::time::Instant::now() < end {
        assert_eq!(sidecar.get("/").await.status, 200);
    }
    assert!(issuer.refreshes() >= 4, "{} refreshes", issuer.refreshes());
    assert_eq!(issuer.count(Outcome::Reused), 0);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_and_the_call_sent_again() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);
    api.reject(&issuer.access_token().unwrap());
    let answer = sidecar.get("/after").await;
    assert_eq!(answer.status, 200);
    assert_eq!(issuer.refreshes(), 2);
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("bearward_replays_total", &[]), 1.0);
    assert_eq!(metrics.sum("bearward_token_rejections_total", &[]), 1.0);
}

#[tokio::test]
async fn a_restart_goes_on_with_the_rotated_token_and_asks_nobody() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = Sidecar::between(&issuer, &api).start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    sidecar.stop().await;
    sidecar.start_again().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.refreshes(), 1, "the stored access token still lives");
}

#[tokio::test]
async fn a_dead_grant_is_told_in_words_and_asked_about_rarely() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api);
    issuer.revoke_grant();
    let sidecar = sidecar.start_unready().await;
    for _ in 0..50 {
        let answer = sidecar.get("/").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["grant"], "crm");
        assert_eq!(answer.json()["code"], "invalid_grant");
    }
    assert!(issuer.requests().len() <= 2);
    assert!(
        api.requests().is_empty(),
        "nothing goes out without a credential"
    );
}

#[tokio::test]
async fn while_the_issuer_is_down_the_living_token_is_served() {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_secs(4))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    issuer.go_down().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sidecar.get("/").await.status, 200, "to its last second");
    issuer.come_back().await.unwrap();
    issuer.requests().reaches(2).await.unwrap();
    assert_eq!(sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn a_rejection_without_end_is_passed_through() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    api.on("/forbidden", Reply::status(401));
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '1h'")
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(sidecar.get("/forbidden").await.status, 401);
    }
    assert_eq!(issuer.refreshes(), 1);
}
