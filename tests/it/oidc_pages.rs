//! `oidc-provider` by itself, through its own pages: what a person in a browser brings about.

use bearward::login::{Ending, Failed, Loopback};
use serde_json::Value;

use crate::support::client::Answer;
use crate::support::oidc::{Offline, Options, Par, Registered};
use crate::support::{Browser, OidcProvider};

/// A code verifier and its challenge (RFC 7636, appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn provider(options: Options, client: &Registered) -> OidcProvider {
    let clients = vec![client.clone()];
    OidcProvider::start(Options { clients, ..options }).await
}

/// The parameters of an authorization request (RFC 6749 §4.1.1).
fn request<'a>(client: &'a Registered, loopback: &'a Loopback) -> Vec<(&'a str, &'a str)> {
    vec![
        ("client_id", &client.id),
        ("response_type", "code"),
        ("redirect_uri", loopback.redirect_uri()),
        ("scope", "openid offline_access crm.read"),
        ("prompt", "consent"),
        ("state", "y"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

fn url(provider: &OidcProvider, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(parameters).finish();
    format!("{}/auth?{query}", provider.url())
}

/// What the browser brings back, which is then told that all is over.
async fn brought_back(loopback: &mut Loopback, browser: &Browser) -> Vec<(String, String)> {
    let returned = loopback.returned().await;
    let query = form_urlencoded::parse(returned.query().expose().as_bytes());
    let query = query.into_owned().collect();
    returned.answer(&Ending::Failed(Failed {
        grant: String::from("crm"),
        server: String::from("the provider"),
        what: String::from("Only a test."),
        remedy: None,
    }));
    let seen = browser.until("Only a test.").await;
    assert!(!seen.url.contains('?'), "{}", seen.url);
    query
}

fn of<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

async fn exchanged(
    provider: &OidcProvider,
    client: &Registered,
    loopback: &Loopback,
    code: &str,
) -> Value {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", loopback.redirect_uri()),
        ("code_verifier", VERIFIER),
    ];
    let answer = provider.token(client, &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_person_consents_or_denies_and_comes_back_to_loopback() {
    let client = Registered::public("cli");
    let provider = provider(Options::default(), &client).await;
    let browser = Browser::start().await;
    let mut loopback = Loopback::bind(None).unwrap();
    let start = url(&provider, &request(&client, &loopback));

    browser.log_in_and_consent(&start).await;
    let back = brought_back(&mut loopback, &browser).await;
    assert_eq!(of(&back, "state"), Some("y"));
    assert_eq!(of(&back, "iss"), Some(provider.url()));
    let code = of(&back, "code").unwrap();
    let answer = exchanged(&provider, &client, &loopback, code).await;
    assert!(answer["refresh_token"].is_string(), "{answer}");

    // The person is known by now, so only consent is asked.
    browser.deny(&start).await;
    let back = brought_back(&mut loopback, &browser).await;
    assert_eq!(of(&back, "error"), Some("access_denied"));
    assert_eq!(of(&back, "code"), None);
    loopback.close().await;
}

#[tokio::test]
async fn offline_access_can_be_forgotten_or_ignored() {
    let browser = Browser::start().await;
    for (offline, scope) in [
        (Offline::Forget, "openid offline_access crm.read"),
        (Offline::Ignore, "openid crm.read"),
    ] {
        let client = Registered::confidential("web");
        let options = Options {
            offline,
            ..Options::default()
        };
        let provider = provider(options, &client).await;
        let mut loopback = Loopback::bind(None).unwrap();
        let start = url(&provider, &request(&client, &loopback));
        browser.log_in_and_consent(&start).await;
        let back = brought_back(&mut loopback, &browser).await;
        let code = of(&back, "code").unwrap();
        let answer = exchanged(&provider, &client, &loopback, code).await;
        assert_eq!(answer["refresh_token"], Value::Null, "{offline:?}");
        assert_eq!(answer["scope"], scope, "{offline:?}");
    }
}

#[tokio::test]
async fn a_client_may_have_to_push_its_request() {
    let client = Registered::confidential("web").pushing();
    let options = Options {
        par: Par::Offer,
        ..Options::default()
    };
    let provider = provider(options, &client).await;
    let browser = Browser::start().await;
    let mut loopback = Loopback::bind(None).unwrap();
    let parameters = request(&client, &loopback);
    let refused = url(&provider, &parameters);
    let back = brought_back(&mut loopback, &browser);
    // The browser is sent back at once, and held.
    let ((), back) = tokio::join!(browser.goto(&refused), back);
    assert_eq!(of(&back, "error"), Some("invalid_request"), "not pushed");

    let parameters = request(&client, &loopback);
    let pushed = provider.post("/request", &client, &parameters).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let pushed = pushed.json();
    let reference = pushed["request_uri"].as_str().unwrap();
    let parameters = [
        ("client_id", client.id.as_str()),
        ("request_uri", reference),
    ];
    let start = url(&provider, &parameters);
    browser.log_in_and_consent(&start).await;
    let back = brought_back(&mut loopback, &browser).await;
    assert!(of(&back, "code").is_some(), "{back:?}");
}

/// Asks for a device code and a user code (RFC 8628 §3.2).
async fn device(provider: &OidcProvider, client: &Registered) -> Value {
    let fields = [
        ("scope", "openid offline_access crm.read"),
        ("prompt", "consent"),
    ];
    let answer = provider.post("/device/auth", client, &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn polled(provider: &OidcProvider, client: &Registered, device: &Value) -> Answer {
    let code = device["device_code"].as_str().unwrap();
    let fields = [("grant_type", DEVICE), ("device_code", code)];
    provider.token(client, &fields).await
}

#[tokio::test]
async fn a_person_lets_a_device_in_or_keeps_it_out() {
    let client = Registered::public("tv");
    let provider = provider(Options::default(), &client).await;
    let browser = Browser::start().await;
    let first = device(&provider, &client).await;
    let page = first["verification_uri"].as_str().unwrap();
    let code = |device: &Value| device["user_code"].as_str().unwrap().to_owned();
    assert!(!browser.enter_user_code(page, "WRNG-CODE").await);
    assert!(browser.enter_user_code(page, &code(&first)).await);
    let waiting = polled(&provider, &client, &first).await;
    assert_eq!(waiting.json()["error"], "authorization_pending");
    browser.let_device_in().await;
    let answer = polled(&provider, &client, &first).await.json();
    assert!(answer["refresh_token"].is_string(), "{answer}");

    let second = device(&provider, &client).await;
    assert!(browser.enter_user_code(page, &code(&second)).await);
    browser.keep_device_out().await;
    let denied = polled(&provider, &client, &second).await;
    assert_eq!(denied.json()["error"], "access_denied");
}
