//! Token answers beyond the shared vectors.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::grant;
use crate::oauth::Class::{Ambiguous, ClientBroken, Configuration, Dead, Later, Unknown};
use crate::oauth::{
    Answer, Class, Expires, Failure, Reply, ResponseRules, Tokens, classify, classify_cut,
};
use crate::secret::Secret;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain";
const HTML: &str = "text/html; charset=utf-8";

fn answer(keys: &Value, status: u16, fields: &[(&'static str, &str)], body: &[u8]) -> Answer {
    let rules = ResponseRules::new(&grant(keys)).unwrap();
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        body,
    };
    classify(&reply, &rules, Timestamp::UNIX_EPOCH)
}

fn success(keys: &Value, content_type: &str, body: &[u8]) -> Box<Tokens> {
    match answer(keys, 200, &[("content-type", content_type)], body) {
        Answer::Success(tokens) => tokens,
        Answer::Failed(failure) => panic!("{failure:?} for {}", String::from_utf8_lossy(body)),
    }
}

fn failure(keys: &Value, status: u16, content_type: &str, body: &[u8]) -> Failure {
    match answer(keys, status, &[("content-type", content_type)], body) {
        Answer::Failed(failure) => failure,
        Answer::Success(_) => panic!("success for {}", String::from_utf8_lossy(body)),
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[test]
fn successes_are_recognised_whatever_their_dress() {
    let none = json!({});
    for (content_type, body) in [
        (JSON, "{\"access_token\":\"AT2\"}"),
        (TEXT, "{\"access_token\":\"AT2\"}"),
        (HTML, "{\"access_token\":\"AT2\"}"),
        ("", "{\"access_token\":\"AT2\"}"),
        (FORM, "{\"access_token\":\"AT2\"}"),
        (JSON, "\u{feff}{\"access_token\":\"AT2\"}"),
        (JSON, "\r\n {\"access_token\":\"  AT2\\n\"}\n"),
        (JSON, "{\"access_token\":\"AT2\"}\0"),
        (JSON, "{\"access_token\":\"AT2\"} trailing"),
        (JSON, "{\"access_token\":\"AT1\",\"access_token\":\"AT2\"}"),
        (JSON, "{\"access_token\":\"AT2\",\"error\":null}"),
        (JSON, "{\"access_token\":\"AT2\",\"error\":\"\"}"),
        (
            JSON,
            "{\"access_token\":\"AT2\",\"error\":false,\"errors\":[]}",
        ),
        (
            JSON,
            "{\"access_token\":\"AT2\",\"error\":{\"code\":\"ok\"}}",
        ),
        (
            JSON,
            "{\"access_token\":\"AT2\",\"ok\":true,\"status\":\"success\",\"code\":0}",
        ),
        (
            JSON,
            "{\"access_token\":\"AT2\",\"status\":\"active\",\"code\":17}",
        ),
        (FORM, "access_token=AT2&scope=&token_type=bearer"),
        (TEXT, "access_token=AT2"),
        ("", "access_token=AT2&expires=5"),
        (JSON, "access_token=AT2"),
        (
            JSON,
            "{\"access_token\":\"AT2\",\"refresh_token\":17,\"scope\":{},\"token_type\":[]}",
        ),
    ] {
        let tokens = success(&none, content_type, body.as_bytes());
        assert_eq!(tokens.access_token, secret("AT2"), "{content_type}: {body}");
        assert_eq!(tokens.refresh_token, None, "{body}");
    }
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let none = json!({});
    let tokens = success(
        &none,
        JSON,
        b"{\"note\":\"d\xe9j\xe0\",\"access_token\":\"AT2\"}",
    );
    assert_eq!(tokens.access_token, secret("AT2"));
    let dead = failure(
        &none,
        400,
        JSON,
        b"{\"error\":\"invalid_grant\",\"error_description\":\"\xff\xfe\"}",
    );
    assert_eq!((dead.class, dead.code.as_str()), (Dead, "invalid_grant"));
    let odd = failure(&none, 200, JSON, b"{\"access_token\":\"AT\xff\"}");
    assert_eq!(
        (odd.class, odd.code.as_str()),
        (Unknown, "unusable_access_token")
    );
}

#[test]
fn members_are_read_leniently() {
    let body = json!({
        "access_token": "AT2", "refresh_token": " RT2 ", "expires_in": "0", "expires_at": "2100-01-01T00:00:00Z",
        "scope": ["a", "b"], "x_refresh_token_expires_in": "8726400",
    });
    let tokens = success(&json!({}), JSON, body.to_string().as_bytes());
    assert_eq!(tokens.refresh_token, Some(secret("RT2")));
    assert_eq!(
        tokens.expires,
        Expires::At("2100-01-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(tokens.scope.as_deref(), Some("a b"));
    assert_eq!(
        tokens.refresh_expires_in,
        Some(Duration::from_secs(8_726_400))
    );
    for (member, seconds) in [
        ("refresh_token_expires_in", Some(60)),
        ("refresh_expires_in", Some(60)),
        ("refresh_expires", None),
    ] {
        let body = json!({ "access_token": "AT2", member: 60 }).to_string();
        let tokens = success(&json!({}), JSON, body.as_bytes());
        assert_eq!(
            tokens.refresh_expires_in,
            seconds.map(Duration::from_secs),
            "{member}"
        );
    }
    // Keycloak says 0 of an offline token, which means never.
    let body = json!({ "access_token": "AT2", "refresh_expires_in": 0 }).to_string();
    assert_eq!(
        success(&json!({}), JSON, body.as_bytes()).refresh_expires_in,
        None
    );
}

#[test]
fn members_are_found_where_the_configuration_says() {
    let keys = json!({
        "response": {
            "access_token": "authed_user.access_token", "refresh_token": "authed_user.refresh_token",
            "expires_in": "authed_user.life", "expires_in_unit": "ms", "scope": "authed_user.scope",
            "refresh_expires_in": "authed_user.rlife", "ok": "ok == true",
        },
        "capture": ["team.id", "nowhere"],
    });
    let body = json!({ "ok": true, "team": { "id": "T1" }, "authed_user": {
        "access_token": "AT2", "refresh_token": "RT2", "life": 1500, "rlife": 3000, "scope": "x" } });
    let tokens = success(&keys, JSON, body.to_string().as_bytes());
    assert_eq!(tokens.refresh_token, Some(secret("RT2")));
    assert_eq!(tokens.expires, Expires::In(Duration::from_millis(1500)));
    assert_eq!(tokens.refresh_expires_in, Some(Duration::from_secs(3)));
    assert_eq!(
        tokens.captured.into_iter().collect::<Vec<_>>(),
        [("team.id".to_owned(), json!("T1"))]
    );
}

#[test]
fn what_holds_a_token_is_not_captured() {
    let keys = json!({ "capture": ["access_token", "all", "big", "fine"] });
    let body = json!({
        "access_token": "AT2-long", "refresh_token": "RT2-long", "fine": { "n": 1 },
        "all": { "copy": ["x RT2-long"] }, "big": "x".repeat(5000),
    });
    let tokens = success(&keys, JSON, body.to_string().as_bytes());
    assert_eq!(tokens.captured.keys().collect::<Vec<_>>(), ["fine"]);
}

#[test]
fn an_id_token_is_kept_apart() {
    let keys = json!({ "capture": ["id_token", "copy", "fine"] });
    for (id_token, wanted) in [
        (json!("eyJ.e30.c2ln"), Some("eyJ.e30.c2ln")),
        (json!(" eyJ.e30.c2ln\n"), Some("eyJ.e30.c2ln")),
        (json!(""), None),
        (json!(null), None),
        (json!({ "token": "eyJ.e30.c2ln" }), None),
        (json!("x".repeat(64 * 1024 + 1)), None),
    ] {
        let copy = format!("see {}", wanted.unwrap_or(&"x".repeat(64 * 1024 + 1)));
        let body = json!({ "access_token": "AT2", "id_token": id_token, "copy": copy, "fine": 1 });
        let tokens = success(&keys, JSON, body.to_string().as_bytes());
        assert_eq!(tokens.id_token, wanted.map(secret), "{id_token}");
        assert!(!tokens.captured.contains_key("copy"), "{id_token}");
        assert_eq!(tokens.captured.get("fine"), Some(&json!(1)));
    }
    let tokens = success(&keys, FORM, b"access_token=AT2&id_token=a.b.c");
    assert_eq!(tokens.id_token, Some(secret("a.b.c")));
}

/// Status, content type, body; the class and the code that follow.
#[rustfmt::skip]
const FAILURES: &[(u16, &str, &str, Class, &str)] = &[
    // Dead, in the shapes that servers made up.
    (400, JSON, r#"{"errors":[{"errorType":"invalid_grant","message":"x"}],"success":false}"#, Dead, "invalid_grant"),
    (400, JSON, r#"{"error":{"code":"invalid_grant"}}"#, Dead, "invalid_grant"),
    (400, JSON, r#"{"error":{"type":"invalid_grant","code":0}}"#, Dead, "invalid_grant"),
    (400, JSON, r#"{"error":"INVALID_GRANT"}"#, Dead, "INVALID_GRANT"),
    (400, FORM, "error=invalid_grant&error_description=x+y", Dead, "invalid_grant"),
    (200, FORM, "error=bad_refresh_token&error_uri=https%3A%2F%2Fx", Dead, "bad_refresh_token"),
    (400, TEXT, "error=invalid_grant", Dead, "invalid_grant"),
    (400, JSON, r#"{"code":"token_revoked"}"#, Dead, "token_revoked"),
    (400, JSON, r#"{"error":"login_required"}"#, Dead, "login_required"),
    (400, JSON, r#"{"error":"invalid_grant","error_codes":[50173]}"#, Dead, "AADSTS50173"),
    (400, JSON, r#"{"error":"invalid_grant","error_description":"AADSTS: odd"}"#, Dead, "invalid_grant"),
    // Entra's numbers that are no verdict on the grant.
    (400, JSON, r#"{"error":"invalid_grant","error_description":"AADSTS50196: loop"}"#, Later, "AADSTS50196"),
    (400, JSON, r#"{"error":"invalid_request","error_codes":[90055]}"#, Later, "AADSTS90055"),
    (401, JSON, r#"{"error":"unauthorized_client","error_description":"AADSTS7000215: x"}"#, ClientBroken, "AADSTS7000215"),
    // The client and the request.
    (401, JSON, r#"{"error":"invalid_client"}"#, ClientBroken, "invalid_client"),
    (400, JSON, r#"{"error":"unauthorized_client"}"#, ClientBroken, "unauthorized_client"),
    (200, JSON, r#"{"ok":false,"error":"bad_client_secret"}"#, ClientBroken, "bad_client_secret"),
    (200, JSON, r#"{"error":"incorrect_client_credentials"}"#, ClientBroken, "incorrect_client_credentials"),
    (400, JSON, r#"{"error":"invalid_scope"}"#, Configuration, "invalid_scope"),
    (400, JSON, r#"{"error":"unsupported_grant_type"}"#, Configuration, "unsupported_grant_type"),
    (400, JSON, r#"{"error":"use_dpop_nonce"}"#, Configuration, "use_dpop_nonce"),
    // Not now.
    (400, JSON, r#"{"error":"slow_down"}"#, Later, "slow_down"),
    (500, JSON, r#"{"error":"temporarily_unavailable"}"#, Later, "temporarily_unavailable"),
    (408, TEXT, "", Later, "http_408"),
    (425, TEXT, "", Later, "http_425"),
    (429, HTML, "<html>slow", Later, "http_429"),
    (429, JSON, r#"{"error":"invalid_grant"}"#, Later, "invalid_grant"),
    (200, JSON, r#"{"error":"Access Denied","status":"failure","error_description":"You have made Too Many Requests continuously"}"#, Later, "too_many_requests"),
    (200, JSON, r#"{"error":"access_denied","error_description":"no"}"#, Unknown, "access_denied"),
    // Nothing that an authorization server wrote.
    (400, HTML, "<!doctype html><p>no", Later, "html"),
    (403, HTML, "blocked by the firewall", Later, "html"),
    (403, TEXT, "  <html>", Later, "html"),
    (404, TEXT, "not found", Later, "http_404"),
    (400, JSON, r#"{"error":"invalid_grant","error_des"#, Later, "truncated"),
    (400, JSON, "{oops}", Later, "not_json"),
    (301, TEXT, "", Later, "redirect"),
    (307, JSON, r#"{"access_token":"AT2"}"#, Later, "redirect"),
    (308, HTML, "<html>", Later, "redirect"),
    // It may have been spent.
    (500, JSON, r#"{"error":"server_error"}"#, Ambiguous, "server_error"),
    (400, JSON, r#"{"error":"server_error"}"#, Ambiguous, "server_error"),
    (500, JSON, r#"{"error":"invalid_grant"}"#, Ambiguous, "invalid_grant"),
    (500, JSON, "{", Ambiguous, "http_500"),
    (502, TEXT, "", Ambiguous, "http_502"),
    (503, TEXT, "upstream connect error", Ambiguous, "http_503"),
    (504, JSON, r#"{"message":"Endpoint request timed out"}"#, Ambiguous, "http_504"),
    (200, JSON, r#"{"ok":false,"error":"internal_error"}"#, Ambiguous, "internal_error"),
    (200, JSON, r#"{"ok":false,"error":"fatal_error"}"#, Ambiguous, "fatal_error"),
    (200, JSON, "{}", Ambiguous, "no_access_token"),
    (200, JSON, r#"{"access_token":null}"#, Ambiguous, "no_access_token"),
    (200, JSON, r#"{"status":200,"data":{}}"#, Ambiguous, "no_access_token"),
    (204, TEXT, "", Ambiguous, "empty"),
    (200, JSON, " \r\n", Ambiguous, "empty"),
    (200, TEXT, "OK", Ambiguous, "unreadable"),
    (200, JSON, "[1]", Ambiguous, "unreadable"),
    (200, JSON, "null", Ambiguous, "unreadable"),
    // Nobody knows.
    (400, TEXT, "", Unknown, "http_400"),
    (403, JSON, "", Unknown, "http_403"),
    (400, JSON, "{}", Unknown, "http_400"),
    (401, JSON, r#"{"message":"Unauthorized"}"#, Unknown, "http_401"),
    (400, JSON, r#"{"error":"a sentence, not a code"}"#, Unknown, "http_400"),
    (418, JSON, r#"{"error":"teapot"}"#, Unknown, "teapot"),
    (400, JSON, r#"{"code":4711,"reason":"Invalid Token!"}"#, Unknown, "4711"),
    (200, JSON, r#"{"success":false}"#, Unknown, "not_ok"),
    (200, JSON, r#"{"error":true}"#, Unknown, "error"),
    (200, JSON, r#"{"access_token":""}"#, Unknown, "unusable_access_token"),
    (200, JSON, r#"{"access_token":17}"#, Unknown, "unusable_access_token"),
];

#[test]
fn failures_get_their_class_and_code() {
    for &(status, content_type, body, class, code) in FAILURES {
        let failure = failure(&json!({}), status, content_type, body.as_bytes());
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (class, code),
            "{status} {content_type} {body}"
        );
        assert_eq!(failure.rotated, None, "{body}");
    }
}

#[test]
fn the_operator_knows_better() {
    let keys = json!({ "dead": ["invalid_request", "Invalid Token!", "4711"], "response": { "error": "oops.why" } });
    for (status, body, class, code) in [
        (
            400,
            r#"{"error":"invalid_request"}"#,
            Dead,
            "invalid_request",
        ),
        (
            500,
            r#"{"error":"invalid_request"}"#,
            Dead,
            "invalid_request",
        ),
        (
            429,
            r#"{"error":"invalid_request"}"#,
            Later,
            "invalid_request",
        ),
        (
            400,
            r#"{"oops":{"why":"Invalid Token!"}}"#,
            Dead,
            "Invalid_Token_",
        ),
        (400, r#"{"oops":{"why":4711}}"#, Dead, "4711"),
        (
            400,
            r#"{"oops":{"why":"invalid_client"},"error":"invalid_grant"}"#,
            ClientBroken,
            "invalid_client",
        ),
    ] {
        let failure = failure(&keys, status, JSON, body.as_bytes());
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (class, code),
            "{status} {body}"
        );
    }
    let keys = json!({ "response": { "ok": "result == \"0000\"" } });
    for body in [
        r#"{"access_token":"AT2","result":"0001"}"#,
        r#"{"access_token":"AT2"}"#,
    ] {
        assert_eq!(
            failure(&keys, 200, JSON, body.as_bytes()).class,
            Unknown,
            "{body}"
        );
    }
    success(&keys, JSON, br#"{"access_token":"AT2","result":"0000"}"#);
}

#[test]
fn a_token_that_no_header_can_carry_is_refused_and_the_rotation_kept() {
    let long = "x".repeat(64 * 1024 + 1);
    for token in [
        "a\r\nX-Evil: 1",
        "a\u{0}b",
        "a\tb",
        "a\u{7f}",
        "tök",
        "\u{2028}",
        &long,
    ] {
        let body = json!({ "access_token": token, "refresh_token": "RT2" }).to_string();
        let failure = failure(&json!({}), 200, JSON, body.as_bytes());
        assert_eq!(failure.class, Unknown, "{token:?}");
        assert_eq!(failure.code, "unusable_access_token", "{token:?}");
        assert_eq!(failure.rotated, Some(secret("RT2")), "{token:?}");
    }
    success(&json!({}), JSON, br#"{"access_token":"a b~!"}"#);
}

#[test]
fn a_new_refresh_token_is_not_lost_with_the_rest() {
    for (body, class, code) in [
        (r#"{"refresh_token":"RT2"}"#, Later, "no_access_token"),
        (
            r#"{"refresh_token":"RT2","status":"granted"}"#,
            Later,
            "no_access_token",
        ),
        (r#"{"refresh_token":"RT2","access_tok"#, Later, "truncated"),
        (
            r#"{"refresh_token":"RT2","access_token":"AT2","expires_in":36"#,
            Later,
            "truncated",
        ),
        (r#"{"refresh_token":"RT2","x":oops}"#, Later, "not_json"),
        (
            r#"{"access_token":"AT2","refresh_token":"RT2","error":"invalid_scope"}"#,
            Configuration,
            "invalid_scope",
        ),
        (
            r#"{"access_token":"AT2","refresh_token":"RT2","error":"invalid_grant"}"#,
            Unknown,
            "invalid_grant",
        ),
        (
            r#"{"access_token":"AT2","refresh_token":"RT2","error":"server_error"}"#,
            Later,
            "server_error",
        ),
    ] {
        let failure = failure(&json!({}), 200, JSON, body.as_bytes());
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (class, code),
            "{body}"
        );
        assert_eq!(failure.rotated, Some(secret("RT2")), "{body}");
    }
    let deep = format!("{{\"refresh_token\":\"RT2\",\"x\":{}", "[".repeat(100_000));
    assert_eq!(
        failure(&json!({}), 200, JSON, deep.as_bytes()).rotated,
        Some(secret("RT2"))
    );
}

#[test]
fn an_echo_of_what_was_sent_is_no_rotation() {
    for (status, body) in [
        (
            400,
            r#"{"error":"invalid_request","refresh_token":"RT1***"}"#,
        ),
        (400, r#"{"access_token":"x","refresh_token":"RT1***"}"#),
        (500, r#"{"refresh_token":"RT1***"}"#),
        (
            200,
            r#"{"error":"invalid_request","refresh_token":"RT1***"}"#,
        ),
        (200, r#"{"access_token":"AT2","refresh_tok"#),
        (200, r#"{"access_token":"AT2","refresh_token":"RT2-cu"#),
    ] {
        assert_eq!(
            failure(&json!({}), status, JSON, body.as_bytes()).rotated,
            None,
            "{body}"
        );
    }
}

/// Status and what came before the cut; the class, the code, and whether the rotation was saved.
#[rustfmt::skip]
const CUTS: &[(u16, &str, Class, &str, bool)] = &[
    (200, r#"{"access_token":"AT2","refresh_token":"RT2","#, Later, "cut", true),
    (200, r#"{"access_token":"AT2","refresh_token":"RT2"#, Ambiguous, "cut", false),
    (200, "access_token=AT2&refresh_token=RT", Ambiguous, "cut", false),
    (200, "", Ambiguous, "cut", false),
    (200, "<html>", Ambiguous, "cut", false),
    (400, r#"{"error":"invalid_grant","refresh_token":"RT1"}"#, Dead, "invalid_grant", false),
    (400, r#"{"error":"invalid_grant","error_desc"#, Later, "cut", false),
    (400, "error=invalid_grant", Later, "cut", false),
    (302, "", Later, "cut", false),
    (500, "{", Ambiguous, "http_500", false),
    (429, "", Later, "http_429", false),
];

#[test]
fn a_body_cut_by_the_wire_is_read_as_far_as_it_goes() {
    let rules = ResponseRules::new(&grant(&json!({}))).unwrap();
    let classify_cut = |status, body: &str| {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        classify_cut(&reply, &rules, Timestamp::UNIX_EPOCH, "cut")
    };
    for &(status, body, class, code, rotated) in CUTS {
        let Answer::Failed(failure) = classify_cut(status, body) else {
            panic!("success of {body}");
        };
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (class, code),
            "{body}"
        );
        assert_eq!(failure.rotated.is_some(), rotated, "{body}");
    }
    let whole = classify_cut(200, r#"{"access_token":"AT2","refresh_token":"RT2"}"#);
    assert!(matches!(whole, Answer::Success(_)));
}

#[test]
fn a_server_may_ask_for_patience_with_any_failure() {
    let fields = [("content-type", JSON), ("retry-after", "17")];
    for (status, class) in [(503, Later), (500, Ambiguous), (400, Unknown)] {
        let Answer::Failed(failure) = answer(&json!({}), status, &fields, b"{}") else {
            panic!("success");
        };
        assert_eq!(failure.class, class, "{status}");
        assert_eq!(
            failure.retry_after,
            Some(Duration::from_secs(17)),
            "{status}"
        );
    }
}

#[test]
fn a_code_never_shows_a_token() {
    for (body, code) in [
        (r#"{"error":"eyJhbGciOiJIUzI1NiJ9.e30.x"}"#, "http_400"),
        (
            r#"{"error":"secretword","refresh_token":"secretword"}"#,
            "http_400",
        ),
        (
            r#"{"error":"token_secretword","refresh_token":"secretword"}"#,
            "http_400",
        ),
        (
            r#"{"error":"secretword","access_token":"my-secretword"}"#,
            "http_400",
        ),
        (
            r#"{"error":"plainword","refresh_token":"secretword"}"#,
            "plainword",
        ),
    ] {
        assert_eq!(
            failure(&json!({}), 400, JSON, body.as_bytes()).code,
            code,
            "{body}"
        );
    }
    let quoted = Failure::new(Unknown, "hunter");
    assert_eq!(
        quoted.clone().without(&secret("hunter")).code,
        "unnamed_error"
    );
    assert_eq!(quoted.without(&secret("other")).code, "hunter");
}

#[test]
fn rules_that_cannot_be_used_name_their_key() {
    for (keys, key) in [
        (
            json!({ "response": { "access_token": "a..b" } }),
            "response.access_token",
        ),
        (json!({ "response": { "ok": "ok = true" } }), "response.ok"),
        (
            json!({ "response": { "refresh_expires_in": "" } }),
            "response.refresh_expires_in",
        ),
        (json!({ "capture": ["a", ""] }), "capture"),
    ] {
        let error = ResponseRules::new(&grant(&keys)).unwrap_err();
        assert_eq!(error.key(), key);
        assert!(error.to_string().contains(key), "{error}");
    }
}
