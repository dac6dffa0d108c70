//! `oidc-provider` by itself: what a plain client sees of rotation and reuse detection.

use serde_json::Value;

use crate::support::OidcProvider;
use crate::support::oidc::{Options, Registered};

#[tokio::test]
async fn it_rotates_and_revokes_the_grant_when_a_spent_token_comes_again() {
    let client = Registered::confidential("plain");
    let provider = OidcProvider::start(Options {
        clients: vec![client.clone()],
        ..Options::default()
    })
    .await;
    let first = provider.consent(&client).await;

    let answer = provider.refresh(&client, &first).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let second = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert!(provider.is_active(&client, &access).await);
    assert!(provider.events("grant.revoked").is_empty());

    let again = provider.refresh(&client, &first).await;
    assert_eq!(again.status, 400);
    assert_eq!(again.json()["error"], "invalid_grant");
    assert_eq!(provider.reaches("grant.revoked", 1).await.len(), 1);
    assert!(!provider.is_active(&client, &access).await);

    let newest = provider.refresh(&client, &second).await;
    assert_eq!(newest.status, 400, "the whole grant is gone");
    let reasons = provider.reaches("grant.error", 2).await;
    assert!(reasons.iter().all(|event| event["detail"] != Value::Null));
}

#[tokio::test]
async fn a_public_client_rotates_too() {
    let client = Registered::public("cli");
    let provider = OidcProvider::start(Options {
        access_token_lifetime: 5,
        clients: vec![client.clone()],
        ..Options::default()
    })
    .await;
    let first = provider.consent(&client).await;
    let answer = provider.refresh(&client, &first).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["expires_in"], 5);
    assert_ne!(answer.json()["refresh_token"], first.as_str());
}
