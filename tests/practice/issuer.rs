//! The practice authorization server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::endpoints::{Client, Endpoints, lock};
use super::journal::Journal;
use super::ledger::{Ledger, OldAccess, Replay, Rotation, Rules};
use super::reply::Reply;
use super::secrets::Secrets;
use super::tls::Authority;
use super::token_request::{ClientAuth, Outcome, TokenRequest};
use super::wire::{self, Protocol, Server};

/// An authorization server that rotates, detects reuse and does as it is told.
///
/// It answers `POST /token` (RFC 6749 §6), asks people (`/authorize`, `/device`), and publishes
/// its metadata (RFC 8414 §3 and OpenID Connect Discovery §4). Each token request is written down in [`Issuer::requests`].
#[derive(Debug)]
pub struct Issuer {
    server: Server<Endpoints>,
    endpoints: Arc<Endpoints>,
}

/// How an [`Issuer`] is set up.
#[derive(Debug)]
pub struct IssuerBuilder {
    rules: Rules,
    client: Client,
    path: String,
    members: Map<String, Value>,
    metadata: Map<String, Value>,
    secrets: Secrets,
}

impl IssuerBuilder {
    /// Access tokens live this long.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.lifetime = lifetime;
        self
    }

    /// Access tokens have this many bytes.
    pub fn token_size(mut self, bytes: usize) -> Self {
        self.rules.token_size = bytes;
        self
    }

    /// Whether a refresh gives a new refresh token.
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rules.rotation = rotation;
        self
    }

    /// A spent refresh token is forgiven for this long, and gives this.
    pub fn replay_window(mut self, window: Duration, replay: Replay) -> Self {
        self.rules.replay_window = window;
        self.rules.replay = replay;
        self
    }

    /// What a refresh does to the access token before it.
    pub fn old_access(mut self, old: OldAccess) -> Self {
        self.rules.old_access = old;
        self
    }

    /// The one client and how it must prove itself.
    pub fn client(mut self, id: &str, secret: &str, auth: ClientAuth) -> Self {
        self.client = Client {
            id: id.to_owned(),
            secret: secret.to_owned(),
            auth,
        };
        self
    }

    /// The issuer has this path, `/tenant` for example.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Token answers have this member too, or instead; null takes one away.
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// The metadata have this member too, or instead; null takes one away.
    pub fn metadata(mut self, name: &str, value: Value) -> Self {
        self.metadata.insert(name.to_owned(), value);
        self
    }

    /// Listens, from now on.
    pub async fn start(self) -> Issuer {
        self.listen(None).await
    }

    /// Listens with TLS, with a certificate by `authority`.
    pub async fn start_tls(self, authority: &Authority) -> Result<Issuer, rustls::Error> {
        let acceptor = authority.acceptor(Protocol::Http1)?;
        Ok(self.listen(Some(acceptor)).await)
    }

    async fn listen(self, tls: Option<tokio_rustls::TlsAcceptor>) -> Issuer {
        let listener = wire::bind().await;
        let scheme = tls.as_ref().map_or("http", |_| "https");
        let url = format!("{scheme}://{}{}", wire::address_of(&listener), self.path);
        if self.client.auth != ClientAuth::None {
            self.secrets.keep(self.client.secret.clone());
        }
        let endpoints = Arc::new(Endpoints {
            url,
            path: self.path,
            client: self.client,
            consent: Mutex::default(),
            ledger: Mutex::new(Ledger::new(self.rules, self.secrets.clone())),
            members: self.members,
            metadata: self.metadata,
            script: Mutex::default(),
            discovery: Mutex::default(),
            requests: Journal::default(),
            lookups: Journal::default(),
            secrets: self.secrets,
        });
        let server = Server::start(listener, Arc::clone(&endpoints), Protocol::Http1, tls);
        Issuer { server, endpoints }
    }
}

impl Issuer {
    /// An ordinary strict server: rotation without a replay window, tokens of 900 bytes that
    /// live an hour, a confidential client with Basic authentication.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// The same, to be changed before it starts.
    pub fn builder() -> IssuerBuilder {
        let secrets = Secrets::default();
        let client = Client {
            id: String::from("legacy-crm"),
            // Characters that only survive when they are encoded as RFC 6749 §2.3.1 says.
            secret: secrets.make("s%3A +&é:", 40),
            auth: ClientAuth::Basic,
        };
        IssuerBuilder {
            rules: Rules::default(),
            client,
            path: String::new(),
            members: Map::new(),
            metadata: Map::new(),
            secrets,
        }
    }

    /// The issuer identifier, which is the base of its endpoints.
    pub fn url(&self) -> &str {
        &self.endpoints.url
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.endpoints.url)
    }

    /// The client's identifier.
    pub fn client_id(&self) -> &str {
        &self.endpoints.client.id
    }

    /// The client's secret; a public client has none.
    pub fn client_secret(&self) -> Option<&str> {
        (self.endpoints.client.auth != ClientAuth::None)
            .then_some(self.endpoints.client.secret.as_str())
    }

    /// How the client must prove itself.
    pub fn client_auth(&self) -> ClientAuth {
        self.endpoints.client.auth
    }

    /// The newest refresh token of the first grant, to begin with.
    pub fn refresh_token(&self) -> String {
        self.endpoints.ledger().refresh_token()
    }

    /// The first refresh token of a new grant.
    pub fn new_grant(&self) -> String {
        self.endpoints.ledger().grant()
    }

    /// The newest access token of the first grant.
    pub fn access_token(&self) -> Option<String> {
        self.endpoints.ledger().access_token()
    }

    /// The access token that was given last, whatever grant it is of.
    pub fn last_access_token(&self) -> Option<String> {
        self.endpoints.ledger().last_access_token()
    }

    /// True when `access_token` opens the API now.
    pub fn is_live(&self, access_token: &str) -> bool {
        self.endpoints
            .ledger()
            .is_live(access_token, Instant::now())
    }

    /// Introspection (the idea of RFC 7662) without a call, for an API that trusts this server.
    pub fn introspection(&self) -> impl Fn(&str) -> bool + Send + Sync + use<> {
        let endpoints = Arc::clone(&self.endpoints);
        move |token: &str| endpoints.ledger().is_live(token, Instant::now())
    }

    /// Takes an access token back before its end.
    pub fn revoke_access(&self, access_token: &str) {
        self.endpoints.ledger().revoke_access(access_token);
    }

    /// Takes every grant back: refresh tokens and access tokens.
    pub fn revoke_grant(&self) {
        self.endpoints.ledger().revoke_all();
    }

    /// From now on access tokens are made with this lifetime.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.endpoints.ledger().rules.lifetime = lifetime;
    }

    /// The next token request gets this answer; called again, the one after it.
    pub fn next(&self, reply: Reply) {
        lock(&self.endpoints.script).push_back(reply);
    }

    /// Metadata requests get this answer, or the regular one again.
    pub fn answer_discovery(&self, reply: Option<Reply>) {
        *lock(&self.endpoints.discovery) = reply;
    }

    /// All token requests.
    pub fn requests(&self) -> &Journal<TokenRequest> {
        &self.endpoints.requests
    }

    /// The paths of all metadata requests.
    pub fn lookups(&self) -> &Journal<String> {
        &self.endpoints.lookups
    }

    /// How many refreshes gave new tokens.
    pub fn refreshes(&self) -> usize {
        self.count(Outcome::Refreshed)
    }

    /// How many token requests ended like this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.endpoints
            .requests
            .count(|request| request.outcome == outcome)
    }

    /// Every secret given out so far.
    pub fn secrets(&self) -> &Secrets {
        &self.endpoints.secrets
    }

    /// Closes the port: whoever comes now is refused.
    pub async fn go_down(&self) {
        self.server.go_down().await;
    }

    /// Opens the same port again.
    pub async fn come_back(&self) -> std::io::Result<()> {
        self.server.come_back().await
    }
}
