//! Rejections beyond the shared vectors.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::oauth::{Rejection, Verdict};

fn rejection(rules: Value) -> Rejection {
    let rules: Vec<crate::config::ExpiredRule> = serde_json::from_value(rules).unwrap();
    Rejection::new(&rules).unwrap()
}

fn by_head(rejection: &Rejection, status: u16, fields: &[(&'static str, &str)]) -> Verdict {
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    rejection.by_head(StatusCode::from_u16(status).unwrap(), &headers)
}

#[test]
fn without_rules_only_401_rejects() {
    let rejection = Rejection::default();
    for status in [200, 204, 400, 402, 403, 404, 407, 498, 500] {
        assert_eq!(by_head(&rejection, status, &[]), Verdict::Pass, "{status}");
        assert!(!rejection.by_body(StatusCode::from_u16(status).unwrap(), b"{}"));
    }
    for challenge in [
        "",
        "Bearer",
        "Basic realm=\"x\"",
        "Bearer error=\"insufficient_claims\"",
        "\u{1}?",
    ] {
        let Ok(value) = HeaderValue::from_str(challenge) else {
            continue;
        };
        let headers = HeaderMap::from_iter([("www-authenticate".parse().unwrap(), value)]);
        assert_eq!(
            rejection.by_head(StatusCode::UNAUTHORIZED, &headers),
            Verdict::Rejected,
            "{challenge}"
        );
    }
    let claims = "Basic realm=\"x\", bearer Claims=\"e30\", ERROR=insufficient_claims";
    let verdict = by_head(&rejection, 401, &[("www-authenticate", claims)]);
    assert_eq!(verdict, Verdict::NeedsHuman("insufficient_claims"));
}

#[test]
fn a_body_is_asked_for_only_where_it_can_be_looked_at() {
    let rules = rejection(json!([{ "status": 403, "body": "Expired" }, { "status": 498 }]));
    for (status, fields, verdict) in [
        (403, vec![], Verdict::NeedBody),
        (
            403,
            vec![("content-type", "text/html"), ("content-length", "65536")],
            Verdict::NeedBody,
        ),
        (
            403,
            vec![("content-encoding", "identity")],
            Verdict::NeedBody,
        ),
        (403, vec![("content-encoding", "gzip")], Verdict::Pass),
        (403, vec![("content-length", "65537")], Verdict::Pass),
        (
            403,
            vec![("content-type", "Text/Event-Stream")],
            Verdict::Pass,
        ),
        (
            403,
            vec![("content-type", "application/grpc+proto")],
            Verdict::Pass,
        ),
        (498, vec![("content-encoding", "gzip")], Verdict::Rejected),
        (200, vec![], Verdict::Pass),
    ] {
        assert_eq!(
            by_head(&rules, status, &fields),
            verdict,
            "{status} {fields:?}"
        );
    }
}

/// A rule beside its status, a body, and whether the one finds the other.
#[rustfmt::skip]
const RULES: &[(&str, &str, bool)] = &[
    (r#"{"json":"error"}"#, r#"{"error":"x"}"#, true),
    (r#"{"json":"error"}"#, r#"{"error":null}"#, false),
    (r#"{"json":"error"}"#, r#"{"err":1}"#, false),
    (r#"{"json":"error"}"#, "not json", false),
    (r#"{"json":"e.code","equals":190}"#, r#"{"e":{"code":190}}"#, true),
    (r#"{"json":"e.code","equals":190}"#, r#"{"e":{"code":"190"}}"#, false),
    (r#"{"json":"0.errorCode","equals":"INVALID_SESSION_ID"}"#, r#"[{"errorCode":"INVALID_SESSION_ID"}]"#, true),
    (r#"{"json":"ok","equals":false}"#, r#"{"ok":false}"#, true),
    (r#"{"json":"ok","equals":false}"#, r#"{"ok":true}"#, false),
    (r#"{"json":"m","prefix":"Token"}"#, r#"{"m":"Token expired"}"#, true),
    (r#"{"json":"m","prefix":"Token"}"#, r#"{"m":"The Token"}"#, false),
    (r#"{"json":"m","prefix":"T","body":"old age"}"#, r#"{"m":"Token (old age)"}"#, true),
    (r#"{"json":"m","prefix":"T","body":"old age"}"#, r#"{"m":"Token"}"#, false),
    (r#"{"body":"ExpiredToken"}"#, "<Code>ExpiredToken</Code>", true),
    (r#"{"body":"ExpiredToken"}"#, "", false),
];

#[test]
fn all_conditions_of_a_rule_must_hold() {
    for (rule, body, rejected) in RULES {
        let mut rule: Value = serde_json::from_str(rule).unwrap();
        rule["status"] = json!(400);
        let rules = rejection(json!([{ "status": 400, "body": "never there" }, rule]));
        let found = rules.by_body(StatusCode::BAD_REQUEST, body.as_bytes());
        assert_eq!(found, *rejected, "{rule} {body}");
        assert!(!rules.by_body(StatusCode::FORBIDDEN, body.as_bytes()));
    }
    let rules = rejection(json!([{ "status": 400, "body": "x" }]));
    assert!(!rules.by_body(StatusCode::BAD_REQUEST, "x".repeat(65 * 1024).as_bytes()));
    assert!(!rules.by_body(StatusCode::BAD_REQUEST, &[0xff; 100]));
}

#[test]
fn rules_that_cannot_hold_are_refused() {
    for rule in [
        json!({ "status": 99 }),
        json!({ "status": 1000 }),
        json!({ "status": 403, "json": "a..b" }),
        json!({ "status": 403, "equals": 1 }),
        json!({ "status": 403, "prefix": "x" }),
        json!({ "status": 403, "json": "a", "equals": 1, "prefix": "x" }),
        json!({ "status": 403, "body": "" }),
    ] {
        let rules = vec![serde_json::from_value(rule.clone()).unwrap()];
        let error = Rejection::new(&rules).unwrap_err();
        assert_eq!(error.key(), "expired_when", "{rule}");
    }
}
