//! Refresh requests, byte by byte.

use std::collections::BTreeMap;

use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::grant;
use crate::oauth::{Credentials, Fresh, Profile, RequestError};
use crate::secret::Secret;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn credentials() -> Credentials {
    Credentials {
        client_secret: Some(secret("s%cret +1")),
        params: BTreeMap::from([("key".to_owned(), secret("${now}&"))]),
        headers: BTreeMap::from([("x-api-key".to_owned(), secret("K"))]),
    }
}

fn fresh() -> Fresh {
    Fresh {
        uuid: String::from("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
        now: Timestamp::from_second(1_700_000_000).unwrap(),
    }
}

fn made(keys: &Value, endpoint: &str) -> Request<Secret<Vec<u8>>> {
    Profile::new(&grant(keys))
        .unwrap()
        .refresh(
            &endpoint.parse().unwrap(),
            &secret("RT/1=="),
            &credentials(),
            &fresh(),
        )
        .unwrap()
        .into_http()
}

fn body(request: &Request<Secret<Vec<u8>>>) -> String {
    String::from_utf8(request.body().expose().clone()).unwrap()
}

/// The client secret's keys, which most servers need.
fn with(keys: &Value) -> Value {
    let mut all = json!({ "client_secret": { "env": "UNREAD" } });
    for (key, value) in keys.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

#[test]
fn the_plain_request_is_that_of_the_standard() {
    let request = made(&with(&json!({})), "https://as.example:8443/token");
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "/token");
    assert_eq!(
        body(&request),
        "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D"
    );
    for (name, value) in [
        ("host", "as.example:8443"),
        ("accept", "application/json"),
        (
            "user-agent",
            concat!("bearward/", env!("CARGO_PKG_VERSION")),
        ),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", "51"),
        // `app:s%25cret+%2B1`
        ("authorization", "Basic YXBwOnMlMjVjcmV0KyUyQjE="),
    ] {
        assert_eq!(request.headers()[name], value, "{name}");
    }
    assert_eq!(request.headers().len(), 6);
    assert!(request.headers()["authorization"].is_sensitive());
}

#[test]
fn parameters_are_put_together_as_configured() {
    for (keys, wanted) in [
        (
            with(&json!({ "client_auth": "client_secret_post" })),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app&client_secret=s%25cret+%2B1",
        ),
        (
            json!({}),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app",
        ),
        (
            with(
                &json!({ "client_auth": "client_secret_post", "refresh": { "client_auth": "none" } }),
            ),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app",
        ),
        (
            json!({ "scope": ["a", "b"] }),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app",
        ),
        (
            json!({ "scope": ["a", "b"], "scope_separator": ",", "refresh": { "scope": true } }),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&scope=a%2Cb&client_id=app",
        ),
        (
            json!({ "refresh": { "scope": true } }),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app",
        ),
        (
            json!({ "refresh": { "params": { "type": "refresh", "client_id": "" } } }),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&type=refresh",
        ),
        (
            json!({ "refresh": { "params": { "grant_type": "renew", "nothing": "" } } }),
            "grant_type=renew&refresh_token=RT%2F1%3D%3D&client_id=app",
        ),
        (
            json!({ "refresh": { "params": { "nonce": "${uuid}", "key": { "env": "UNREAD" } } } }),
            "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app&key=%24%7Bnow%7D%26&nonce=7c9e6679-7425-40de-944b-e07fc1f90ae7",
        ),
        (
            with(
                &json!({ "client_auth": "client_secret_post", "names": { "client_id": "client_key", "client_secret": "app_secret", "refresh_token": "rt", "grant_type": "gt" } }),
            ),
            "gt=refresh_token&rt=RT%2F1%3D%3D&client_key=app&app_secret=s%25cret+%2B1",
        ),
    ] {
        assert_eq!(body(&made(&keys, "https://as.example/t")), wanted, "{keys}");
    }
}

#[test]
fn the_body_has_the_form_the_server_wants() {
    let request = made(
        &json!({ "body": "json", "client_id": "a\"b" }),
        "https://as.example/t?x=1",
    );
    let sent: Value = serde_json::from_str(&body(&request)).unwrap();
    assert_eq!(
        sent,
        json!({ "grant_type": "refresh_token", "refresh_token": "RT/1==", "client_id": "a\"b" })
    );
    assert_eq!(request.headers()["content-type"], "application/json");
    assert_eq!(request.uri(), "/t?x=1");
    let all_dropped = json!({ "body": "json", "refresh": { "params": {
        "grant_type": "", "refresh_token": "", "client_id": "" } } });
    assert_eq!(body(&made(&all_dropped, "https://as.example/t")), "{}");

    let params = "grant_type=refresh_token&refresh_token=RT%2F1%3D%3D&client_id=app";
    for (endpoint, before) in [
        ("https://as.example", "/?"),
        ("https://as.example/t", "/t?"),
        ("https://as.example/t?refresh", "/t?refresh&"),
        ("https://as.example/t?", "/t?"),
        ("https://as.example/t?a=b&", "/t?a=b&"),
    ] {
        let request = made(&json!({ "body": "query" }), endpoint);
        assert_eq!(
            request.uri().to_string(),
            format!("{before}{params}"),
            "{endpoint}"
        );
        assert_eq!(request.headers()["content-length"], "0");
        assert!(!request.headers().contains_key("content-type"));
        assert_eq!(body(&request), "");
    }
}

#[test]
fn basic_can_be_raw() {
    let request = made(
        &with(&json!({ "basic_encoding": "raw" })),
        "https://as.example/t",
    );
    // `app:s%cret +1`
    assert_eq!(
        request.headers()["authorization"],
        "Basic YXBwOnMlY3JldCArMQ=="
    );
}

#[test]
fn further_fields_are_set_and_hidden() {
    let keys = json!({ "token_headers": {
        "X-Api-Key": "literal", "x-id": "${uuid}", "x-now": "t=${now}", "Accept": "*/*",
        "authorization": "Bearer sk", "content-type": "application/x-www-form-urlencoded;charset=utf-8",
    } });
    let request = made(&keys, "https://as.example/t");
    for (name, value) in [
        ("x-api-key", "literal"),
        ("x-id", "7c9e6679-7425-40de-944b-e07fc1f90ae7"),
        ("x-now", "t=1700000000"),
        ("accept", "*/*"),
        ("authorization", "Bearer sk"),
        (
            "content-type",
            "application/x-www-form-urlencoded;charset=utf-8",
        ),
    ] {
        let values: Vec<_> = request.headers().get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
        assert!(values[0].is_sensitive(), "{name}");
    }
    let keys = json!({ "token_headers": { "x-api-key": { "env": "UNREAD" } } });
    assert_eq!(
        made(&keys, "https://as.example/t").headers()["x-api-key"],
        "K"
    );
}

#[test]
fn what_is_missing_or_unfit_is_an_error_before_anything_is_sent() {
    let nothing = Credentials::default();
    let mut newline = credentials();
    newline
        .headers
        .insert("x-api-key".to_owned(), secret("two\nlines"));
    for (keys, credentials, token, wanted) in [
        (with(&json!({})), &nothing, "RT", RequestError::NoSecret),
        (
            json!({ "token_headers": { "x-api-key": { "env": "U" } } }),
            &nothing,
            "RT",
            RequestError::NoSecret,
        ),
        (
            json!({ "refresh": { "params": { "p": { "env": "U" } } } }),
            &nothing,
            "RT",
            RequestError::NoSecret,
        ),
        (
            json!({ "token_headers": { "x-api-key": { "env": "U" } } }),
            &newline,
            "RT",
            RequestError::Header("x-api-key".to_owned()),
        ),
        (
            json!({ "body": "query" }),
            &nothing,
            &"x".repeat(70_000),
            RequestError::TooLong,
        ),
    ] {
        let profile = Profile::new(&grant(&keys)).unwrap();
        let endpoint = "https://as.example/t".parse().unwrap();
        let error = profile
            .refresh(&endpoint, &secret(token), credentials, &fresh())
            .unwrap_err();
        assert_eq!(error, wanted, "{keys}");
        assert!(!error.to_string().contains("lines"));
    }
}

#[test]
fn a_header_key_in_capitals_finds_its_secret() {
    let keys = json!({ "token_headers": { "X-Api-Key": { "env": "UNREAD" } } });
    let profile = Profile::new(&grant(&keys)).unwrap();
    let credentials = Credentials {
        headers: BTreeMap::from([("X-Api-Key".to_owned(), secret("K"))]),
        ..Credentials::default()
    };
    let endpoint = "https://as.example/t".parse().unwrap();
    let request = profile
        .refresh(&endpoint, &secret("RT"), &credentials, &fresh())
        .unwrap();
    assert_eq!(request.into_http().headers()["x-api-key"], "K");
}

#[test]
fn sections_that_cannot_be_used_name_their_key() {
    for (keys, key) in [
        (json!({ "client_id": "" }), "client_id"),
        (
            json!({ "client_auth": "client_secret_basic" }),
            "client_auth",
        ),
        (
            json!({ "refresh": { "client_auth": "client_secret_post" } }),
            "refresh.client_auth",
        ),
        (
            with(&json!({ "client_id": "a:b", "basic_encoding": "raw" })),
            "basic_encoding",
        ),
        (json!({ "names": { "scope": "" } }), "names"),
        (json!({ "names": { "scope": "client_id" } }), "names"),
        (json!({ "token_headers": { "Host": "x" } }), "token_headers"),
        (json!({ "token_headers": { "a b": "x" } }), "token_headers"),
        (json!({ "token_headers": { "x": "a\nb" } }), "token_headers"),
        (
            json!({ "token_headers": { "X-A": "1", "x-a": "2" } }),
            "token_headers",
        ),
    ] {
        let error = Profile::new(&grant(&keys)).unwrap_err();
        assert_eq!(error.key(), key, "{keys}");
    }
}

#[test]
fn nothing_of_a_request_can_be_printed() {
    let keys = with(&json!({ "body": "query", "client_auth": "client_secret_post" }));
    let profile = Profile::new(&grant(&keys)).unwrap();
    let endpoint = "https://as.example/t".parse().unwrap();
    let credentials = credentials();
    let request = profile
        .refresh(&endpoint, &secret("RT-1-secret"), &credentials, &fresh())
        .unwrap();
    let printed = format!("{request:?} {credentials:?} {profile:?}");
    assert!(
        !printed.contains("RT-1") && !printed.contains("cret +1"),
        "{printed}"
    );
}
