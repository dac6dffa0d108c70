//! The requests of a login, parameter by parameter.

use std::collections::BTreeMap;

use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::grant;
use crate::oauth::{Attempt, Credentials, EnrolmentProfile, Fresh, RANDOMNESS};
use crate::secret::Secret;

const REDIRECT: &str = "http://127.0.0.1:4711/callback";

/// The verifier of RFC 7636, appendix B, in the place of randomness.
const VERIFIER: [u8; 32] = [
    116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77,
    105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
];

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn attempt() -> Attempt {
    let mut random = vec![0; RANDOMNESS - VERIFIER.len()];
    random.extend(VERIFIER);
    Attempt::new(&Secret::new(random), REDIRECT.to_owned())
}

fn fresh() -> Fresh {
    Fresh {
        uuid: String::from("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
        now: Timestamp::from_second(1_700_000_000).unwrap(),
    }
}

fn credentials() -> Credentials {
    Credentials {
        client_secret: Some(secret("s%cret")),
        params: BTreeMap::from([("key".to_owned(), secret("K1"))]),
        headers: BTreeMap::new(),
    }
}

fn profile(keys: &Value) -> EnrolmentProfile {
    EnrolmentProfile::new(&grant(keys)).unwrap()
}

/// The parameters of a form, in order.
fn pairs(form: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect()
}

fn body(request: &Request<Secret<Vec<u8>>>) -> Vec<(String, String)> {
    pairs(std::str::from_utf8(request.body().expose()).unwrap())
}

fn asked(keys: &Value) -> Vec<(String, String)> {
    let endpoint = "https://as.example/authorize".parse().unwrap();
    let address = profile(keys).address(&endpoint, &attempt()).unwrap();
    let (place, query) = address.expose().split_once('?').unwrap();
    assert_eq!(place, "https://as.example/authorize");
    pairs(query)
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn the_plain_address_is_that_of_the_standards() {
    let state = attempt().state.expose().clone();
    assert_eq!(state.len(), 43);
    let wanted = owned(&[
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT),
        ("scope", "crm.read crm.write"),
        ("state", &state),
        // RFC 7636, appendix B.
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ]);
    assert_eq!(
        asked(&json!({ "scope": ["crm.read", "crm.write"] })),
        wanted
    );
}

#[test]
fn offline_access_is_asked_for_with_consent_and_openid_with_a_nonce() {
    let asked = asked(&json!({ "scope": ["openid", "offline_access"] }));
    let find = |name: &str| {
        let mut found = asked.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands there twice");
        value
    };
    assert_eq!(find("prompt"), Some("consent"));
    assert_eq!(find("nonce"), Some(attempt().nonce.expose().as_str()));
}

#[test]
fn further_parameters_replace_and_drop_the_usual_ones() {
    let asked = asked(&json!({
        "scope": ["a", "offline_access"], "scope_separator": ",",
        "names": { "client_id": "client_key", "redirect_uri": "redirect_url" },
        "authorize": {
            "pkce": "off",
            "params": { "prompt": "", "access_type": "offline", "response_type": "" },
            "resource": ["https://api.example/a", "https://api.example/b"],
        },
    }));
    let wanted = owned(&[
        ("client_key", "app"),
        ("redirect_url", REDIRECT),
        ("scope", "a,offline_access"),
        ("state", attempt().state.expose()),
        ("access_type", "offline"),
        ("resource", "https://api.example/a"),
        ("resource", "https://api.example/b"),
    ]);
    assert_eq!(asked, wanted);
}

#[test]
fn a_query_that_the_endpoint_has_is_kept() {
    let endpoint = "https://as.example/authorize?tenant=7".parse().unwrap();
    let address = profile(&json!({})).address(&endpoint, &attempt()).unwrap();
    assert!(
        address
            .expose()
            .starts_with("https://as.example/authorize?tenant=7&response_type=code&")
    );
}

#[test]
fn a_pushed_request_is_signed_and_leaves_only_its_name_in_the_browser() {
    let profile = profile(&json!({ "client_secret": { "env": "UNREAD" }, "body": "json" }));
    let endpoint = "https://as.example/par".parse().unwrap();
    let request = profile
        .push(&endpoint, &attempt(), &credentials(), &fresh())
        .unwrap()
        .into_http();
    // RFC 9126 §2.1: a form, whatever the token endpoint likes.
    assert_eq!(
        request.headers()["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(request.headers()["authorization"], "Basic YXBwOnMlMjVjcmV0");
    let body = body(&request);
    assert!(body.contains(&("redirect_uri".to_owned(), REDIRECT.to_owned())));
    let authorize = "https://as.example/authorize".parse().unwrap();
    let address = profile
        .address_of_pushed(&authorize, &secret("urn:ietf:params:oauth:request_uri:x"))
        .unwrap();
    assert_eq!(
        address.expose(),
        "https://as.example/authorize?client_id=app&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Ax"
    );
}

#[test]
fn the_code_is_exchanged_with_the_verifier() {
    let profile = profile(&json!({
        "client_secret": { "env": "UNREAD" }, "client_auth": "client_secret_post",
        "names": { "code": "auth_code" },
        "exchange": { "params": { "type": "web_server", "key": { "env": "UNREAD" } } },
    }));
    let endpoint = "https://as.example/token".parse().unwrap();
    let (code, attempt) = (secret("C/1"), attempt());
    let request = profile
        .exchange(&endpoint, (&code, &attempt), &credentials(), &fresh())
        .unwrap()
        .into_http();
    let wanted = owned(&[
        ("grant_type", "authorization_code"),
        ("auth_code", "C/1"),
        ("redirect_uri", REDIRECT),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        ("client_id", "app"),
        ("client_secret", "s%cret"),
        ("key", "K1"),
        ("type", "web_server"),
    ]);
    assert_eq!(body(&request), wanted);
}

#[test]
fn a_device_names_its_client_and_polls_with_its_code() {
    let profile = profile(&json!({
        "scope": ["offline_access"], "device": { "params": { "audience": "https://api.example" } },
    }));
    let endpoint = "https://as.example/device".parse().unwrap();
    let none = Credentials::default();
    let request = profile.device(&endpoint, &none, &fresh()).unwrap();
    let wanted = owned(&[
        ("client_id", "app"),
        ("scope", "offline_access"),
        ("audience", "https://api.example"),
    ]);
    assert_eq!(body(&request.into_http()), wanted);
    let request = profile.poll(&endpoint, &secret("D1"), &none, &fresh());
    let wanted = owned(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", "D1"),
        ("client_id", "app"),
    ]);
    assert_eq!(body(&request.unwrap().into_http()), wanted);
}

#[test]
fn each_value_of_an_attempt_is_its_own() {
    let random: Vec<u8> = (0..).take(RANDOMNESS).collect();
    let attempt = Attempt::new(&Secret::new(random), REDIRECT.to_owned());
    assert_ne!(attempt.state, attempt.nonce);
    assert!(!format!("{attempt:?}").contains(attempt.state.expose()));
}
