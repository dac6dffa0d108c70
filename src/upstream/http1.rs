//! HTTP/1.1 towards an upstream: one call at a time per connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::engine::Engine;
use super::expect::{self, Word};
use super::idle::Reusable;
use super::outgoing::Outgoing;
use super::progress::Progress;
use super::{Outcome, SendBody, SendError, Settings, Usage, Wire, framing};
use crate::drain::Tasks;
use crate::seldom::Seldom;

/// Bytes of an answer's status line and header fields. Twice what servers commonly allow, for
/// the sake of large cookies.
const MAX_HEAD: usize = 128 * 1024;

/// hyper's own number of header fields, for which it needs no memory of its own.
const USUAL_HEADERS: usize = 100;

/// A connection that carries one call at a time. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection<B> {
    send: SendRequest<Outgoing<B>>,
    engine: Engine,
    tasks: Tasks,
    opened: Instant,
    progress: Arc<Progress>,
    usage: Usage,
    /// What the body of the call that runs waits for.
    word: Option<Word>,
}

impl<B: SendBody> Connection<B> {
    /// Speaks HTTP/1.1 over `wire`, and sees to it that answers begin within `response_timeout`.
    pub(super) async fn open(
        wire: Wire,
        settings: &Settings,
        tasks: &Tasks,
    ) -> hyper::Result<Self> {
        let mut builder = Builder::new();
        builder.max_header_size(MAX_HEAD).max_buf_size(MAX_HEAD);
        if settings.max_headers != USUAL_HEADERS {
            builder.max_headers(settings.max_headers);
        }
        let (send, conn) = builder.handshake(TokioIo::new(wire)).await?;
        let response_timeout = settings.response_timeout;
        let progress = Arc::new(Progress::new());
        let watched = Arc::clone(&progress);
        let engine = Engine::new(async move {
            let late = pin!(watched.late(response_timeout));
            tokio::select! {
                biased;
                outcome = conn.with_upgrades() => if let Err(error) = outcome {
                    tracing::debug!(%error, "an upstream connection broke");
                },
                // Dropping hyper's half tells the call that waits.
                () = Seldom::new(late) => {}
            }
        });
        Ok(Self {
            send,
            engine,
            tasks: tasks.clone(),
            opened: Instant::now(),
            progress,
            usage: Usage::First,
            word: None,
        })
    }

    /// Sends one call. What was not written comes back with the outcome.
    pub(super) async fn call(
        &mut self,
        mut request: Box<Request<B>>,
    ) -> Outcome<Response<Incoming>, Request<B>> {
        let usage = std::mem::replace(&mut self.usage, Usage::Again);
        self.progress.begun();
        let (word, leave) = expect::expected(&mut request, &self.progress).unzip();
        self.word = word;
        let request = request.map(|body| Outgoing::new(body, &self.progress).after(leave));
        let (engine, send) = (&mut self.engine, &mut self.send);
        let mut answer = pin!(engine.hushed(|| send.try_send_request(request)));
        match poll_fn(|cx| engine.run_for(cx, |cx| answer.as_mut().poll(cx))).await {
            Ok(response) => {
                self.progress.answered();
                self.heard(response.status());
                if framing::is_plain(response.headers()) {
                    Outcome::Done(response)
                } else {
                    Outcome::Failed(SendError::Malformed(None))
                }
            }
            Err(mut error) => match error.take_message().and_then(unwrapped) {
                Some(request) => Outcome::Unsent(Box::new(request), error.into_error()),
                None if self.progress.was_late() => Outcome::Failed(SendError::TimedOut),
                None => Outcome::Failed(SendError::of(error.into_error(), usage)),
            },
        }
    }

    /// Goes on with a call whose answer has begun.
    fn heard(&mut self, status: StatusCode) {
        if let Some(word) = &self.word {
            word.answered(status);
        }
        // From now on the call runs only as fast as its answer is read, which must not hold the
        // rest of the request back. And what comes behind a change of the protocol is no call.
        if self.progress.is_sending() || status == StatusCode::SWITCHING_PROTOCOLS {
            self.engine.depart(&self.tasks);
        }
    }

    /// Polls the body of the answer to the call that runs.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.engine
            .feed(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }
}

impl<B> Connection<B> {
    /// Whether it has carried a call before.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// True when it can take no more calls, since the last one's body was never asked for.
    pub(super) fn keeps_body_back(&self) -> bool {
        self.word.as_ref().is_some_and(Word::keeps_back)
    }

    /// True when it can take the next call at once.
    pub(super) fn is_ready(&mut self) -> bool {
        if !self.send.is_ready() {
            self.engine.idle();
        }
        self.send.is_ready()
    }

    /// Ends when it can take the next call; false if it never will.
    pub(super) async fn ready(&mut self) -> bool {
        let (engine, send) = (&mut self.engine, &mut self.send);
        let ready = poll_fn(|cx| engine.run_for(cx, |cx| send.poll_ready(cx)));
        ready.await.is_ok()
    }
}

impl<B> Reusable for Box<Connection<B>> {
    fn is_open(&self) -> bool {
        !self.send.is_closed()
    }

    fn look(&mut self) {
        self.engine.idle();
    }

    fn opened(&self) -> Instant {
        self.opened
    }

    fn part(self) {
        let Connection {
            send,
            engine,
            tasks,
            ..
        } = *self;
        // With nobody to send anything hyper ends the connection.
        drop(send);
        engine.part(&tasks);
    }
}

/// The request as it was given to us.
pub(super) fn unwrapped<B>(request: Request<Outgoing<B>>) -> Option<Request<B>> {
    let (head, body) = request.into_parts();
    Some(Request::from_parts(head, body.into_inner()?))
}
