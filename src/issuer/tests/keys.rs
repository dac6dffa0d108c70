//! The keys of a server, and what may stand in their place.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::issuer;
use super::server::{Server, Turn, answer};
use crate::issuer::KeysError;
use crate::oauth::KeySet;

const KEYS: &str = r#"{"keys":[{"kty":"RSA","kid":"1","n":"AQAB","e":"AQAB"},{"kty":"oct"}]}"#;

async fn keys(server: &Server, patience: Duration) -> Result<KeySet, KeysError> {
    let issuer = issuer(&json!({ "issuer": server.url("") }));
    let place = server.url("/keys?v=1").parse().unwrap();
    issuer.keys(&place, Instant::now() + patience).await
}

#[tokio::test]
async fn the_keys_are_asked_for_once_each_time() {
    let server = Server::start([Turn::Say(answer("200 OK", KEYS))]).await;
    for _ in 0..2 {
        let keys = keys(&server, Duration::from_secs(5)).await.unwrap();
        assert_eq!(keys.count(), 1);
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].starts_with("GET /keys?v=1 HTTP/1.1\r\n"));
    assert!(!heard[0].to_ascii_lowercase().contains("authorization"));
}

#[tokio::test]
async fn what_is_not_the_keys_is_told() {
    for (turn, code, words) in [
        (
            answer("200 OK", "<html>"),
            "unusable_keys",
            "it is an HTML page",
        ),
        (
            answer("200 OK", r#"{"keys":[]}"#),
            "unusable_keys",
            "it has no key",
        ),
        (
            answer("404 Not Found", KEYS),
            "keys_unavailable",
            "status 404 came",
        ),
        (
            String::from("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n"),
            "keys_unavailable",
            "a redirect (302) came",
        ),
        (
            answer("200 OK", &" ".repeat(2 << 20)),
            "keys_unavailable",
            "more than 1048576 bytes came",
        ),
        (
            String::from("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}"),
            "keys_unavailable",
            "no whole answer came (cut)",
        ),
    ] {
        let server = Server::start([Turn::Say(turn)]).await;
        let error = keys(&server, Duration::from_secs(5)).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.as_str(), code, "{text}");
        assert!(text.contains("/keys?v=1` cannot be had: "), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(server.heard().len(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_at_the_deadline() {
    let server = Server::start([Turn::SayAndHang(String::from("HTTP/1.1 200 OK\r\n"))]).await;
    let error = keys(&server, Duration::from_millis(50)).await.unwrap_err();
    assert!(error.to_string().contains("timeout)"), "{error}");
}
