//! Revocations, byte by byte, and what servers answer to them.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::grant;
use crate::oauth::{Class, Credentials, Fresh, Profile, Reply, ResponseRules, TokenKind, revoked};
use crate::secret::Secret;

fn body(keys: &serde_json::Value, kind: TokenKind) -> (HeaderMap, String) {
    let credentials = Credentials {
        client_secret: Some(Secret::new(String::from("s%cret +1"))),
        ..Credentials::default()
    };
    let fresh = Fresh {
        uuid: String::new(),
        now: Timestamp::UNIX_EPOCH,
    };
    let token = Secret::new(String::from("T/1=="));
    let endpoint = "https://as.example/revoke?tenant=7".parse().unwrap();
    let request = Profile::new(&grant(keys))
        .unwrap()
        .revoke(&endpoint, (kind, &token), &credentials, &fresh)
        .unwrap()
        .into_http();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "/revoke?tenant=7");
    let text = String::from_utf8(request.body().expose().clone()).unwrap();
    (request.headers().clone(), text)
}

#[test]
fn a_client_proves_itself_as_on_a_refresh() {
    let basic = json!({ "client_secret": { "env": "UNREAD" } });
    let (headers, text) = body(&basic, TokenKind::Refresh);
    assert_eq!(text, "token=T%2F1%3D%3D&token_type_hint=refresh_token");
    assert_eq!(headers["authorization"], "Basic YXBwOnMlMjVjcmV0KyUyQjE=");
    let post = json!({
        "client_secret": { "env": "UNREAD" }, "client_auth": "client_secret_post",
        "token_headers": { "x-tenant": "7" },
        "refresh": { "params": { "audience": "not for a revocation" } },
    });
    let (headers, text) = body(&post, TokenKind::Access);
    assert_eq!(
        text,
        "token=T%2F1%3D%3D&token_type_hint=access_token&client_id=app&client_secret=s%25cret+%2B1"
    );
    assert_eq!(headers["x-tenant"], "7");
    let (headers, text) = body(&json!({}), TokenKind::Refresh);
    assert!(text.ends_with("&client_id=app"), "{text}");
    assert!(!headers.contains_key("authorization"));
}

#[test]
fn an_answer_says_whether_the_token_may_still_be_good() {
    let rules = ResponseRules::new(&grant(&json!({}))).unwrap();
    let said = |status: u16, body: &str| {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        let failure = revoked(&reply, &rules, Timestamp::UNIX_EPOCH).err();
        failure.map(|failure| (failure.class, failure.code))
    };
    for (status, body) in [
        (200, ""),
        (204, ""),
        (200, "{}"),
        (200, "OK"),
        (200, r#"{"ok":true,"status":"revoked"}"#),
        (400, r#"{"error":"invalid_token"}"#),
        (400, r#"{"error":"invalid_grant"}"#),
    ] {
        assert_eq!(said(status, body), None, "{status} {body}");
    }
    for (status, body, class, code) in [
        (
            200,
            r#"{"ok":false,"error":"invalid_auth"}"#,
            Class::Unknown,
            "invalid_auth",
        ),
        (200, "<html>Sign in</html>", Class::Later, "html"),
        (302, "", Class::Later, "redirect"),
        (
            400,
            r#"{"error":"unsupported_token_type"}"#,
            Class::Configuration,
            "unsupported_token_type",
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            Class::ClientBroken,
            "invalid_client",
        ),
        (404, "", Class::Unknown, "http_404"),
        (500, "", Class::Later, "http_500"),
        (503, "", Class::Later, "http_503"),
    ] {
        let failure = said(status, body);
        assert_eq!(failure, Some((class, code.to_owned())), "{status} {body}");
    }
}
