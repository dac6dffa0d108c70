//! Every case of the shared vectors: answers as real servers were seen to give them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::grant;
use crate::config::ExpiredRule;
use crate::oauth::{Answer, Expires, Rejection, Reply, ResponseRules, Verdict, classify};

fn cases(text: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(text).unwrap();
    vectors["cases"].as_array().unwrap().clone()
}

fn headers(case: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(text) = case["content_type"].as_str() {
        headers.insert("content-type", HeaderValue::from_str(text).unwrap());
    }
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(
            name,
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    headers
}

fn body(case: &Value) -> String {
    match &case["body"] {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn status(case: &Value) -> StatusCode {
    StatusCode::from_u16(u16::try_from(case["status"].as_u64().unwrap()).unwrap()).unwrap()
}

#[test]
fn every_token_answer_is_classified() {
    let cases = cases(include_str!("vectors/token_endpoint.json"));
    assert!(cases.len() >= 37);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let config = case.get("config").cloned().unwrap_or(json!({}));
        let rules = ResponseRules::new(&grant(&config)).unwrap();
        let body = body(case);
        let reply = Reply {
            status: status(case),
            headers: &headers(case),
            body: body.as_bytes(),
        };
        let expect = &case["expect"];
        match classify(&reply, &rules, Timestamp::UNIX_EPOCH) {
            Answer::Success(tokens) => {
                assert_eq!(expect["cls"], "success", "{id}");
                let rotated = tokens.refresh_token.is_some();
                assert_eq!(expect["refresh"] == "new", rotated, "{id}");
                match &expect["expires_in"] {
                    Value::Number(seconds) => {
                        let lifetime = Duration::from_secs(seconds.as_u64().unwrap());
                        assert_eq!(tokens.expires, Expires::In(lifetime), "{id}");
                    }
                    Value::String(_) => assert_eq!(tokens.expires, Expires::Untold, "{id}"),
                    _ => assert!(matches!(tokens.expires, Expires::At(_)), "{id}"),
                }
                let own = tokens.refresh_expires_in.map(|lifetime| lifetime.as_secs());
                assert_eq!(expect["refresh_expires_in"].as_u64(), own, "{id}");
            }
            Answer::Failed(failure) => {
                let class = match failure.class.as_str() {
                    "configuration" => "config_error",
                    class => class,
                };
                assert_eq!(expect["cls"], class, "{id}: {failure:?}");
                let wait = failure.retry_after.map(|wait| wait.as_secs());
                assert_eq!(expect["retry_after"].as_u64(), wait, "{id}");
                if let Some(reason) = expect["reason"].as_str() {
                    assert_eq!(failure.code, reason, "{id}");
                }
            }
        }
    }
}

#[test]
fn every_upstream_answer_is_judged() {
    for case in &cases(include_str!("vectors/upstream.json")) {
        let id = case["id"].as_str().unwrap();
        let rules: Vec<ExpiredRule> = case
            .pointer("/config/expired_when")
            .map(|rules| serde_json::from_value(rules.clone()).unwrap())
            .unwrap_or_default();
        let rejection = Rejection::new(&rules).unwrap();
        let verdict = match rejection.by_head(status(case), &headers(case)) {
            Verdict::Rejected => "rejected",
            Verdict::NeedsHuman(_) => "needs_human",
            Verdict::NeedBody if rejection.by_body(status(case), body(case).as_bytes()) => {
                "rejected"
            }
            Verdict::Pass | Verdict::NeedBody => "pass",
        };
        assert_eq!(case["expect"], verdict, "{id}");
    }
}
