//! HTTP/2 towards an upstream: all calls of a worker share one connection.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::http1::unwrapped;
use super::outgoing::Outgoing;
use super::progress::Progress;
use super::{Outcome, SendBody, SendError, Usage, Wire};
use crate::drain::Tasks;

/// Windows: the connection's has room for as many answers that nobody reads as servers commonly
/// allow streams, so that their neighbours still move. What one of them takes is its stream's.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;

/// Bytes of a request that may wait in one stream.
const SEND_BUFFER: usize = 256 * 1024;

/// Bytes of an answer's header fields.
const MAX_HEADER_LIST: u32 = 128 * 1024;

/// How often the upstream is asked whether it is still there while calls run, and how long it
/// may think.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams that may be reset before the connection is thought to be under attack. h2's defaults
/// are made for servers; an upstream is chosen by the operator, and callers that cancel many
/// streams, as gRPC's do, would otherwise lose the connection of all.
const MAX_RESETS: usize = 10_000;

/// A handle to the shared connection. When the last one is dropped, it is closed.
#[derive(Debug)]
pub(super) struct Channel<B> {
    send: SendRequest<Outgoing<B>>,
    opened: Instant,
    /// One per call that runs, and one in the pool.
    users: Arc<()>,
}

impl<B> Clone for Channel<B> {
    fn clone(&self) -> Self {
        Self {
            send: self.send.clone(),
            opened: self.opened,
            users: Arc::clone(&self.users),
        }
    }
}

impl<B: SendBody> Channel<B> {
    /// Speaks HTTP/2 over `wire`, in a task of its own.
    pub(super) async fn open(wire: Wire, tasks: &Tasks) -> hyper::Result<Self> {
        let (send, conn) = Builder::new(Streams(tasks.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_local_error_reset_streams(MAX_RESETS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(wire))
            .await?;
        tasks.spawn("upstream connection", async move {
            if let Err(error) = conn.await {
                let error = crate::telemetry::chain(&error);
                tracing::debug!(%error, "an upstream connection broke");
            }
        });
        Ok(Self {
            send,
            opened: Instant::now(),
            users: Arc::new(()),
        })
    }

    /// Sends one call. What was not written comes back with the outcome.
    pub(super) async fn call(
        &mut self,
        request: Box<Request<B>>,
        response_timeout: Option<Duration>,
        usage: Usage,
    ) -> Outcome<Response<Incoming>, Request<B>> {
        let progress = Arc::new(Progress::new());
        progress.begun();
        let request = request.map(|body| Outgoing::new(body, &progress));
        let outcome = tokio::select! {
            biased;
            outcome = self.send.try_send_request(request) => outcome,
            // Dropping the call resets its stream.
            () = progress.late(response_timeout) => return Outcome::Failed(SendError::TimedOut),
        };
        match outcome {
            Ok(response) => {
                progress.answered();
                Outcome::Done(response)
            }
            Err(mut error) => match error.take_message().and_then(unwrapped) {
                Some(request) => Outcome::Unsent(Box::new(request), error.into_error()),
                None => Outcome::Failed(SendError::of(error.into_error(), usage)),
            },
        }
    }
}

impl<B> Channel<B> {
    /// True while it takes calls.
    pub(super) fn is_open(&self) -> bool {
        !self.send.is_closed()
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// True when both are handles to the same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.users, &other.users)
    }

    /// True when no call runs on it; asked of the pool's own handle.
    pub(super) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }
}

/// Runs what hyper needs beside the connection.
#[derive(Clone)]
struct Streams(Tasks);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn("upstream stream", stream);
    }
}
