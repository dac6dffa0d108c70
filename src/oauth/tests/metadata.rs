//! Where metadata is looked for, and which of it is believed.

use serde_json::{Value, json};

use crate::config::Url;
use crate::oauth::{Metadata, MetadataError, Plaintext, well_known};

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn read(document: &Value, issuer: &str) -> Result<Metadata, MetadataError> {
    Metadata::read(
        document.to_string().as_bytes(),
        &url(issuer),
        Plaintext::Refuse,
    )
}

#[test]
fn asks_at_the_well_known_places_in_order() {
    for (issuer, places) in [
        (
            "https://as.example",
            vec![
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ],
        ),
        (
            "https://as.example:8443/",
            vec![
                "https://as.example:8443/.well-known/oauth-authorization-server",
                "https://as.example:8443/.well-known/openid-configuration",
            ],
        ),
        (
            "https://as.example/realms/one",
            vec![
                "https://as.example/.well-known/oauth-authorization-server/realms/one",
                "https://as.example/realms/one/.well-known/openid-configuration",
                "https://as.example/.well-known/openid-configuration/realms/one",
            ],
        ),
        (
            "http://[::1]:80/a/",
            vec![
                "http://[::1]:80/.well-known/oauth-authorization-server/a",
                "http://[::1]:80/a/.well-known/openid-configuration",
                "http://[::1]:80/.well-known/openid-configuration/a",
            ],
        ),
    ] {
        let asked: Vec<String> = well_known(&url(issuer))
            .iter()
            .map(Url::to_string)
            .collect();
        assert_eq!(asked, places, "{issuer}");
    }
}

#[test]
fn reads_the_members_that_are_used() {
    let document = json!({
        "issuer": "https://as.example/r", "token_endpoint": "https://tokens.example/t?x=1",
        "authorization_endpoint": null, "revocation_endpoint": "http://127.0.0.1:9/r",
        "scopes_supported": ["openid", 7, "offline_access"], "grant_types_supported": "nonsense",
        "authorization_response_iss_parameter_supported": true, "unknown": [{}],
        "jwks_uri": "https://keys.example/jwks", "prompt_values_supported": ["login", "consent"],
        "require_pushed_authorization_requests": "true",
    });
    let metadata = read(&document, "https://as.example/r").unwrap();
    assert_eq!(
        metadata.token_endpoint,
        Some(url("https://tokens.example/t?x=1"))
    );
    assert_eq!(metadata.authorization_endpoint, None);
    assert_eq!(
        metadata.revocation_endpoint,
        Some(url("http://127.0.0.1:9/r"))
    );
    assert_eq!(
        metadata.scopes_supported.unwrap(),
        ["openid", "offline_access"]
    );
    assert_eq!(metadata.grant_types_supported, None);
    assert!(metadata.authorization_response_iss_parameter_supported);
    assert_eq!(metadata.jwks_uri, Some(url("https://keys.example/jwks")));
    assert_eq!(
        metadata.prompt_values_supported.unwrap(),
        ["login", "consent"]
    );
    // Only the JSON value says so; a text that looks like it does not.
    assert!(!metadata.require_pushed_authorization_requests);
}

#[test]
fn what_a_refresh_does_without_does_not_spoil_the_metadata() {
    for (jwks_uri, wanted) in [
        (json!("https://as.example/k"), Some("https://as.example/k")),
        (json!("http://127.0.0.1:9/k"), Some("http://127.0.0.1:9/k")),
        (json!("http://as.example/k"), None),
        (json!("/k"), None),
        (json!(""), None),
        (json!(7), None),
        (json!(null), None),
    ] {
        let document = json!({
            "issuer": "https://as.example", "jwks_uri": jwks_uri,
            "require_pushed_authorization_requests": true,
        });
        let metadata = read(&document, "https://as.example").unwrap();
        assert_eq!(metadata.jwks_uri, wanted.map(url), "{jwks_uri}");
        assert!(metadata.require_pushed_authorization_requests);
    }
}

#[test]
fn another_issuers_metadata_is_refused() {
    for (issuer, named, same) in [
        ("https://as.example", "https://as.example", true),
        ("https://as.example", "https://as.example/", true),
        ("https://as.example/", "https://as.example", true),
        ("https://as.example/r", "https://as.example/r", true),
        ("https://as.example/r", "https://as.example/r/", false),
        ("https://as.example/r/", "https://as.example/r", false),
        ("https://as.example", "https://as.example//", false),
        ("https://as.example", "https://AS.example", false),
        ("https://as.example", "http://as.example", false),
        ("https://as.example", "https://as.example:443", false),
        ("https://as.example", "https://as.example.evil", false),
        (
            "https://as.example/common",
            "https://as.example/{tenantid}",
            false,
        ),
        ("https://as.example", "", false),
    ] {
        let result = read(&json!({ "issuer": named }), issuer);
        assert_eq!(result.is_ok(), same, "{issuer} {named}");
        if let Err(error) = result {
            let text = error.to_string();
            assert!(text.contains(issuer) && text.contains(named), "{text}");
        }
    }
}

#[test]
fn what_is_no_metadata_says_so() {
    let issuer = url("https://as.example");
    let refuse = Plaintext::Refuse;
    for (document, wanted) in [
        (
            &b"<!doctype html><title>Sign in</title>"[..],
            MetadataError::Html,
        ),
        (b"\n <html>", MetadataError::Html),
        (b"", MetadataError::NotJson),
        (b"[]", MetadataError::NotJson),
        (b"{", MetadataError::NotJson),
        (b"\xff\xfe", MetadataError::NotJson),
        (b"{}", MetadataError::NoIssuer),
        (b"{\"issuer\":7}", MetadataError::NoIssuer),
    ] {
        assert_eq!(Metadata::read(document, &issuer, refuse), Err(wanted));
    }
    let bom = "\u{feff}{\"issuer\":\"https://as.example\"}";
    assert!(Metadata::read(bom.as_bytes(), &issuer, refuse).is_ok());
    let long = json!({ "issuer": format!("https://evil\n{}", "x".repeat(10_000)) });
    let text = read(&long, "https://as.example").unwrap_err().to_string();
    assert!(text.len() < 500 && !text.contains('\n'));
}

#[test]
fn endpoints_must_be_safe_to_use() {
    for (endpoint, refuse, allow) in [
        (json!("https://x.example/t"), true, true),
        (json!("http://localhost:1/t"), true, true),
        (json!("http://x.example/t"), false, true),
        (json!("ftp://x.example/t"), false, false),
        (json!("/relative"), false, false),
        (json!("https://user@x.example/t"), false, false),
        (json!(7), false, false),
    ] {
        let document =
            json!({ "issuer": "https://as.example", "token_endpoint": endpoint }).to_string();
        for (plaintext, fine) in [(Plaintext::Refuse, refuse), (Plaintext::Allow, allow)] {
            let result = Metadata::read(document.as_bytes(), &url("https://as.example"), plaintext);
            assert_eq!(result.is_ok(), fine, "{endpoint} {plaintext:?}");
            if let Err(error) = result {
                assert!(error.to_string().contains("`token_endpoint`"), "{error}");
            }
        }
    }
}
