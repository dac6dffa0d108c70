//! A connection from the service, as hyper sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;

use super::metrics::Open;
use super::pulse::Pulse;

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
    _admission: (OwnedSemaphorePermit, Open),
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
            _admission: (permit, open),
        }
    }

    /// Gives back what was read, to be read again.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.replay = bytes;
    }

    fn noted(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_pending() {
            self.pulse.stalled();
        } else {
            self.pulse.written();
        }
        outcome
    }
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
        let before = buf.filled().len();
        ready!(each!(this, stream => stream.poll_read(cx, buf)))?;
        if buf.filled().len() > before {
            this.pulse.read();
        }
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
        let outcome = each!(self, stream => stream.poll_write_vectored(cx, bufs));
        self.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
