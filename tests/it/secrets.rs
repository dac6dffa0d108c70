//! Client secrets that go away, come back and change while the program runs.

use std::fs;
use std::time::{Duration, Instant};

use crate::practice::{Api, Issuer};
use crate::support::{Sidecar, client, write_private};

#[tokio::test]
async fn a_corrected_client_secret_is_taken_up_within_seconds() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let secret = plan.home().join("client-secret");
    write_private(
        &secret,
        &plan.leaks().keep("a-secret-that-was-rotated-away"),
    );
    let sidecar = plan.start_unready().await;
    sidecar
        .logged(|event| event.message == "refresh failed")
        .await;
    let answer = sidecar.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "client_refused");
    let refused = issuer.requests().len();

    write_private(&secret, issuer.client_secret().unwrap());
    let corrected = Instant::now();
    sidecar.ready().await;
    assert!(
        corrected.elapsed() < Duration::from_secs(10),
        "{:?}",
        corrected.elapsed()
    );
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(
        issuer.requests().len(),
        refused + 1,
        "asked once, with the new secret"
    );
}

#[tokio::test]
async fn a_secret_that_is_missing_spends_nothing_until_it_is_back() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .start()
        .await;
    let secret = sidecar.home().join("client-secret");
    fs::remove_file(&secret).unwrap();
    assert_eq!(sidecar.get("/").await.status, 200, "what lives is served");
    api.reject(&issuer.access_token().unwrap());
    assert_eq!(
        sidecar.get("/").await.status,
        401,
        "there is no newer token"
    );
    sidecar
        .logged(|event| event.field("code") == "secret_unreadable")
        .await;
    assert_eq!(issuer.requests().len(), 1);
    write_private(&secret, issuer.client_secret().unwrap());
    issuer.requests().reaches(2).await.unwrap();
    let patience = Instant::now() + client::PATIENCE;
    while sidecar.get("/").await.status != 200 {
        assert!(Instant::now() < patience, "the new token is not used");
    }
}
