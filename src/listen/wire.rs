//! A connection from the service, as hyper sees it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::metrics::Open;
use super::pulse::{Pulse, Stage};

/// How long after an end we look whether the body came whole. Whoever takes the body needs no time
/// for that but its turn.
const LOOK: Duration = Duration::from_millis(20);

/// How many bytes a head and a body may have together to be written as one piece.
const SHORT: usize = 2048;

/// What was accepted.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream that notes its traffic in a [`Pulse`] and first replays what was read to find out
/// the protocol. What admitted it is released when the socket is closed, wherever it is then.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    replay: Bytes,
    pulse: Arc<Pulse>,
    /// What is done about a client that ends its own side while it waits for an answer.
    end: End,
    _admission: (OwnedSemaphorePermit, Open),
}

/// Whether hyper is told at once that the client has ended its own side.
#[derive(Debug)]
enum End {
    /// It is.
    Told,
    /// It is not while the client waits for an answer and not so much time passes in silence.
    Kept(Option<Duration>),
    /// The end has come.
    Found {
        silence: Option<Duration>,
        timer: Option<Pin<Box<Sleep>>>,
        /// When we look again whether all of the body came before it.
        look: Option<Pin<Box<Sleep>>>,
    },
}

impl Wire {
    pub(super) fn new(
        stream: Stream,
        pulse: Arc<Pulse>,
        permit: OwnedSemaphorePermit,
        open: Open,
    ) -> Self {
        Self {
            stream,
            replay: Bytes::new(),
            pulse,
            end: End::Told,
            _admission: (permit, open),
        }
    }

    /// Gives back what was read, to be read again.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.replay = bytes;
    }

    /// Keeps it from hyper for so long, or for ever, that the client has ended its own side while
    /// it waits for an answer.
    ///
    /// A client that is gone looks the same as one that has nothing more to ask and still
    /// listens (RFC 9112 §9.6), until it is sent something. hyper would either give up both at
    /// once or keep the calls of both; so it is told when nothing could be written for a while.
    /// Over a Unix socket the two can be told apart, and one that is gone is told at once.
    pub(super) fn keep_end(&mut self, silence: Option<Duration>) {
        self.end = End::Kept(silence);
    }

    /// Closes it so that the client sees it broken; what it has not taken yet is lost.
    pub(super) fn reset(self) {
        // A Unix socket knows no such end.
        if let Stream::Tcp(stream) = &self.stream {
            // Without it the end is an ordinary one, as it is for the others.
            let _ = stream.set_zero_linger();
        }
    }

    /// What a read that found the end comes to.
    fn ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let End::Kept(_) = self.end
            && self.is_gone()
        {
            self.end = End::Told;
        }
        if let End::Kept(silence) = self.end {
            self.end = End::Found {
                silence,
                timer: silence.map(|silence| Box::pin(sleep(silence))),
                look: None,
            };
        }
        let End::Found { timer, look, .. } = &mut self.end else {
            return Poll::Ready(Ok(()));
        };
        let stage = self.pulse.stage();
        if stage == Stage::Between {
            return Poll::Ready(Ok(()));
        }
        if stage != Stage::Answer && is_cut(look, stage, cx) {
            return Poll::Ready(Ok(()));
        }
        match timer {
            Some(timer) => timer.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }

    /// True when it is known that nobody listens any more. Where the peer of a Unix socket has closed
    /// it, and not only ended its own side, the system takes no write, not even one of nothing.
    fn is_gone(&self) -> bool {
        let Stream::Unix(stream) = &self.stream else {
            return false;
        };
        let written = stream.try_write(&[]);
        written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Ends when there is something to read, or the peer has closed. Cancel-safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        if !self.replay.is_empty() {
            return Ok(());
        }
        match &self.stream {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
        }
    }

    fn noted(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_pending() {
            self.pulse.stalled();
        } else {
            self.pulse.written();
            if let End::Found {
                silence: Some(silence),
                timer: Some(timer),
                ..
            } = &mut self.end
            {
                timer.as_mut().reset(Instant::now() + *silence);
            }
        }
        outcome
    }
}

/// True once it is clear that the end which was found cuts a body. hyper may have read all of one
/// that nobody has taken yet; so whoever takes it is waited for.
fn is_cut(look: &mut Option<Pin<Box<Sleep>>>, stage: Stage, cx: &mut Context<'_>) -> bool {
    let look = look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
    while look.as_mut().poll(cx).is_ready() {
        if stage == Stage::Body {
            return true;
        }
        look.as_mut().reset(Instant::now() + LOOK);
    }
    false
}

/// The pieces one behind the other in `room`, if it is large enough.
fn join<'a>(bufs: &[IoSlice<'_>], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for buf in bufs {
        let end = length + buf.len();
        room.get_mut(length..end)?.copy_from_slice(buf);
        length = end;
    }
    room.get(..length)
}

/// Hands a poll on to whichever stream there is.
macro_rules! each {
    ($wire:expr, $stream:ident => $call:expr) => {
        match &mut $wire.stream {
            Stream::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.replay.is_empty() {
            let count = this.replay.len().min(buf.remaining());
            buf.put_slice(&this.replay.split_to(count));
            return Poll::Ready(Ok(()));
        }
        if let End::Found { .. } = this.end {
            return this.ended(cx);
        }
        let before = buf.filled().len();
        ready!(each!(this, stream => stream.poll_read(cx, buf)))?;
        if buf.filled().len() == before && buf.remaining() > 0 {
            return this.ended(cx);
        }
        this.pulse.read();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = each!(self, stream => stream.poll_write(cx, buf));
        self.noted(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        // The plain call costs the system less, by more than it takes to copy a short answer.
        let mut room = [0; SHORT];
        if let Some(joined) = join(bufs, &mut room) {
            return self.poll_write(cx, joined);
        }
        let outcome = each!(self, stream => stream.poll_write_vectored(cx, bufs));
        self.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let End::Found { .. } = self.end
            && self.pulse.stage() == Stage::Between
        {
            // The answer is out, and hyper waits to be told that there is something to read.
            cx.waker().wake_by_ref();
        }
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_where_there_is_room() {
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
        assert_eq!(join(&bufs, &mut [0; 4]), Some(&b"abcd"[..]));
        assert_eq!(join(&bufs, &mut [0; 5]), Some(&b"abcd"[..]));
        assert_eq!(join(&bufs, &mut [0; 3]), None);
        assert_eq!(join(&[], &mut [0; 3]), Some(&b""[..]));
    }
}
