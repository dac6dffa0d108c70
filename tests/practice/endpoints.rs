//! What the practice authorization server says on the wire: metadata and tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bearward::secret::Secret;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::body::{Body, Cut};
use super::journal::Journal;
use super::ledger::{Ledger, Pair, Refusal};
use super::reply::{Reply, Work};
use super::secrets::Secrets;
use super::token_request::{ClientAuth, Outcome, TokenRequest, credentials, parameters};
use super::wire::{Connection, Handler};

/// The largest token request that is read.
const LARGEST: usize = 64 * 1024;

/// The server's side of the wire, and what it remembers.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) url: String,
    pub(super) path: String,
    pub(super) client: Client,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) members: Map<String, Value>,
    pub(super) metadata: Map<String, Value>,
    pub(super) script: Mutex<VecDeque<Reply>>,
    pub(super) discovery: Mutex<Option<Reply>>,
    pub(super) requests: Journal<TokenRequest>,
    pub(super) lookups: Journal<String>,
    pub(super) secrets: Secrets,
}

/// The one client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) auth: ClientAuth,
}

impl Handler for Endpoints {
    async fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if head.method == Method::GET && self.is_metadata(path) {
            self.lookups.push(path.to_owned());
            let reply = lock(&self.discovery).clone();
            let reply = reply.unwrap_or_else(Reply::regular);
            return reply
                .give(&connection, Some(told(200, &self.published())))
                .await;
        }
        if head.method == Method::POST && path == format!("{}/token", self.path) {
            return self.token(&connection, &head, body).await;
        }
        Ok(refused(404, "not_found"))
    }
}

impl Endpoints {
    /// The ledger, locked.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// RFC 8414 §2, with the members that tests want to see.
    fn published(&self) -> Value {
        let members = json!({
            "issuer": self.url,
            "token_endpoint": format!("{}/token", self.url),
            "authorization_endpoint": format!("{}/authorize", self.url),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "scopes_supported": ["openid", "offline_access", "crm.read"],
            "token_endpoint_auth_methods_supported": [self.client.auth.name()],
            "code_challenge_methods_supported": ["S256"],
        });
        merged(members, &self.metadata)
    }

    fn is_metadata(&self, path: &str) -> bool {
        let oauth = format!("/.well-known/oauth-authorization-server{}", self.path);
        let openid = format!("{}/.well-known/openid-configuration", self.path);
        path == oauth || path == openid
    }

    async fn token(
        &self,
        connection: &Connection,
        head: &http::request::Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Cut> {
        let body = Limited::new(body, LARGEST).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
        let parameters = parameters(head.uri.query(), &head.headers, &body);
        let reply = lock(&self.script)
            .pop_front()
            .unwrap_or_else(Reply::regular);
        let at = Instant::now();
        let (outcome, regular) = match reply.work {
            Work::Do => {
                let (outcome, answer) = self.refresh(&head.headers, &parameters, at);
                (outcome, Some(answer))
            }
            Work::Skip => (Outcome::Scripted, None),
        };
        let token = parameters.get("refresh_token");
        let generation = token.and_then(|token| self.ledger().generation(token));
        self.requests.push(TokenRequest {
            at,
            fingerprint: token.map(|token| Secret::new(token.clone()).fingerprint()),
            generation,
            outcome,
            headers: head.headers.clone(),
            parameters,
        });
        reply.give(connection, regular).await
    }

    fn refresh(
        &self,
        headers: &HeaderMap,
        parameters: &BTreeMap<String, String>,
        now: Instant,
    ) -> (Outcome, Response<Body>) {
        if !self.proven(headers, parameters) {
            return (Outcome::InvalidClient, refused(401, "invalid_client"));
        }
        let token = match parameters.get("grant_type").map(String::as_str) {
            Some("refresh_token") => parameters.get("refresh_token"),
            Some(_) => return (Outcome::Malformed, refused(400, "unsupported_grant_type")),
            None => None,
        };
        let Some(token) = token else {
            return (Outcome::Malformed, refused(400, "invalid_request"));
        };
        match self.ledger().refresh(token, now) {
            Ok(pair) if pair.replayed => (Outcome::Replayed, self.granted(&pair, now)),
            Ok(pair) => (Outcome::Refreshed, self.granted(&pair, now)),
            Err(refusal) => (refusal.into(), refused(400, "invalid_grant")),
        }
    }

    fn proven(&self, headers: &HeaderMap, parameters: &BTreeMap<String, String>) -> bool {
        let expected = match self.client.auth {
            ClientAuth::None => None,
            _ => Some(self.client.secret.clone()),
        };
        credentials(self.client.auth, headers, parameters)
            == Some((self.client.id.clone(), expected))
    }

    /// RFC 6749 §5.1.
    fn granted(&self, pair: &Pair, now: Instant) -> Response<Body> {
        let mut members = json!({
            "access_token": pair.access_token,
            "token_type": "Bearer",
            "expires_in": pair.ends.saturating_duration_since(now).as_secs(),
            "scope": "openid offline_access crm.read",
        });
        if let (Some(token), Some(members)) = (&pair.refresh_token, members.as_object_mut()) {
            members.insert(String::from("refresh_token"), json!(token));
        }
        told(200, &merged(members, &self.members))
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::Unknown,
            Refusal::Revoked => Self::Revoked,
            Refusal::Reused => Self::Reused,
        }
    }
}

/// RFC 6749 §5.2.
fn refused(status: u16, error: &str) -> Response<Body> {
    let mut response = told(status, &json!({ "error": error }));
    if status == 401 {
        let challenge = HeaderValue::from_static("Basic realm=\"practice\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn told(status: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(value.to_string().into(), None));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `members` with `changes` over them; null takes a member away.
fn merged(mut members: Value, changes: &Map<String, Value>) -> Value {
    if let Some(members) = members.as_object_mut() {
        members.extend(changes.clone());
        members.retain(|_, value| !value.is_null());
    }
    members
}

/// A lock that outlives a panic of who held it: what it guards is only ever replaced whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
