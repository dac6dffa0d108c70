//! A request's body on its way out: streamed, with its first bytes kept so that it can be sent again.
//!
//! What always holds: a body is never whole in memory beyond the limit; it is not polled before
//! there is a token; and only the newest [`Outgoing`] of a request may read the caller's body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};

use crate::listen::{Inbound, InboundError};

/// A request's body, held so that it can be sent more than once.
#[derive(Clone)]
pub(super) enum Held {
    /// There is none.
    Nothing,
    /// It streams from the caller.
    Some(Arc<Mutex<Source>>),
}

/// The caller's body and what of it is kept.
pub(super) struct Source {
    inbound: Inbound,
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How many more bytes may be kept; nothing: more came than may be, and none are.
    room: Option<usize>,
    ended: bool,
    fault: Option<InboundError>,
    /// Counts the sendings; an [`Outgoing`] of an earlier one reads nothing any more.
    sending: u32,
    /// The field whose caller's value must not reach the upstream, in trailers neither.
    credential: HeaderName,
}

impl Held {
    /// Holds `inbound`, keeping up to `most` bytes.
    pub(super) fn new(inbound: Inbound, most: usize, credential: HeaderName) -> Self {
        if inbound.is_end_stream() {
            return Self::Nothing;
        }
        Self::Some(Arc::new(Mutex::new(Source {
            inbound,
            kept: Vec::new(),
            trailers: None,
            room: Some(most),
            ended: false,
            fault: None,
            sending: 0,
            credential,
        })))
    }

    /// The body for one sending, from its beginning. Nothing when its beginning is no longer kept.
    pub(super) fn send(&self) -> Option<Outgoing> {
        let Self::Some(source) = self else {
            return Some(Outgoing::Nothing);
        };
        let mut held = lock(source);
        let hint = held.hint();
        if held.sending > 0 && held.room.is_none() || held.fault.is_some() {
            return None;
        }
        held.sending += 1;
        let sending = held.sending;
        drop(held);
        Some(Outgoing::Some(Reader {
            source: Arc::clone(source),
            sending,
            next: 0,
            hint,
        }))
    }

    /// True when it can be sent again from its beginning.
    pub(super) fn replayable(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Some(source) => {
                let held = lock(source);
                held.room.is_some() && held.fault.is_none()
            }
        }
    }

    /// What went wrong on the caller's side, if anything: then the upstream is not to blame.
    pub(super) fn fault(&self) -> Option<InboundError> {
        match self {
            Self::Nothing => None,
            Self::Some(source) => lock(source).fault.take(),
        }
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    /// The whole body's size: what is kept and what is still to come.
    fn hint(&self) -> SizeHint {
        let kept: u64 = self.kept.iter().map(|chunk| chunk.len() as u64).sum();
        match self.inbound.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(kept + rest),
            None => SizeHint::new(),
        }
    }

    fn keep(&mut self, chunk: &Bytes) {
        self.room = self.room.and_then(|room| room.checked_sub(chunk.len()));
        match self.room {
            Some(_) => self.kept.push(chunk.clone()),
            None => self.kept = Vec::new(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        if self.ended {
            return Poll::Ready(
                self.trailers
                    .clone()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        let frame = match Pin::new(&mut self.inbound).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(fault))) => {
                self.fault = Some(fault);
                return Poll::Ready(Some(Err(Unsendable)));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => {
                self.keep(&chunk);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                trailers.remove(http::header::AUTHORIZATION);
                trailers.remove(&self.credential);
                self.ended = true;
                self.trailers = Some(trailers.clone());
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }
}

/// A request's body for one sending.
pub(super) enum Outgoing {
    /// There is none.
    Nothing,
    /// What is kept, then what still comes.
    Some(Reader),
}

/// Reads a held body from its beginning.
pub(super) struct Reader {
    source: Arc<Mutex<Source>>,
    sending: u32,
    next: usize,
    hint: SizeHint,
}

/// The body cannot be sent to its end; [`Held::fault`] says why, or it was sent anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsendable;

impl std::fmt::Display for Unsendable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request's body did not come to its end")
    }
}

impl std::error::Error for Unsendable {}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Unsendable;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        let Self::Some(reader) = &mut *self else {
            return Poll::Ready(None);
        };
        let mut held = lock(&reader.source);
        if held.sending != reader.sending {
            return Poll::Ready(Some(Err(Unsendable)));
        }
        if let Some(chunk) = held.kept.get(reader.next) {
            reader.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        let frame = held.poll(cx);
        reader.next = held.kept.len();
        frame
    }

    fn is_end_stream(&self) -> bool {
        let Self::Some(reader) = self else {
            return true;
        };
        let held = lock(&reader.source);
        let read = reader.next >= held.kept.len();
        read && held.trailers.is_none() && (held.ended || held.inbound.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Some(reader) => reader.hint,
        }
    }
}
