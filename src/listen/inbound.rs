//! A request's body on its way in.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pulse::Pulse;
use crate::body::Patience;

/// A request's body, with the limits that the configuration sets: never more bytes than
/// `max_body`, never a longer silence than `body_timeout`. It ends after its first error.
#[derive(Debug)]
pub struct Inbound {
    body: Incoming,
    version: Version,
    patience: Patience,
    received: u64,
    max: u64,
    ended: bool,
    pulse: Arc<Pulse>,
}

impl Inbound {
    pub(super) fn new(
        body: Incoming,
        version: Version,
        max: u64,
        timeout: Option<Duration>,
        pulse: Arc<Pulse>,
    ) -> Self {
        if !body.is_end_stream() {
            pulse.receives();
        }
        Self {
            body,
            version,
            patience: Patience::new(timeout),
            received: 0,
            max,
            ended: false,
            pulse,
        }
    }

    /// True when the length that the client declared is beyond the limit, so that the request
    /// can be refused before anything of the body is asked for (RFC 9110 §10.1.1).
    pub fn too_large_declared(&self) -> bool {
        self.received == 0 && self.body.size_hint().lower() > self.max
    }

    /// True where a body that hyper says has ended has not: hyper takes a stream's reset that says
    /// `NO_ERROR` for the end (RFC 9113 §8.1).
    fn is_short(&self) -> bool {
        self.version == Version::HTTP_2 && !self.body.is_end_stream()
    }

    /// Counts a piece, or refuses it.
    fn counted(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, InboundError> {
        let count = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.received = self.received.saturating_add(count);
        if self.received > self.max {
            return Err(InboundError::TooLarge);
        }
        Ok(frame)
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = InboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InboundError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.pulse.asked(&polled);
        let outcome = match polled {
            Poll::Ready(None) if this.is_short() => Err(InboundError::Cut(None)),
            Poll::Ready(None) => {
                this.ended = true;
                this.pulse.received();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.patience.restored();
                if this.body.is_end_stream() {
                    this.pulse.received();
                }
                this.counted(frame)
            }
            Poll::Ready(Some(Err(error))) => Err(InboundError::of(error)),
            Poll::Pending if this.patience.poll_lost(cx).is_ready() => Err(InboundError::TooSlow),
            Poll::Pending => return Poll::Pending,
        };
        if outcome.is_err() {
            this.ended = true;
            this.pulse.received();
            this.pulse.left_unread();
        }
        Poll::Ready(Some(outcome))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.pulse.left_unread();
            self.pulse.received();
        }
    }
}

/// Why a request's body did not arrive whole. Each is the client's doing.
#[derive(Debug)]
pub enum InboundError {
    /// It is larger than the limit.
    TooLarge,
    /// The client was silent for too long.
    TooSlow,
    /// The body's framing is wrong.
    Malformed(hyper::Error),
    /// The connection broke, or the stream was reset.
    Cut(Option<hyper::Error>),
}

impl InboundError {
    fn of(error: hyper::Error) -> Self {
        let kind = error
            .source()
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .map(io::Error::kind);
        match kind {
            // What hyper's decoder of chunks says; a connection that ends has other kinds.
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                Self::Malformed(error)
            }
            _ => Self::Cut(Some(error)),
        }
    }
}

impl fmt::Display for InboundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the request's body is larger than the limit",
            Self::TooSlow => "the request's body did not arrive in time",
            Self::Malformed(_) => "the request's body is malformed",
            Self::Cut(_) => "the request's body was cut",
        })
    }
}

impl Error for InboundError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Malformed(error) | Self::Cut(Some(error)) => Some(error),
            Self::TooLarge | Self::TooSlow | Self::Cut(None) => None,
        }
    }
}
