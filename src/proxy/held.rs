//! A request's body on its way out: streamed, with its first bytes kept so that it can be sent again.
//!
//! What always holds: a body is never whole in memory beyond the limit; it is not polled before
//! there is a token; and only the newest [`Outgoing`] of a request may read the caller's body.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::kept::Kept;
use super::route::Route;
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
    kept: Kept,
    trailers: Option<HeaderMap>,
    /// A piece that was taken early and is not kept.
    ahead: Option<Result<Frame<Bytes>, Unsendable>>,
    /// Whether the caller was asked for anything of it.
    asked: bool,
    ended: bool,
    fault: Option<InboundError>,
    /// Counts the sendings; an [`Outgoing`] of an earlier one reads nothing any more.
    sending: u32,
    ending: Ending,
    /// Whether the sending that runs may read on.
    turn: Turn,
    /// Who waits for more. A later sending tells it that it waits in vain, or its connection
    /// would stay open until the upstream ends it.
    waiting: Option<Waker>,
    /// Whose fields the caller cannot set, in trailers neither, and who counts the bytes.
    route: Arc<Route>,
}

/// What may stand behind a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Nothing, where its length is known.
    Plain,
    /// Trailers, whatever is known of its length.
    Trailers,
}

/// Whether a sending may read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It reads as fast as it can send.
    Reads,
    /// Its answer rejects the token; whether it is sent anew is not decided yet.
    Waits,
}

impl Held {
    /// Holds a request's body, keeping as much of it as its route says.
    pub(super) fn new(inbound: Inbound, route: &Arc<Route>) -> Self {
        if inbound.is_end_stream() {
            return Self::Nothing;
        }
        Self::Some(Arc::new(Mutex::new(Source {
            inbound,
            kept: Kept::new(route.settings.replay_max.len()),
            trailers: None,
            ahead: None,
            asked: false,
            ended: false,
            fault: None,
            sending: 0,
            ending: Ending::Plain,
            turn: Turn::Reads,
            waiting: None,
            route: Arc::clone(route),
        })))
    }

    /// Trailers may follow it: HTTP/2 can have them behind a declared length, HTTP/1.1 only behind
    /// a body of unknown length.
    pub(super) fn expect_trailers(&self) {
        if let Self::Some(source) = self {
            lock(source).ending = Ending::Trailers;
        }
    }

    /// The body for one sending, from its beginning. Nothing when its beginning is no longer kept.
    pub(super) fn send(&self) -> Option<Outgoing> {
        let Self::Some(source) = self else {
            return Some(Outgoing::Nothing);
        };
        let mut held = lock(source);
        held.kept.gather();
        let left = held.length();
        if held.sending > 0 && !held.kept.is_whole() || held.fault.is_some() {
            return None;
        }
        held.sending += 1;
        held.turn = Turn::Reads;
        let sending = held.sending;
        let waiting = held.waiting.take();
        drop(held);
        if let Some(earlier) = waiting {
            earlier.wake();
        }
        Some(Outgoing::Some(Reader {
            source: Arc::clone(source),
            sending,
            next: 0,
            trailers: Trailers::ToCome,
            left,
        }))
    }

    /// Looks whether the first piece is there already, so that it leaves in one write with the
    /// head; never waits longer than one turn of the run queue (see [`crate::body::peek`]).
    pub(super) async fn warm(&self) {
        let Self::Some(source) = self else { return };
        let mut yielded = false;
        poll_fn(|cx| {
            let there = lock(source).look_ahead(cx);
            if there || yielded {
                return Poll::Ready(());
            }
            yielded = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Lets the sending that runs read no further, so that what is kept stays the whole beginning
    /// until it is known whether it is sent anew.
    pub(super) fn pause(&self) {
        if let Self::Some(source) = self {
            lock(source).turn = Turn::Waits;
        }
    }

    /// Lets the sending that runs read on: it is the only one.
    pub(super) fn resume(&self) {
        let Self::Some(source) = self else { return };
        let mut held = lock(source);
        held.turn = Turn::Reads;
        let waiting = held.waiting.take();
        drop(held);
        if let Some(reader) = waiting {
            reader.wake();
        }
    }

    /// True for a body of which the caller was asked nothing.
    pub(super) fn is_unasked(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(source) => !lock(source).asked,
        }
    }

    /// True when it can be sent again from its beginning.
    pub(super) fn replayable(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Some(source) => {
                let held = lock(source);
                held.kept.is_whole() && held.fault.is_none()
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
    /// The whole body's length, if it is known and may be told: what is kept and what is still to come.
    fn length(&self) -> Option<u64> {
        if self.ending == Ending::Trailers {
            return None;
        }
        let kept: u64 = (self.kept.pieces().iter())
            .map(|chunk| chunk.len() as u64)
            .sum();
        let rest = self.inbound.size_hint().exact();
        rest.map(|rest| rest.saturating_add(kept))
    }

    /// Takes the next piece if it is there, and keeps it for the next who asks.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ahead.is_some() || !self.kept.pieces().is_empty() {
            return true;
        }
        let Poll::Ready(frame) = self.poll(cx) else {
            return false;
        };
        // What is kept for a replay is given from there.
        self.ahead = frame.filter(|_| self.kept.pieces().is_empty());
        true
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        if let Some(frame) = self.ahead.take() {
            return Poll::Ready(Some(frame));
        }
        if self.ended {
            let trailers = self.trailers.clone();
            return Poll::Ready(trailers.map(Frame::trailers).map(Ok));
        }
        self.asked = true;
        let frame = match Pin::new(&mut self.inbound).poll_frame(cx) {
            Poll::Pending => {
                self.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(None) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(fault))) => {
                self.fault = Some(fault);
                return Poll::Ready(Some(Err(Unsendable::new())));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => {
                self.route.metrics.request_bytes.inc_by(chunk.len() as u64);
                self.kept.keep(&chunk);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                self.route.strip_trailers(&mut trailers);
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
    trailers: Trailers,
    /// How much it has yet to give, where that is known.
    left: Option<u64>,
}

/// How far a reader is with the trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailers {
    /// If there are any, it has yet to give them.
    ToCome,
    /// It gave them, and they are the end.
    Given,
}

impl Reader {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        let mut held = lock(&self.source);
        if held.sending != self.sending {
            return Poll::Ready(Some(Err(Unsendable::new())));
        }
        if self.trailers == Trailers::Given {
            return Poll::Ready(None);
        }
        if held.turn == Turn::Waits {
            held.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let frame = if let Some(chunk) = held.kept.pieces().get(self.next) {
            self.next += 1;
            Poll::Ready(Some(Ok(Frame::data(chunk.clone()))))
        } else {
            let frame = held.poll(cx);
            self.next = held.kept.pieces().len();
            frame
        };
        drop(held);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.given(frame);
        }
        frame
    }

    fn given(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) => {
                let length = data.len() as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
            }
            None => self.trailers = Trailers::Given,
        }
    }
}

/// The body cannot be sent to its end; [`Held::fault`] says why, or it was sent anew.
///
/// Over HTTP/2 the upstream is told that nobody needs the stream any more, and not that something
/// went wrong here: hyper looks for the code among the causes.
#[derive(Debug)]
pub(super) struct Unsendable(h2::Error);

impl Unsendable {
    fn new() -> Self {
        Self(h2::Reason::CANCEL.into())
    }
}

impl std::fmt::Display for Unsendable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request's body did not come to its end")
    }
}

impl std::error::Error for Unsendable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

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
        reader.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let Self::Some(reader) = self else {
            return true;
        };
        if reader.trailers == Trailers::Given {
            return true;
        }
        let held = lock(&reader.source);
        let read = reader.next >= held.kept.pieces().len();
        let nothing_left = read && held.ahead.is_none() && held.trailers.is_none();
        nothing_left && (held.ended || held.inbound.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Some(reader) => reader.left.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}
