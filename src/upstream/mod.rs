//! The far side: dial, TLS, ALPN, pools for HTTP/1.1 and HTTP/2.
//!
//! A call's way: [`Upstream::send`] leases a connection from the pool, or dials one → hyper
//! writes the request → its head comes back with an [`Answer`] as body, which gives the
//! connection back at its end.
//!
//! What always holds: a request that was not written is sent again on another connection, here
//! and silently; one that was written, even in part, never is: [`SendError`] says what is known
//! and the caller decides. A call over HTTP/1.1 spawns nothing and arms no timer; its connection
//! is run by whoever waits for it ([`engine`]). No answer whose framing two parties could read
//! differently gets through.
//!
//! Beside all this stands [`exchange()`]: one request over a connection of its own.

mod answer;
mod dial;
mod engine;
mod error;
mod exchange;
mod expect;
mod framing;
mod http1;
mod http2;
mod idle;
mod lease;
mod metrics;
mod outgoing;
mod pool;
mod progress;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Parts, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use self::lease::Lease;
use self::pool::{Pool, Take};
use crate::config;
use crate::drain::Tasks;

pub use answer::{Answer, AnswerError};
pub use dial::{DialError, DialFailure, Dialer};
pub use error::SendError;
pub use exchange::{Bounds, LEASE_LOST, Missed, NotAfter, Reply, exchange};
pub use metrics::Metrics;
pub use wire::Wire;

/// New connections that may turn out dead before anything was written, until we give up.
/// Connections from the pool do not count: each that is dead leaves it.
const FRESH_ATTEMPTS: u32 = 2;

/// A request's body that an upstream can be sent.
pub trait SendBody:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> SendBody for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static
{
}

/// What an upstream is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The route's name in metrics.
    pub route: Arc<str>,
    /// Where it is. What it offers by ALPN must fit `http`, see [`crate::tls::Alpn`].
    pub dialer: Dialer,
    /// The protocol.
    pub http: config::HttpVersion,
    /// What is kept for the next call.
    pub pool: config::Pool,
    /// Header fields in the head of an answer over HTTP/1.1.
    pub max_headers: usize,
    /// Time from the request's end to the head of the answer.
    pub response_timeout: Option<Duration>,
    /// Time between two pieces of the answer's body.
    pub body_timeout: Option<Duration>,
}

/// One upstream, as one worker sees it. Cheap to clone; clones share the connections.
#[derive(Debug)]
pub struct Upstream<B: SendBody> {
    pool: Arc<Pool<B>>,
}

impl<B: SendBody> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
        }
    }
}

/// What came of trying to send a call on a connection.
enum Outcome<T, R> {
    /// An answer.
    Done(T),
    /// Nothing was written; the request is as before. Boxed, because it is rare and large.
    Unsent(Box<R>, hyper::Error),
    /// No answer.
    Failed(SendError),
}

/// Whether a connection has carried a call before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    First,
    Again,
}

impl<B: SendBody> Upstream<B> {
    /// Connects to nobody yet.
    pub fn new(settings: Settings, tasks: Tasks, metrics: &Metrics) -> Self {
        let metrics = metrics.of(&settings.route);
        Self {
            pool: Arc::new(Pool::new(settings, tasks, metrics)),
        }
    }

    /// Sends a request and waits for the head of the answer. Dropping the future ends the call.
    ///
    /// Of the request's URI only path and query are used; scheme and authority are the
    /// upstream's, and so is `Host` where none is set.
    pub fn send(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Answer<B>>, SendError>> {
        self.send_over(Box::new(request), Take::Waiting)
    }

    /// The same, on a connection that nothing was sent on before where that can be had: for a
    /// call that died on one that was kept, since the others that are kept may be as dead.
    pub fn send_anew(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Answer<B>>, SendError>> {
        self.send_over(Box::new(request), Take::New)
    }

    /// The request is boxed here, once, since it is handed on several times.
    async fn send_over(
        &self,
        mut request: Box<Request<B>>,
        take: Take,
    ) -> Result<Response<Answer<B>>, SendError> {
        let mut fresh = 0;
        loop {
            let mut lease = self.pool.lease(take).await?;
            let usage = lease.usage();
            match self.try_send(request, &mut lease).await {
                Outcome::Done(response) => {
                    let limit = self.pool.settings.body_timeout;
                    return Ok(response.map(|body| Answer::new(body, limit, lease)));
                }
                Outcome::Failed(error) => return Err(error),
                Outcome::Unsent(back, _) if usage == Usage::Again => request = back,
                Outcome::Unsent(back, _) if fresh + 1 < FRESH_ATTEMPTS => {
                    request = back;
                    fresh += 1;
                }
                Outcome::Unsent(_, source) => {
                    let reused = false;
                    return Err(SendError::Closed { reused, source });
                }
            }
        }
    }

    async fn try_send(
        &self,
        mut request: Box<Request<B>>,
        lease: &mut Lease<B>,
    ) -> Outcome<Response<Incoming>, Request<B>> {
        match lease {
            Lease::Own(own) => {
                self.for_http1(&mut request);
                own.connection.call(request).await
            }
            Lease::Share { channel, usage } => {
                self.for_http2(&mut request);
                let limit = self.pool.settings.response_timeout;
                let outcome = channel.call(request, limit, *usage).await;
                if let Outcome::Unsent(..) = outcome {
                    self.pool.forsake(channel);
                }
                outcome
            }
        }
    }

    /// Origin form, with `Host` (RFC 9112 §3.2.1) and what HTTP/1.1 wants said of body and trailers.
    fn for_http1(&self, request: &mut Request<B>) {
        *request.version_mut() = Version::HTTP_11;
        framing::prepare(request);
        if request.uri().authority().is_some() {
            let target = target(request.uri());
            *request.uri_mut() = Uri::from(target);
        }
        if !request.headers().contains_key(HOST) {
            let authority = self.origin().authority.as_ref().map(ToString::to_string);
            let host = authority.and_then(|text| HeaderValue::try_from(text).ok());
            request.headers_mut().extend(host.map(|host| (HOST, host)));
        }
    }

    /// Scheme and authority beside the path, without `Host` (RFC 9113 §8.3.1).
    fn for_http2(&self, request: &mut Request<B>) {
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
        let mut parts = self.origin();
        parts.path_and_query = Some(target(request.uri()));
        // An origin with a path is a URI.
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    fn origin(&self) -> Parts {
        self.pool.settings.dialer.url().uri().clone().into_parts()
    }
}

fn target(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

#[cfg(test)]
mod tests;
