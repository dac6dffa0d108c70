//! What the practice authorization server says on the wire: metadata and tokens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bearward::secret::Secret;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::body::{Body, Cut};
use super::consent::{self, Answer, Consent};
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
    pub(super) consent: Mutex<Consent>,
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
        if head.method == Method::POST && path == format!("{}/revoke", self.path) {
            return Ok(self.revoke(&head, body).await);
        }
        let own = path.strip_prefix(self.path.as_str()).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default();
        Ok(match (&head.method, own) {
            (&Method::GET, "/authorize") => self.authorize(&form(query.as_bytes())),
            (&Method::GET, "/device") => self.ask_for_device(&form(query.as_bytes())),
            (&Method::POST, "/device_authorization") => self.device(),
            _ => refused(404, "not_found"),
        })
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
            "revocation_endpoint": format!("{}/revoke", self.url),
            "authorization_endpoint": format!("{}/authorize", self.url),
            "device_authorization_endpoint": format!("{}/device_authorization", self.url),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_CODE],
            "authorization_response_iss_parameter_supported": true,
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

    /// RFC 7009 §2.
    async fn revoke(&self, head: &http::request::Parts, body: Incoming) -> Response<Body> {
        let body = Limited::new(body, LARGEST).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
        let parameters = parameters(head.uri.query(), &head.headers, &body);
        if !self.proven(&head.headers, &parameters) {
            return refused(401, "invalid_client");
        }
        let Some(token) = parameters.get("token") else {
            return refused(400, "invalid_request");
        };
        self.ledger().revoke_token(token);
        told(200, &json!({}))
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
            Some("authorization_code") => {
                let redeemed = lock(&self.consent).redeem(parameters);
                return self.enrolled(redeemed, now);
            }
            Some(DEVICE_CODE) => {
                let polled = lock(&self.consent).poll(parameters);
                return self.enrolled(polled, now);
            }
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

    /// The first tokens of a grant that a person gave.
    fn enrolled(&self, consent: Result<(), &str>, now: Instant) -> (Outcome, Response<Body>) {
        match consent {
            Ok(()) => {
                let pair = self.ledger().enrol(now);
                (Outcome::Enrolled, self.granted(&pair, now))
            }
            Err(error) => (Outcome::Unenrolled, refused(400, error)),
        }
    }

    /// RFC 6749 §4.1.1: a page that asks, or the answer of whoever it asked.
    fn authorize(&self, request: &BTreeMap<String, String>) -> Response<Body> {
        let answer = request.get("answer").and_then(|word| Answer::read(word));
        let known = request.get("client_id") == Some(&self.client.id);
        match answer.filter(|_| known) {
            None if known => {
                let form = consent::form(&format!("{}/authorize", self.url), request);
                shown(&consent::page("Practice server", request, &form))
            }
            None => refused(400, "invalid_request"),
            Some(answer) => {
                let to = lock(&self.consent).answered(request, answer, &self.url, &self.secrets);
                to.map_or_else(|| refused(400, "invalid_request"), |to| sent(&to))
            }
        }
    }

    /// RFC 8628 §3.2.
    fn device(&self) -> Response<Body> {
        let (device_code, user_code) = lock(&self.consent).device(&self.secrets);
        let page = format!("{}/device", self.url);
        let members = json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": 300,
            "interval": 1,
        });
        told(200, &members)
    }

    /// RFC 8628 §3.3: the page on the other device.
    fn ask_for_device(&self, request: &BTreeMap<String, String>) -> Response<Body> {
        let action = format!("{}/device", self.url);
        let answer = request.get("answer").and_then(|word| Answer::read(word));
        let Some(user_code) = request.get("user_code") else {
            let field = format!(
                "<form action=\"{action}\"><label>Code <input name=\"user_code\"></label>\
                 <button>Next</button></form>"
            );
            return shown(&consent::page("Practice server", request, &field));
        };
        match answer {
            None => {
                let form = consent::form(&action, request);
                shown(&consent::page("Practice server", request, &form))
            }
            Some(answer) if lock(&self.consent).answer_device(user_code, answer) => {
                shown(&consent::page("Done: look at the terminal", request, ""))
            }
            Some(_) => refused(400, "invalid_request"),
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

/// RFC 8628 §3.4.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn form(encoded: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

fn shown(page: &str) -> Response<Body> {
    let mut response = Response::new(Body::whole(page.to_owned().into(), None));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

fn sent(to: &str) -> Response<Body> {
    let mut response = told(303, &json!({}));
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
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
