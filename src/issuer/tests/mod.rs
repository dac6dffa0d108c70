//! Authorization servers that behave badly in every way a socket allows.

mod discovery;
mod keys;
mod refresh;
mod revoke;
mod server;

use serde_json::{Value, json};

use super::{Attempt, Issuer};
use crate::oauth::{Answer, Failure};
use crate::secret::Secret;
use server::{Server, Turn};

const TOKENS: &str = r#"{"access_token":"AT2","refresh_token":"RT2","expires_in":60}"#;

fn issuer(keys: &Value) -> Issuer {
    let mut grant = json!({
        "client_id": "app",
        "token_timeout": "5s",
        "store": { "file": { "path": "/nowhere" } },
    });
    for (key, value) in keys.as_object().unwrap() {
        grant[key] = value.clone();
    }
    let grant = serde_json::from_value(grant).unwrap();
    Issuer::new(&grant).unwrap()
}

fn refresh_token() -> Secret<String> {
    Secret::new(String::from("RT1-word"))
}

async fn attempt(turn: Turn, keys: &Value) -> Attempt {
    let server = Server::start([turn]).await;
    let mut keys = keys.clone();
    keys["token_endpoint"] = json!(server.url("/token"));
    issuer(&keys).refresh(&refresh_token(), None).await
}

fn failure(attempt: &Attempt) -> &Failure {
    match &attempt.answer {
        Answer::Failed(failure) => failure,
        Answer::Success(_) => panic!("success"),
    }
}
