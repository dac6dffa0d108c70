//! Bearward and a certified authorization server: rotation with reuse detection, short tokens,
//! every way for a client to prove itself.
//!
//! That reuse would have revoked the grant is shown in `oidc_provider.rs`, and once more here, at
//! the end of the long run: the server was armed all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::{Instant, sleep};

use crate::practice::Api;
use crate::support::client::{Connection, PATIENCE};
use crate::support::oidc::{Options, Registered};
use crate::support::{OidcProvider, Sidecar};

/// A provider of tokens that live for so many seconds, its one client, its first refresh token.
async fn provider(lifetime: u32) -> (OidcProvider, Registered, String) {
    let client = Registered::confidential("legacy-crm");
    let provider = OidcProvider::start(Options {
        access_token_lifetime: lifetime,
        clients: vec![client.clone()],
        ..Options::default()
    })
    .await;
    let first = provider.consent(&client).await;
    (provider, client, first)
}

async fn api(provider: &OidcProvider, client: &Registered) -> Api {
    let trust = provider.introspection(client);
    Api::builder().taking(trust).start().await
}

/// The refreshes that the provider granted.
fn refreshes(provider: &OidcProvider) -> usize {
    let granted = provider.events("grant.success");
    let refreshes = granted
        .iter()
        .filter(|event| event["grant_type"] == "refresh_token");
    refreshes.count()
}

/// No token was sent twice, and nothing else was refused either.
fn assert_content(provider: &OidcProvider) {
    for trouble in ["grant.error", "grant.revoked", "server_error"] {
        assert_eq!(provider.events(trouble), Vec::<serde_json::Value>::new());
    }
}

/// Calls until `stop`; how often, and what came that was not 200.
async fn caller(mut connection: Connection, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut calls, mut failed) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let answer = connection.get("/orders").await.unwrap();
        calls += 1;
        if answer.status != 200 {
            failed.push(format!("{} {}", answer.status, answer.text()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    (calls, failed)
}

#[tokio::test]
async fn five_second_tokens_under_steady_traffic_fail_no_call() {
    const RUN: Duration = Duration::from_secs(31);
    let (provider, client, first) = provider(5).await;
    let api = api(&provider, &client).await;
    let sidecar = Sidecar::builder()
        .provider(&provider, &client, &first)
        .upstream(api.url())
        .grant("renew_floor = '0s'")
        .start()
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..4 {
        let connection = sidecar.connect().await;
        callers.push(tokio::spawn(caller(connection, Arc::clone(&stop))));
    }
    // In mid-traffic the API begins to reject the token, without a word from the provider.
    sleep(RUN / 3).await;
    let rejected = api.last().unwrap().bearer().unwrap().to_owned();
    api.reject(&rejected);
    sleep((began + RUN).saturating_duration_since(Instant::now())).await;
    stop.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for caller in callers {
        let (made, failed) = caller.await.unwrap();
        assert_eq!(failed, Vec::<String>::new());
        calls += made;
    }
    assert!(calls > 200, "{calls} calls are no steady traffic");
    assert_content(&provider);

    // The margin of a 5 s token is its half, and up to a fifth of that is jitter: one refresh in
    // 2 to 3 s (a token ends on a whole second, so it may live a second less), one at the start,
    // one for the rejection.
    let made = refreshes(&provider);
    assert!((8..=18).contains(&made), "{made} refreshes");
    let metrics = sidecar.metrics().await;
    let grant = [("grant", "crm")];
    let rotations = metrics.sum("bearward_grant_rotations_total", &grant);
    let succeeded = [("grant", "crm"), ("outcome", "success")];
    let all = metrics.sum("bearward_grant_refreshes_total", &grant);
    assert_eq!(all, rotations, "each refresh rotated");
    assert_eq!(
        all,
        metrics.sum("bearward_grant_refreshes_total", &succeeded)
    );
    assert!(
        metrics.sum("bearward_replays_total", &[]) >= 1.0,
        "the 401 was replaced"
    );

    let again = provider.refresh(&client, &first).await;
    assert_eq!(again.status, 400, "the first token has long been spent");
    assert_eq!(provider.reaches("grant.revoked", 1).await.len(), 1);
}

#[tokio::test]
async fn a_restart_in_mid_life_goes_on_with_the_rotated_token() {
    let (provider, client, first) = provider(5).await;
    let api = api(&provider, &client).await;
    let mut sidecar = Sidecar::builder()
        .provider(&provider, &client, &first)
        .upstream(api.url())
        // The provider rounds a token's end down to a whole second, so that on a busy machine a
        // call may come too late by a hair.
        .grant("renew_floor = '0s'")
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);
    sidecar.stop().await;
    sidecar.start_again().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    // The seed in the configuration is spent by now; what is stored rotates on.
    another_token(&sidecar, &api).await;
    sidecar.crash().await;
    sidecar.start_again().await;
    another_token(&sidecar, &api).await;
    assert_content(&provider);
}

/// Calls until a call carries another access token: by then the record that came with it is
/// durable, so that a power cut loses nothing.
async fn another_token(sidecar: &Sidecar, api: &Api) {
    let token = |api: &Api| api.last().unwrap().bearer().unwrap().to_owned();
    let before = token(api);
    let patience = Instant::now() + PATIENCE;
    while token(api) == before {
        assert!(Instant::now() < patience, "it is never renewed");
        assert_eq!(sidecar.get("/").await.status, 200);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_proves_itself_in_each_way() {
    let clients = [
        // What has a meaning in a form, in a URL or in the pair itself.
        Registered::confidential("reserved").with_secret("p%25:q+r s&t=u/v?w%zz~correct-horse"),
        Registered::confidential("poster").posting(),
        Registered::confidential("poster-of-odd")
            .posting()
            .with_secret("a+b%20c:d&e=f g battery-staple"),
        Registered::public("public"),
    ];
    let provider = OidcProvider::start(Options {
        clients: clients.to_vec(),
        ..Options::default()
    })
    .await;
    for client in &clients {
        let first = provider.consent(client).await;
        renews_twice(&provider, client, &first).await;
    }
    assert_content(&provider);
}

#[tokio::test]
async fn access_tokens_may_be_jwts() {
    let client = Registered::confidential("legacy-crm");
    let provider = OidcProvider::start(Options {
        jwt: true,
        clients: vec![client.clone()],
        ..Options::default()
    })
    .await;
    let first = provider.consent(&client).await;
    let token = renews_twice(&provider, &client, &first).await;
    let claims = token.split('.').nth(1).expect("a JWT");
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "urn:practice:api");
    assert_content(&provider);
}

/// Calls, has the token rejected, calls again: the second refresh is by the rotated token. Gives
/// the last access token.
async fn renews_twice(provider: &OidcProvider, client: &Registered, first: &str) -> String {
    let api = Api::builder().start().await;
    let sidecar = Sidecar::builder()
        .provider(provider, client, first)
        .upstream(api.url())
        .grant("renew_floor = '0s'")
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200, "{}", client.id);
    let token = api.last().unwrap().bearer().unwrap().to_owned();
    api.reject(&token);
    assert_eq!(sidecar.get("/").await.status, 200, "{}", client.id);
    let renewed = api.last().unwrap().bearer().unwrap().to_owned();
    assert_ne!(renewed, token);
    sidecar.leaks().keep(renewed.clone());
    sidecar.leaks().keep(token);
    renewed
}
