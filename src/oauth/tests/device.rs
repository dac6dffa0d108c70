//! The device grant's answers.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::oauth::{Class, Complaint, DeviceCode, Failure, Poll};

fn read(answer: &Value) -> Result<DeviceCode, Complaint> {
    DeviceCode::read(StatusCode::OK, answer.to_string().as_bytes())
}

fn answer(keys: &Value) -> Value {
    let mut answer = json!({
        "device_code": "D1", "user_code": "WDJB-MJHT",
        "verification_uri": "https://as.example/device", "expires_in": 900,
    });
    for (key, value) in keys.as_object().unwrap() {
        answer[key] = value.clone();
    }
    answer
}

#[test]
fn an_answer_tells_what_to_do_and_how_long() {
    for (keys, expires_in, interval) in [
        (json!({}), 900, 5),
        (json!({ "interval": 7, "expires_in": "600" }), 600, 7),
        (json!({ "interval": 0.2 }), 900, 5),
        (json!({ "interval": 100_000, "expires_in": 1e9 }), 600, 300),
    ] {
        let code = read(&answer(&keys)).unwrap();
        assert_eq!(code.expires_in, Duration::from_secs(expires_in), "{keys}");
        assert_eq!(code.interval, Duration::from_secs(interval), "{keys}");
    }
    let early = read(&json!({
        "device_code": "D1", "user_code": "A", "verification_url": "https://as.example/d",
    }));
    assert_eq!(early.unwrap().verification_uri, "https://as.example/d");
}

#[test]
fn what_could_harm_a_terminal_is_refused() {
    for keys in [
        json!({ "user_code": "A\u{1b}[2J" }),
        json!({ "user_code": "" }),
        json!({ "user_code": 7 }),
        json!({ "device_code": null }),
        json!({ "verification_uri": "javascript:alert(1)" }),
        json!({ "verification_uri": "https://as.example/\u{1b}[2J" }),
        json!({ "verification_uri": "file:///etc/passwd" }),
    ] {
        assert_eq!(
            read(&answer(&keys)).unwrap_err().error,
            "unusable_answer",
            "{keys}"
        );
    }
    let complete = json!({ "verification_uri_complete": "https://as.example/\u{7}" });
    assert_eq!(
        read(&answer(&complete)).unwrap().verification_uri_complete,
        None
    );
}

#[test]
fn an_error_is_told_by_its_code() {
    let body = br#"{"error":"unauthorized_client","error_description":"no"}"#;
    let refused = DeviceCode::read(StatusCode::BAD_REQUEST, body).unwrap_err();
    assert_eq!(refused.to_string(), "unauthorized_client (\"no\")");
    let page = DeviceCode::read(StatusCode::NOT_FOUND, b"<html>").unwrap_err();
    assert_eq!(page.to_string(), "http_404");
}

#[test]
fn a_poll_is_repeated_as_the_server_likes() {
    let seconds = Duration::from_secs;
    let failure = |code: &str, class| Failure::new(class, code);
    for (failure, wanted) in [
        (failure("authorization_pending", Class::Unknown), seconds(5)),
        (failure("slow_down", Class::Later), seconds(10)),
        (failure("http_503", Class::Later), seconds(10)),
        (failure("timeout", Class::Ambiguous), seconds(10)),
    ] {
        assert_eq!(Poll::of(failure, seconds(5)), Poll::Again(wanted));
    }
    for code in [
        "access_denied",
        "expired_token",
        "invalid_grant",
        "invalid_client",
    ] {
        let failure = failure(code, Class::Unknown);
        assert_eq!(Poll::of(failure.clone(), seconds(5)), Poll::Over(failure));
    }
}
