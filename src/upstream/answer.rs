//! An answer's body on its way in; it holds its connection until its end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::SendBody;
use super::lease::Lease;
use crate::body::Patience;

/// An answer's body, never silent for longer than `body_timeout`. It ends after its first error.
///
/// At its end the connection goes back into the pool. Dropped before, it ends the call: the
/// connection is closed (HTTP/1.1) or the stream reset (HTTP/2).
#[derive(Debug)]
pub struct Answer<B: SendBody> {
    body: Incoming,
    patience: Patience,
    failed: bool,
    lease: Option<Lease<B>>,
}

impl<B: SendBody> Answer<B> {
    pub(super) fn new(body: Incoming, timeout: Option<Duration>, lease: Lease<B>) -> Self {
        let mut answer = Self {
            body,
            patience: Patience::new(timeout),
            failed: false,
            lease: Some(lease),
        };
        if answer.body.is_end_stream() {
            answer.give_back();
        }
        answer
    }

    /// True where a body that hyper says has ended has not. hyper takes a stream's reset that says
    /// `NO_ERROR` for the end, since a server may have no use for the rest of a request
    /// (RFC 9113 §8.1). But it may only after a whole answer, and such a stream has ended already.
    fn is_short(&self) -> bool {
        matches!(self.lease, Some(Lease::Share { .. })) && !self.body.is_end_stream()
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl<B: SendBody> Body for Answer<B> {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        let frame = match &mut this.lease {
            Some(lease) => lease.poll_body(&mut this.body, cx),
            None => Pin::new(&mut this.body).poll_frame(cx),
        };
        let error = match frame {
            Poll::Ready(None) if this.is_short() => AnswerError::Cut(None),
            Poll::Ready(None) => {
                this.give_back();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.patience.restored();
                if this.body.is_end_stream() {
                    this.give_back();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => AnswerError::Cut(Some(error)),
            Poll::Pending if this.patience.poll_lost(cx).is_ready() => AnswerError::Slow,
            Poll::Pending => return Poll::Pending,
        };
        this.failed = true;
        this.lease = None;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why an answer's body did not arrive whole.
#[derive(Debug)]
pub enum AnswerError {
    /// The connection broke, or the body's framing did, or the stream was reset.
    Cut(Option<hyper::Error>),
    /// The upstream was silent for too long.
    Slow,
}

impl AnswerError {
    /// A short word for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Cut(_) => "answer_cut",
            Self::Slow => "answer_slow",
        }
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut(_) => "the answer's body was cut",
            Self::Slow => "the answer's body did not arrive in time",
        })
    }
}

impl std::error::Error for AnswerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cut(error) => error.as_ref().map(|error| error as _),
            Self::Slow => None,
        }
    }
}
