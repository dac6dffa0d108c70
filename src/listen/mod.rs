//! The near side: bind, accept, serve each connection, and say goodbye.
//!
//! A connection's way: [`Bound`] accepts it → its first bytes tell HTTP/1.1 from HTTP/2 →
//! hyper speaks it → the [`Handler`] answers each request, whose body is an [`Inbound`].
//!
//! What always holds: everything has a limit, from the number of connections to the silence
//! between two pieces of a body. A connection has one timer and one ear for the signal to
//! stop; a request arms nothing, spawns nothing (HTTP/1.1) and boxes nothing. What was
//! accepted counts against `max_connections` until its socket is closed, upgraded ones too.

mod accept;
mod bound;
mod connection;
mod cork;
mod handed;
mod inbound;
mod limits;
mod metrics;
mod outbound;
mod pulse;
mod sniff;
mod wire;

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

pub use accept::serve;
pub use bound::Bound;
pub use handed::{Handed, Unusable};
pub use inbound::{Inbound, InboundError};
pub use limits::Limits;
pub use metrics::{Closed, Metrics};

/// Answers requests. One is shared by all connections of a worker.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers one request, or hangs up. It is dropped when the client goes away.
    fn handle(
        &self,
        request: Request<Inbound>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Hangup>> + Send;
}

/// Ends a connection without an answer, so that the client sees it cut; with HTTP/2 only the
/// request's stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hangup;

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hung up on purpose")
    }
}

impl std::error::Error for Hangup {}

#[cfg(test)]
mod tests;
