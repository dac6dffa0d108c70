//! How old a stream may become, and how it ends then.
//!
//! What always holds: an answer whose end its reader would take for the whole is cut, never ended.
//! Only formats that say by themselves what an early end means are ended well.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use super::outbound::Broken;

/// What gRPC's clients are told: `UNAVAILABLE`, after which they call again.
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// The age of an answer.
#[derive(Debug)]
pub(super) struct Age {
    over: Pin<Box<Sleep>>,
    limit: Duration,
    ending: Ending,
}

/// How an answer ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its reader must see that something is missing.
    Cut,
    /// It is a sequence of events, and its reader comes back for more (HTML, 9.2.3).
    Events,
    /// Its trailers say how the call ended, as those of gRPC do.
    Status,
    /// It has ended.
    Ended,
}

impl Age {
    /// An answer with this head begins now.
    pub(super) fn new(limit: Duration, head: &HeaderMap) -> Self {
        Self {
            over: Box::pin(sleep(limit)),
            limit,
            ending: Ending::of(head),
        }
    }

    /// Ready when it is too old, with what the reader gets instead of the rest.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.ending == Ending::Ended {
            return Poll::Ready(None);
        }
        std::task::ready!(self.over.as_mut().poll(cx));
        let limit = self.limit.as_secs_f64();
        tracing::debug!(limit, "a stream has reached `max_stream_age`");
        Poll::Ready(match std::mem::replace(&mut self.ending, Ending::Ended) {
            Ending::Cut => Some(Err(Broken::Old)),
            Ending::Status => Some(Ok(Frame::trailers(unavailable()))),
            Ending::Events | Ending::Ended => None,
        })
    }

    /// True once it has been ended before its time.
    pub(super) fn has_ended(&self) -> bool {
        self.ending == Ending::Ended
    }
}

impl Ending {
    fn of(head: &HeaderMap) -> Self {
        let kind = head
            .get(CONTENT_TYPE)
            .map_or(&[][..], HeaderValue::as_bytes);
        let is = |name: &str| {
            let start = kind.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        if is("text/event-stream") {
            Self::Events
        } else if is("application/grpc") && !is("application/grpc-web") {
            Self::Status
        } else {
            Self::Cut
        }
    }
}

fn unavailable() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), UNAVAILABLE);
    let message = HeaderValue::from_static("the stream has reached its greatest age");
    trailers.insert(HeaderName::from_static("grpc-message"), message);
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_what_an_early_end_means_is_ended_well() {
        for (kind, expected) in [
            ("text/event-stream", Ending::Events),
            ("Text/Event-Stream; charset=utf-8", Ending::Events),
            ("application/grpc", Ending::Status),
            ("application/grpc+proto", Ending::Status),
            ("application/grpc-web+proto", Ending::Cut),
            ("application/json", Ending::Cut),
            ("", Ending::Cut),
        ] {
            let mut head = HeaderMap::new();
            head.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(Ending::of(&head), expected, "{kind}");
        }
        assert_eq!(Ending::of(&HeaderMap::new()), Ending::Cut);
    }
}
