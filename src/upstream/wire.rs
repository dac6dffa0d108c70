//! A connection to an upstream that stands: TCP, with or without TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::metrics::Open;

/// A connection to an upstream. Writes are vectored, so that a head and a body leave together.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    open: Option<Open>,
    /// Whether the upstream takes nothing any more.
    deaf: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    // Boxed: its state is twenty times as large.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self {
            stream: Stream::Tcp(stream),
            open: None,
            deaf: false,
        }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self {
            stream: Stream::Tls(Box::new(stream)),
            open: None,
            deaf: false,
        }
    }

    /// Counts as open until the socket is closed, wherever it is then.
    pub(super) fn counted(mut self, open: Open) -> Self {
        self.open = Some(open);
        self
    }

    /// What a write comes to. One that finds the upstream gone is no error yet: an upstream that
    /// wants no more of a request answers and closes, and its answer is there to be read. Where it
    /// has said nothing, reading says so. What is written from now on is dropped.
    fn heard(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match outcome {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                self.deaf = true;
                Poll::Ready(Ok(length))
            }
            outcome => outcome,
        }
    }

    /// True when ALPN chose HTTP/2.
    pub fn is_h2(&self) -> bool {
        match &self.stream {
            Stream::Tcp(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// Hands a poll on to whichever stream there is.
macro_rules! each {
    ($wire:expr, $stream:ident => $call:expr) => {
        match &mut $wire.get_mut().stream {
            Stream::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = each!(self.as_mut(), stream => stream.poll_write(cx, buf));
        self.heard(outcome, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = || bufs.iter().map(|buf| buf.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(length()));
        }
        let outcome = match bufs {
            // A head alone. The plain call costs the system less.
            [only] => each!(self.as_mut(), stream => stream.poll_write(cx, only)),
            bufs => each!(self.as_mut(), stream => stream.poll_write_vectored(cx, bufs)),
        };
        match outcome {
            Poll::Ready(Err(_)) => self.heard(outcome, length()),
            outcome => outcome,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        // TLS may have taken what it can only write now.
        let outcome = each!(self.as_mut(), stream => stream.poll_flush(cx));
        let outcome = outcome.map_ok(|()| 0);
        self.heard(outcome, 0).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
