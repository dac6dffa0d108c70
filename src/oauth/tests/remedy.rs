//! What helps when a login brought no refresh token.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::Url;
use crate::oauth::{Asked, Metadata, Plaintext, Remedy, remedy};

fn params(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn metadata(members: &Value) -> Metadata {
    let mut document = json!({ "issuer": "https://as.example" });
    for (member, value) in members.as_object().unwrap() {
        document[member] = value.clone();
    }
    let issuer: Url = "https://as.example".parse().unwrap();
    Metadata::read(document.to_string().as_bytes(), &issuer, Plaintext::Refuse).unwrap()
}

/// The remedy after a login at `server` with these scopes and, if any, these parameters.
fn after(server: &str, scope: &str, query: Option<&str>, members: Option<&Value>) -> Remedy {
    let scope: Vec<String> = scope.split_whitespace().map(str::to_owned).collect();
    let params = query.map(params);
    let asked = Asked {
        server: &server.parse().unwrap(),
        scope: &scope,
        params: params.as_ref(),
    };
    let remedy = remedy(&asked, members.map(metadata).as_ref());
    assert!(!remedy.steps.is_empty());
    for sentence in remedy.steps.iter().chain(&remedy.told) {
        let length = sentence.chars().count();
        assert!(length <= 200 && !sentence.contains('\n'), "{sentence}");
        assert!(!sentence.ends_with('.') && length > 10, "{sentence}");
    }
    remedy
}

/// A server; what was asked; a part of each step that follows.
#[rustfmt::skip]
const KNOWN: &[(&str, &str, &str, &[&str])] = &[
    ("https://accounts.google.com", "openid", "", &["`access_type = \"offline\"`", "`prompt = \"consent\"`"]),
    ("https://oauth2.googleapis.com/token", "openid", "access_type=offline", &["`prompt = \"consent\"`"]),
    ("https://accounts.google.com", "openid", "access_type=offline&prompt=select_account+consent", &["Google account"]),
    ("https://login.microsoftonline.com/t/v2.0", "User.Read", "", &["`offline_access` to `scope`"]),
    ("https://login.microsoftonline.us/t/v2.0", "offline_access", "", &["app registration"]),
    ("https://dev-1.okta.com/oauth2/default", "openid", "", &["add `offline_access`"]),
    ("https://dev-1.okta.com/oauth2/default", "offline_access", "", &["\"Refresh Token\""]),
    ("https://t.eu.auth0.com/", "openid", "", &["add `offline_access`", "set `audience`"]),
    ("https://t.eu.auth0.com/", "offline_access", "audience=https://api", &["\"Allow Offline Access\""]),
    ("https://sso.example.com/realms/main", "openid", "", &["Keycloak gives"]),
    ("https://sso.example.com/auth/realms/main/protocol/openid-connect/token", "offline_access", "", &["role `offline_access`"]),
    ("https://login.salesforce.com", "api", "", &["add `refresh_token`"]),
    ("https://acme.my.salesforce.com", "api offline_access", "", &["connected app"]),
    ("https://accounts.zoho.com.au/oauth/v2/token", "x", "prompt=consent", &["access_type"]),
    ("https://accounts.zoho.eu/oauth/v2/token", "x", "access_type=offline&prompt=consent", &["disconnect"]),
    ("https://www.dropbox.com/oauth2/authorize", "x", "", &["`token_access_type = \"offline\"`"]),
    ("https://www.reddit.com/api/v1/access_token", "x", "duration=temporary", &["`duration = \"permanent\"`"]),
    ("https://api.x.com/2/oauth2/token", "tweet.read", "", &["add `offline.access`"]),
    ("https://auth.atlassian.com", "offline_access", "audience=api.atlassian.com", &["`prompt = \"consent\"`"]),
    ("https://slack.com/api/oauth.v2.access", "chat:write", "", &["token rotation"]),
    ("https://github.com/login/oauth/access_token", "", "", &["User-to-server"]),
    ("https://identity.xero.com", "openid", "", &["add `offline_access`"]),
    ("https://api.hubapi.com/oauth/v1/token", "x", "", &["HubSpot gives"]),
    ("https://acme.snowflakecomputing.com/oauth/token-request", "session:role:x", "", &["add `refresh_token`"]),
    ("https://acme.snowflakecomputing.com/oauth/token-request", "refresh_token", "", &["OAUTH_ISSUE_REFRESH_TOKENS"]),
    ("https://shop.myshopify.com", "x", "", &["expiring=1"]),
    ("https://www.linkedin.com/oauth/v2/accessToken", "x", "", &["approve"]),
    ("https://apps.fortnox.se/oauth-v1/token", "x", "", &["access_type"]),
    ("https://apps.fortnox.se/oauth-v1/token", "x", "access_type=offline", &["developer portal"]),
    ("https://api.dropbox.com/oauth2/token", "x", "token_access_type=offline", &["Dropbox account"]),
    ("https://www.reddit.com/api/v1/access_token", "x", "duration=permanent", &["app's type"]),
    ("https://api.x.com/2/oauth2/token", "offline.access", "", &["developer portal of X"]),
    ("https://auth.atlassian.com", "offline_access", "audience=api.atlassian.com&prompt=consent", &["3LO"]),
    ("https://identity.xero.com", "offline_access", "", &["app's type"]),
];

#[test]
fn known_servers_are_asked_in_their_own_way() {
    for (server, scope, query, words) in KNOWN {
        let steps = after(server, scope, Some(query), None).steps;
        assert_eq!(steps.len(), words.len(), "{server}: {steps:?}");
        for (step, words) in steps.iter().zip(*words) {
            assert!(step.contains(words), "{server}: {steps:?}");
        }
    }
}

#[test]
fn a_name_that_only_looks_alike_is_not_known() {
    for server in [
        "https://netflix.com",
        "https://notgoogle.com",
        "https://google.com.evil.example",
        "https://evil.example/google.com",
        "https://sso.example.com/realms",
        "https://okta.com.example",
    ] {
        let remedy = after(server, "offline_access", Some("prompt=consent"), None);
        assert_eq!(
            remedy,
            after(
                "https://as.example",
                "offline_access",
                Some("prompt=consent"),
                None
            ),
            "{server}"
        );
    }
    let known = after("https://ACCOUNTS.Google.COM", "x", Some(""), None);
    assert!(known.steps[0].contains("Google"), "{known:?}");
}

#[test]
fn a_device_login_is_not_told_of_parameters_it_has_not() {
    for server in [
        "https://accounts.google.com",
        "https://t.auth0.com",
        "https://as.example",
    ] {
        let remedy = after(server, "offline_access", None, None);
        let text = remedy.steps.concat();
        assert!(!text.contains("authorize.params"), "{server}: {text}");
    }
}

#[test]
fn elsewhere_the_metadata_decides() {
    for (scope, query, members, steps, told) in unknown() {
        let remedy = after("https://as.example", scope, query, members.as_ref());
        for (sentences, words) in [(&remedy.steps, steps), (&remedy.told, told)] {
            assert_eq!(
                sentences.len(),
                words.len(),
                "{scope} {query:?}: {remedy:?}"
            );
            for (sentence, words) in sentences.iter().zip(words) {
                assert!(sentence.contains(words), "{scope} {query:?}: {remedy:?}");
            }
        }
    }
}

/// Scope, parameters and metadata; a part of each step and of each thing told.
type Case = (
    &'static str,
    Option<&'static str>,
    Option<Value>,
    Vec<&'static str>,
    Vec<&'static str>,
);

#[rustfmt::skip]
fn unknown() -> Vec<Case> {
    let offers = Some(json!({ "scopes_supported": ["openid", "offline_access"] }));
    let short = Some(json!({ "scopes_supported": ["offline"] }));
    let bare = Some(json!({ "scopes_supported": ["openid"], "grant_types_supported": ["authorization_code"] }));
    let no_consent = Some(json!({ "prompt_values_supported": ["login"] }));
    let listed = Some(json!({ "grant_types_supported": ["refresh_token"], "prompt_values_supported": ["consent"] }));
    let consent = Some("prompt=consent");
    let (prompt, grants) = ("`prompt = \"consent\"`", "does not list `refresh_token`");
    vec![
        ("openid", Some(""), offers.clone(), vec!["add `offline_access`"], vec!["lists `offline_access`"]),
        ("openid", None, short, vec!["add `offline` "], vec!["lists `offline`"]),
        ("openid", Some(""), None, vec!["look up how"], vec![]),
        ("openid", Some(""), listed.clone(), vec!["look up how"], vec![]),
        ("openid", Some(""), bare.clone(), vec!["look up how", "ask who runs"], vec![grants]),
        ("offline_access", Some(""), offers, vec![prompt, "console"], vec!["lists `offline_access`"]),
        ("offline_access", Some("prompt=login"), None, vec![prompt, "console"], vec![]),
        ("offline_access", Some(""), no_consent, vec!["console"], vec!["does not list `consent`"]),
        ("offline_access", consent, listed, vec!["console"], vec![]),
        ("offline_access", consent, None, vec!["console"], vec![]),
        ("offline_access", consent, bare, vec!["ask who runs", "console"], vec!["does not list `offline_access`", grants]),
        ("offline", Some(""), None, vec!["console"], vec![]),
    ]
}
