//! A connection, or a share in one, for as long as a call needs it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::http1::Connection;
use super::http2::Channel;
use super::idle::Reusable;
use super::pool::Pool;
use super::{SendBody, Usage};

/// How long a connection whose answer has ended may need until it can take the next call.
const SETTLING: Duration = Duration::from_secs(1);

/// A connection for one call.
#[derive(Debug)]
pub(super) enum Lease<B: SendBody> {
    /// HTTP/1.1: to be given back.
    Own(Own<B>),
    /// HTTP/2: a share in the connection.
    Share { channel: Channel<B>, usage: Usage },
}

/// A connection of HTTP/1.1 in use.
#[derive(Debug)]
pub(super) struct Own<B: SendBody> {
    /// Boxed for as long as it lives, so that a call moves a pointer about.
    pub(super) connection: Box<Connection<B>>,
    pool: Arc<Pool<B>>,
    _permit: OwnedSemaphorePermit,
}

impl<B: SendBody> Lease<B> {
    /// Whether the connection has carried a call before.
    pub(super) fn usage(&self) -> Usage {
        match self {
            Self::Share { usage, .. } => *usage,
            Self::Own(own) => own.connection.usage(),
        }
    }

    /// The call has ended well.
    pub(super) fn give_back(self) {
        match self {
            Self::Share { .. } => {}
            Self::Own(own) => own.give_back(),
        }
    }

    /// Polls the body of the call's answer.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match self {
            Self::Share { .. } => Pin::new(body).poll_frame(cx),
            Self::Own(own) => own.connection.poll_body(body, cx),
        }
    }
}

impl<B: SendBody> Own<B> {
    pub(super) fn new(
        connection: Box<Connection<B>>,
        pool: &Arc<Pool<B>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            connection,
            pool: Arc::clone(pool),
            _permit: permit,
        }
    }

    fn give_back(mut self) {
        if self.connection.is_ready() {
            self.pool.put(self.connection);
        } else if self.connection.is_open() && !self.connection.keeps_body_back() {
            // The answer came before the request's end; rare, so a task is no cost.
            let tasks = self.pool.tasks.clone();
            tasks.spawn("upstream settling", self.settle());
        }
        // The permit is released here, after the connection can be found.
    }

    /// Gives back what needs a moment until it can take the next call.
    async fn settle(mut self) {
        if let Ok(true) = timeout(SETTLING, self.connection.ready()).await {
            self.pool.put(self.connection);
        }
    }
}
