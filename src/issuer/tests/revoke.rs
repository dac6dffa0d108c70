//! Giving a grant back.

use serde_json::{Value, json};

use super::server::{Server, Turn, answer};
use super::{issuer, refresh_token};
use crate::issuer::{AccessFate, Issuer, RevokeError, Revoked};
use crate::oauth::Class;
use crate::secret::Secret;

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn says(text: &str) -> Turn {
    Turn::Say(text.to_owned())
}

fn refuses(status: &str, error: &str) -> Turn {
    Turn::Say(answer(status, &json!({ "error": error }).to_string()))
}

async fn revoke(issuer: &Issuer) -> Result<Revoked, RevokeError> {
    let access_token = Secret::new(String::from("AT1-word"));
    issuer.revoke(&refresh_token(), Some(&access_token)).await
}

/// An issuer whose revocation endpoint is set by hand, and plays these turns.
async fn by_hand(turns: Vec<Turn>) -> (Server, Issuer) {
    let server = Server::start(turns).await;
    let keys: Value = json!({
        "token_endpoint": "http://127.0.0.1:9/token",
        "revocation_endpoint": server.url("/revoke"),
    });
    (server, issuer(&keys))
}

#[tokio::test]
async fn the_refresh_token_goes_first() {
    let (server, issuer) = by_hand(vec![says(DONE)]).await;
    let revoked = revoke(&issuer).await.unwrap();
    assert_eq!(revoked.access_token, AccessFate::Revoked);
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert!(
        heard[0].starts_with("POST /revoke HTTP/1.1\r\n"),
        "{}",
        heard[0]
    );
    assert!(heard[0].contains("token=RT1-word&token_type_hint=refresh_token"));
    assert!(heard[1].contains("token=AT1-word&token_type_hint=access_token"));

    let alone = issuer.revoke(&refresh_token(), None).await.unwrap();
    assert_eq!(alone.access_token, AccessFate::Absent);
}

#[tokio::test]
async fn an_access_token_that_cannot_be_revoked_is_no_failure() {
    let (_server, issuer) = by_hand(vec![
        says(DONE),
        refuses("400 Bad Request", "unsupported_token_type"),
    ])
    .await;
    let revoked = revoke(&issuer).await.unwrap();
    let left = AccessFate::Left(String::from("unsupported_token_type"));
    assert_eq!(revoked.access_token, left);
}

#[tokio::test]
async fn a_refusal_ends_it_before_the_access_token() {
    for (turn, class, code) in [
        (
            refuses("401 No", "invalid_client"),
            Class::ClientBroken,
            "invalid_client",
        ),
        (
            refuses("503 Not Now", "temporarily_unavailable"),
            Class::Later,
            "temporarily_unavailable",
        ),
        (
            refuses("400 No", "RT1-word"),
            Class::Unknown,
            "unnamed_error",
        ),
        (Turn::Reset, Class::Later, "cut"),
    ] {
        let (server, issuer) = by_hand(vec![turn, says(DONE)]).await;
        let error = revoke(&issuer).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (class, code), "{error}");
        assert!(server.heard().len() <= 1);
    }
}

#[tokio::test]
async fn the_endpoint_is_discovered_or_there_is_none() {
    let server = Server::announced(|origin| {
        let metadata = json!({ "issuer": origin, "revocation_endpoint": format!("{origin}/r") });
        vec![
            Turn::Say(answer("200 OK", &metadata.to_string())),
            says(DONE),
        ]
    })
    .await;
    let discovering = issuer(&json!({ "issuer": server.url("") }));
    revoke(&discovering).await.unwrap();
    assert!(server.heard()[1].starts_with("POST /r HTTP/1.1\r\n"));

    let untold = Server::announced(|origin| {
        let metadata = json!({ "issuer": origin, "token_endpoint": format!("{origin}/t") });
        vec![Turn::Say(answer("200 OK", &metadata.to_string()))]
    })
    .await;
    for keys in [
        json!({ "issuer": untold.url("") }),
        json!({ "token_endpoint": "http://127.0.0.1:9/token" }),
    ] {
        let error = revoke(&issuer(&keys)).await.unwrap_err();
        assert!(matches!(error, RevokeError::NoEndpoint), "{error}");
    }
}
