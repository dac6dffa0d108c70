//! The body of an answer, which can break off on purpose.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// How long a body waits before it is cut, so that what went before is on the wire.
const FLUSH: Duration = Duration::from_millis(20);

/// The connection ends here, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// The body of an answer.
pub(super) struct Body {
    source: BodySource,
    length: Option<u64>,
    left: Option<u64>,
    flush: Option<Pin<Box<Sleep>>>,
}

enum BodySource {
    Ready(VecDeque<Frame<Bytes>>),
    Coming(mpsc::Receiver<Frame<Bytes>>),
}

impl Body {
    /// A body that is there as a whole, with the trailers after it.
    pub(super) fn whole(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        let length = trailers.is_none().then_some(content.len() as u64);
        let content = (!content.is_empty()).then(|| Frame::data(content));
        let frames = content.into_iter().chain(trailers.map(Frame::trailers));
        Self::new(BodySource::Ready(frames.collect()), length)
    }

    /// A body that comes bit by bit.
    pub(super) fn coming(frames: mpsc::Receiver<Frame<Bytes>>) -> Self {
        Self::new(BodySource::Coming(frames), None)
    }

    /// A body in pieces, with a pause before each but the first. They stop when nobody reads.
    pub(super) fn pieces(pieces: Vec<Bytes>, pause: Duration, trailers: Option<HeaderMap>) -> Self {
        let (sender, frames) = mpsc::channel(1);
        let pieces = pieces.into_iter().map(Frame::data);
        tokio::spawn(send(
            pieces.chain(trailers.map(Frame::trailers)),
            pause,
            sender,
        ));
        Self::coming(frames)
    }

    /// The same, broken off after this many bytes; the announced length stays.
    pub(super) fn cut_after(mut self, bytes: u64) -> Self {
        self.left = Some(bytes);
        self
    }

    fn new(source: BodySource, length: Option<u64>) -> Self {
        Self {
            source,
            length,
            left: None,
            flush: None,
        }
    }

    /// Lets the rest of the connection's work happen, then cuts.
    fn cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let flush = self
            .flush
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH)));
        flush.as_mut().poll(cx).map(|()| Cut)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.left == Some(0) {
            return self.cut(cx).map(|cut| Some(Err(cut)));
        }
        let frame = match &mut self.source {
            BodySource::Ready(frames) => frames.pop_front(),
            BodySource::Coming(frames) => ready!(frames.poll_recv(cx)),
        };
        let Some(left) = self.left else {
            return Poll::Ready(frame.map(Ok));
        };
        let Some(Ok(mut data)) = frame.map(Frame::into_data) else {
            // A cut that lies beyond the content cuts at its end, before the trailers.
            self.left = Some(0);
            return self.cut(cx).map(|cut| Some(Err(cut)));
        };
        data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.left = Some(left.saturating_sub(data.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Known beforehand only for a body that is there and empty; HTTP/2 then ends with the head.
    fn is_end_stream(&self) -> bool {
        let empty = matches!(&self.source, BodySource::Ready(frames) if frames.is_empty());
        empty && self.left.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

async fn send(
    frames: impl Iterator<Item = Frame<Bytes>>,
    pause: Duration,
    to: mpsc::Sender<Frame<Bytes>>,
) {
    for (place, frame) in frames.enumerate() {
        if place > 0 {
            tokio::time::sleep(pause).await;
        }
        if to.send(frame).await.is_err() {
            return;
        }
    }
}
