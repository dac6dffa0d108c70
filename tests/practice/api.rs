//! The practice API: it checks the credential, writes every request down, and answers as told.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustls::SupportedProtocolVersion;
use serde_json::json;
use tokio::sync::mpsc;

use super::body::{Body, Cut};
use super::endpoints::lock;
use super::issuer::Issuer;
use super::journal::Journal;
use super::recorded::{Recorded, Tap};
use super::reply::{Act, Reply};
use super::tls::{Authority, Clients, Terms};
use super::wire::{self, Connection, Handler, Protocol, Server};

/// An API behind bearer tokens (RFC 6750).
///
/// A request is answered by the first of: a reply that was put in line with [`Api::next`]; a
/// refusal, if its token is not good; the reply that [`Api::on`] set for its path; `200` with a
/// small JSON object.
#[derive(Debug)]
pub struct Api {
    server: Server<Inner>,
    inner: Arc<Inner>,
    url: String,
}

struct Inner {
    trust: Box<dyn Fn(&str) -> bool + Send + Sync>,
    header: HeaderName,
    scheme: String,
    script: Mutex<VecDeque<Reply>>,
    paths: Mutex<BTreeMap<String, Reply>>,
    rejected: Mutex<BTreeMap<String, Reply>>,
    requests: Journal<Recorded>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// How an [`Api`] is set up.
pub struct ApiBuilder {
    trust: Box<dyn Fn(&str) -> bool + Send + Sync>,
    header: HeaderName,
    scheme: String,
    protocol: Protocol,
    terms: Terms,
}

impl fmt::Debug for ApiBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiBuilder").finish_non_exhaustive()
    }
}

impl ApiBuilder {
    /// Takes the tokens that `issuer` holds to be live.
    pub fn trusting(self, issuer: &Issuer) -> Self {
        self.taking(issuer.introspection())
    }

    /// Takes the tokens of which `trust` says so.
    pub fn taking(mut self, trust: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.trust = Box::new(trust);
        self
    }

    /// The credential stands in this header field after this scheme; none if it is empty.
    pub fn credential(mut self, header: HeaderName, scheme: &str) -> Self {
        self.header = header;
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// Speaks only this.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Its certificate carries this name and not its address.
    pub fn named(mut self, name: &str) -> Self {
        self.terms.name = Some(name.to_owned());
        self
    }

    /// Speaks this version of TLS only.
    pub fn tls_version(mut self, only: &'static SupportedProtocolVersion) -> Self {
        self.terms.version = Some(only);
        self
    }

    /// Speaks TLS only to those who have a certificate by its own authority.
    pub fn for_certified_clients(mut self) -> Self {
        self.terms.clients = Clients::Certified;
        self
    }

    /// Listens, from now on.
    pub async fn start(self) -> Api {
        self.listen(None).await
    }

    /// Listens with TLS, with a certificate by `authority`.
    pub async fn start_tls(self, authority: &Authority) -> Result<Api, rustls::Error> {
        let acceptor = authority.acceptor_on(self.protocol, &self.terms)?;
        Ok(self.listen(Some(acceptor)).await)
    }

    async fn listen(self, tls: Option<tokio_rustls::TlsAcceptor>) -> Api {
        let listener = wire::bind().await;
        let scheme = tls.as_ref().map_or("http", |_| "https");
        let url = format!("{scheme}://{}", wire::address_of(&listener));
        let inner = Arc::new(Inner {
            trust: self.trust,
            header: self.header,
            scheme: self.scheme,
            script: Mutex::default(),
            paths: Mutex::default(),
            rejected: Mutex::default(),
            requests: Journal::default(),
        });
        let server = Server::start(listener, Arc::clone(&inner), self.protocol, tls);
        Api { server, inner, url }
    }
}

impl Api {
    /// An API that takes the tokens `issuer` holds to be live.
    pub async fn start(issuer: &Issuer) -> Self {
        Self::builder().trusting(issuer).start().await
    }

    /// The same, to be changed before it starts; until told, it takes any token but none.
    pub fn builder() -> ApiBuilder {
        ApiBuilder {
            trust: Box::new(|_| true),
            header: http::header::AUTHORIZATION,
            scheme: String::from("Bearer"),
            protocol: Protocol::Both,
            terms: Terms::default(),
        }
    }

    /// Its URL, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next request gets this answer, whatever its token; called again, the one after it.
    pub fn next(&self, reply: Reply) {
        lock(&self.inner.script).push_back(reply);
    }

    /// Requests for this path (without query) get this answer if their token is good.
    pub fn on(&self, path: &str, reply: Reply) {
        lock(&self.inner.paths).insert(path.to_owned(), reply);
    }

    /// From now on this token is refused as RFC 6750 §3.1 says: 401, `invalid_token`.
    pub fn reject(&self, token: &str) {
        self.reject_with(token, unauthorized());
    }

    /// From now on this token is refused like this.
    pub fn reject_with(&self, token: &str, reply: Reply) {
        lock(&self.inner.rejected).insert(token.to_owned(), reply);
    }

    /// All requests.
    pub fn requests(&self) -> &Journal<Recorded> {
        &self.inner.requests
    }

    /// The newest request.
    pub fn last(&self) -> Option<Recorded> {
        self.inner.requests.all().pop()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.server.connections()
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

impl Inner {
    /// The answer to a request with this head.
    fn reply(&self, path: &str, headers: &HeaderMap) -> Reply {
        if let Some(reply) = lock(&self.script).pop_front() {
            return reply;
        }
        let Some(token) = self.credential(headers) else {
            return unauthorized();
        };
        if let Some(refusal) = lock(&self.rejected).get(token) {
            return refusal.clone();
        }
        if !(self.trust)(token) {
            return unauthorized();
        }
        let reply = lock(&self.paths).get(path).cloned();
        reply.unwrap_or_else(Reply::regular)
    }

    /// The one credential; two are as bad as none.
    fn credential<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut values = headers.get_all(&self.header).iter();
        let value = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        if self.scheme.is_empty() {
            return Some(value);
        }
        value.strip_prefix(self.scheme.as_str())?.strip_prefix(' ')
    }
}

impl Handler for Inner {
    async fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        let reply = self.reply(request.uri().path(), request.headers());
        let regular = regular(&request);
        let tap = Tap::new(connection.number, request, self.requests.clone());
        if let Act::Canned(canned) = &reply.act
            && canned.echoes()
        {
            let response = reply.give(&connection, None).await?;
            return Ok(response.map(|_| echo(tap)));
        }
        if reply.early {
            let response = reply.give(&connection, Some(regular)).await;
            // What still comes is recorded beside the answer.
            tokio::spawn(tap.drain());
            return response;
        }
        tap.drain().await.map_err(|_| Cut)?;
        reply.give(&connection, Some(regular)).await
    }
}

/// What the API says by itself: what it was asked, and never the credential.
fn regular(request: &Request<Incoming>) -> Response<Body> {
    let text = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query(),
    });
    let mut response = Response::new(Body::whole(text.to_string().into(), None));
    *response.status_mut() = StatusCode::OK;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// RFC 6750 §3.1.
fn unauthorized() -> Reply {
    Reply::json(401, &json!({ "error": "invalid_token" }))
        .header(WWW_AUTHENTICATE.as_str(), "Bearer error=\"invalid_token\"")
}

/// Sends a request's body back as it comes, its trailers too. Who reads slowly is read slowly.
fn echo(mut tap: Tap) -> Body {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = tap.frame().await {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    Body::coming(frames)
}
