//! `oidc-provider`, a certified authorization server, as a child process.
//!
//! What always holds: it ends with the test that started it, by force or because its standard
//! input ends; and a machine that cannot run it fails the test instead of skipping it.

mod pages;
mod registered;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use serde_json::{Value, json};

use super::child::Captured;
use super::client::{self, Address, Answer, Sent};
use crate::practice::Secrets;

pub use registered::{Offline, Options, Par, Registered};

use registered::REDIRECT;

/// A running `oidc-provider`.
pub struct OidcProvider {
    process: Captured,
    issuer: String,
    address: Address,
    secrets: Secrets,
}

impl OidcProvider {
    /// Starts it and waits until it listens.
    pub async fn start(options: Options) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
        assert!(
            folder.join("node_modules/oidc-provider").is_dir(),
            "oidc-provider is not installed\nhint: start the tests with `tests/run`, which installs it"
        );
        let secrets = Secrets::default();
        for secret in options.clients.iter().filter_map(|c| c.secret.as_ref()) {
            secrets.keep(secret.clone());
        }
        let mut command = Command::new("node");
        command
            .arg("server.mjs")
            .arg(options.json().to_string())
            .current_dir(folder);
        let process = Captured::start(&mut command).unwrap_or_else(|error| {
            panic!("node does not start: {error}\nhint: start the tests with `tests/run`, which says what is missing")
        });
        let listening = |line: &String| told(line, "listening");
        let lines = process
            .stdout()
            .until(|lines| lines.iter().any(|line| listening(line).is_some()));
        let Ok(lines) = lines.await else {
            panic!("oidc-provider does not listen:\n{}", process.tail(40));
        };
        let event = lines.iter().find_map(listening).unwrap();
        let issuer = event["issuer"].as_str().unwrap().to_owned();
        Self {
            process,
            address: Address::parse(&issuer),
            issuer,
            secrets,
        }
    }

    /// The issuer identifier.
    pub fn url(&self) -> &str {
        &self.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Every secret that went through this kit.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// All events of this name so far: `grant.success`, `grant.error`, `grant.revoked` …
    pub fn events(&self, name: &str) -> Vec<Value> {
        let lines = self.process.stdout().all();
        lines.iter().filter_map(|line| told(line, name)).collect()
    }

    /// Waits until there are `count` events of this name, and gives them.
    pub async fn reaches(&self, name: &str, count: usize) -> Vec<Value> {
        let enough = |lines: &[String]| {
            let like = lines.iter().filter(|line| told(line, name).is_some());
            like.count() >= count
        };
        self.process.stdout().until(enough).await.unwrap();
        self.events(name)
    }

    /// Goes through login and consent as a person would, with PKCE (RFC 7636), and gives the
    /// first refresh token.
    pub async fn consent(&self, registered: &Registered) -> String {
        let verifier = self.secrets.make("", 64).replace(['+', '/'], "-");
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &registered.id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", REDIRECT)
            .append_pair("scope", "openid offline_access")
            // Without it `offline_access` is dropped (OpenID Connect Core §11).
            .append_pair("prompt", "consent")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let start = format!("/auth?{query}");
        let code = walk::to_the_code(&self.issuer, &self.address, &start).await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
        ];
        let answer = self.token(registered, &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["refresh_token"]
            .as_str()
            .expect("a refresh token")
            .to_owned()
    }

    /// Spends a refresh token (RFC 6749 §6).
    pub async fn refresh(&self, registered: &Registered, refresh_token: &str) -> Answer {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.token(registered, &fields).await
    }

    /// True when it says that the token is good (RFC 7662 §2.2).
    pub async fn is_active(&self, registered: &Registered, token: &str) -> bool {
        let answer = self
            .post("/token/introspection", registered, &[("token", token)])
            .await;
        answer.json()["active"] == json!(true)
    }

    /// What an API that asks this server about each token it has not seen yet believes of one:
    /// it lives until the `exp` that introspection told (RFC 7662 §2.2).
    pub fn introspection(&self, registered: &Registered) -> impl Fn(&str) -> bool + use<> {
        let (address, registered) = (self.address.clone(), registered.clone());
        let known: Mutex<BTreeMap<String, f64>> = Mutex::default();
        move |token: &str| {
            let mut known = known.lock().unwrap();
            let ends = known
                .entry(token.to_owned())
                .or_insert_with(|| ends(&address, &registered, token));
            unix_now() < *ends
        }
    }

    /// Asks the token endpoint, with the client's proof (RFC 6749 §3.2).
    pub async fn token(&self, registered: &Registered, fields: &[(&str, &str)]) -> Answer {
        let answer = self.post("/token", registered, fields).await;
        if answer.status == 200 {
            let json = answer.json();
            let tokens = ["access_token", "refresh_token"].map(|name| json[name].as_str());
            for token in tokens.into_iter().flatten() {
                self.secrets.keep(token);
            }
        }
        answer
    }

    /// Posts a form with the client's proof.
    pub async fn post(
        &self,
        path: &str,
        registered: &Registered,
        fields: &[(&str, &str)],
    ) -> Answer {
        let request = proven(path, registered, fields);
        client::call(&self.address, request).await.unwrap()
    }
}

/// When `token` ends; 0 if it is not active. Blocks: it stands in for an API's own thread.
fn ends(address: &Address, registered: &Registered, token: &str) -> f64 {
    let (address, registered, token) = (address.clone(), registered.clone(), token.to_owned());
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let request = proven(
                "/token/introspection",
                &registered,
                &[("token", token.as_str())],
            );
            client::call(&address, request).await.unwrap().json()
        })
    });
    asking.join().unwrap()["exp"].as_f64().unwrap_or_default()
}

fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}

/// A form that `registered` proves itself with (RFC 6749 §2.3.1).
fn proven(path: &str, registered: &Registered, fields: &[(&str, &str)]) -> Request<Sent> {
    let mut all = fields.to_vec();
    let secret = registered.secret.as_deref().unwrap_or_default();
    if registered.auth != "client_secret_basic" {
        all.push(("client_id", &registered.id));
    }
    if registered.auth == "client_secret_post" {
        all.push(("client_secret", secret));
    }
    let mut request = client::form(path, &all);
    if registered.auth == "client_secret_basic" {
        let encoded =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pair = format!("{}:{}", encoded(&registered.id), encoded(secret));
        let value = format!("Basic {}", STANDARD.encode(pair));
        request
            .headers_mut()
            .insert("authorization", value.parse().unwrap());
    }
    request
}

fn told(line: &str, name: &str) -> Option<Value> {
    let event: Value = serde_json::from_str(line).ok()?;
    (event["event"] == name).then_some(event)
}
