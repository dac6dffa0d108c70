//! Discovery, and what a refresh makes of it.

use serde_json::json;
use tokio::net::TcpListener;

use super::server::{Server, Turn, answer};
use super::{TOKENS, failure, issuer, refresh_token};
use crate::issuer::{DiscoveryError, Issuer};
use crate::oauth::{Answer, Class};

/// A server of metadata that plays `turns`, told its own name and the token endpoint's URL, and
/// an issuer that asks it.
async fn discovered(turns: impl FnOnce(&str, &str) -> Vec<Turn>) -> (Server, Issuer) {
    let tokens = Server::start([Turn::Say(answer("200 OK", TOKENS))]).await;
    let server = Server::announced(|name| turns(name, &tokens.url("/token"))).await;
    let issuer = issuer(&json!({ "issuer": server.url("") }));
    (server, issuer)
}

fn metadata(issuer: &str, endpoint: &str) -> Turn {
    Turn::Say(answer(
        "200 OK",
        &json!({ "issuer": issuer, "token_endpoint": endpoint }).to_string(),
    ))
}

#[tokio::test]
async fn the_token_endpoint_is_discovered_once() {
    let (server, issuer) = discovered(|name, endpoint| {
        vec![
            Turn::Say(answer("404 Not Found", "")),
            metadata(name, endpoint),
        ]
    })
    .await;
    for _ in 0..3 {
        let attempt = issuer.refresh(&refresh_token(), None).await;
        assert!(
            matches!(attempt.answer, Answer::Success(_)),
            "{:?}",
            attempt.answer
        );
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].starts_with("GET /.well-known/oauth-authorization-server HTTP/1.1\r\n"));
    assert!(heard[1].starts_with("GET /.well-known/openid-configuration HTTP/1.1\r\n"));
    assert!(!heard.concat().contains("RT1"));
}

#[tokio::test]
async fn what_discovery_meets_is_told() {
    let html = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>";
    let huge = answer("200 OK", &" ".repeat(2 << 20));
    for (turns, code, words) in [
        (vec![html, html], "discovery_failed", "it is an HTML page"),
        (
            vec![huge.as_str(), "HTTP/1.1 404 No\r\n\r\n"],
            "discovery_failed",
            "more than 1048576 bytes came",
        ),
        (
            vec!["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 404 No\r\n\r\n"],
            "discovery_failed",
            "status 500 came",
        ),
        (
            vec!["HTTP/1.1 302 No\r\nLocation: /x\r\n\r\n", html],
            "discovery_failed",
            "a redirect (302) came",
        ),
        (
            vec!["HTTP/1.1 200 OK\r\n\r\n[]", html],
            "discovery_failed",
            "it is not a JSON object",
        ),
        (
            vec!["", html],
            "discovery_failed",
            "no whole answer came (cut)",
        ),
        (
            vec![
                "HTTP/1.1 200 OK\r\n\r\n{\"issuer\":\"https://evil.example\"}",
                html,
            ],
            "issuer_mismatch",
            "issuer `https://evil.example`, not of `http://127.0.0.1:",
        ),
    ] {
        let turns: Vec<Turn> = turns
            .into_iter()
            .map(|text| Turn::Say(text.to_owned()))
            .collect();
        let (server, issuer) = discovered(|_, _| [turns.clone(), turns].concat()).await;
        let error = issuer.discover().await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.as_str(), code, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(
            text.contains("/.well-known/oauth-authorization-server`: "),
            "{text}"
        );
        let attempt = issuer.refresh(&refresh_token(), None).await;
        assert_eq!(failure(&attempt).code, code);
        assert!(!server.heard().concat().contains("RT1"));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_at_one_place_only() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let issuer = issuer(&json!({ "issuer": name }));
    let error = issuer.discover().await.unwrap_err();
    let DiscoveryError::NotFound(found) = &error else {
        panic!("{error}");
    };
    assert_eq!(found.tried().len(), 1, "{error}");
    assert!(error.to_string().contains("refuses connections"), "{error}");
    let attempt = issuer.refresh(&refresh_token(), None).await;
    assert_eq!(
        (failure(&attempt).class, failure(&attempt).code.as_str()),
        (Class::Later, "discovery_failed")
    );
}

#[tokio::test]
async fn metadata_without_a_token_endpoint_is_told() {
    let (_server, issuer) = discovered(|name, _| {
        vec![Turn::Say(answer(
            "200 OK",
            &json!({ "issuer": name }).to_string(),
        ))]
    })
    .await;
    let attempt = issuer.refresh(&refresh_token(), None).await;
    assert_eq!(
        (failure(&attempt).class, failure(&attempt).code.as_str()),
        (Class::Configuration, "no_token_endpoint")
    );
}
