//! What HTTP/2 writes to a client, held back while those who are about to write have their turn.
//!
//! The library writes each answer by itself, since it chains a body to its head rather than copy it.
//! Held back once round the run queue, answers that came together leave in one call of the system.
//!
//! What always holds: nothing is held back beyond [`ROOM`] or [`ROUNDS`], and nothing at all for the
//! sake of tasks that are not ready to run.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are held back at most: longer bodies are worth a call of their own.
const ROOM: usize = 16 * 1024;

/// How often the run queue is gone through for more, at most.
const ROUNDS: u32 = 16;

/// A wire whose writes are held back.
#[derive(Debug)]
pub(super) struct Cork<W> {
    wire: W,
    held: Vec<u8>,
    /// How much of it the wire has taken.
    taken: usize,
    /// Whether anything was added since the run queue was last gone through.
    grown: bool,
    rounds: u32,
}

impl<W: AsyncWrite + Unpin> Cork<W> {
    pub(super) fn new(wire: W) -> Self {
        Self {
            wire,
            held: Vec::new(),
            taken: 0,
            grown: false,
            rounds: 0,
        }
    }

    /// Writes what is held back.
    fn poll_pour(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.taken..)
            && !rest.is_empty()
        {
            match ready!(Pin::new(&mut self.wire).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.taken += count,
            }
        }
        self.held.clear();
        self.taken = 0;
        self.rounds = 0;
        Poll::Ready(Ok(()))
    }

    /// True if it is worth a round through the run queue to wait for more.
    fn waits_for_more(&mut self) -> bool {
        let waits = std::mem::take(&mut self.grown) && self.rounds < ROUNDS;
        self.rounds += u32::from(waits);
        waits
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Cork<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Cork<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.held.len() + buf.len() > ROOM {
            ready!(this.poll_pour(cx))?;
            if buf.len() > ROOM {
                return Pin::new(&mut this.wire).poll_write(cx, buf);
            }
        }
        this.held.extend_from_slice(buf);
        this.grown = true;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waits_for_more() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_pour(cx))?;
        Pin::new(&mut this.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_pour(cx))?;
        Pin::new(&mut this.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Remembers each write.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<usize>>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(buf.len());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn corked() -> (Cork<Writes>, Writes) {
        let writes = Writes::default();
        (Cork::new(writes.clone()), writes)
    }

    async fn write(cork: Arc<tokio::sync::Mutex<Cork<Writes>>>, count: usize) {
        cork.lock().await.write_all(&vec![0; count]).await.unwrap();
    }

    #[tokio::test]
    async fn what_comes_while_it_waits_leaves_with_it() {
        let (cork, writes) = corked();
        let cork = Arc::new(tokio::sync::Mutex::new(cork));
        for count in 1..4 {
            tokio::spawn(write(Arc::clone(&cork), count));
        }
        tokio::task::yield_now().await;
        cork.lock().await.flush().await.unwrap();
        assert_eq!(*writes.0.lock().unwrap(), [6]);
    }

    #[tokio::test]
    async fn nothing_is_held_back_for_long() {
        let (mut cork, writes) = corked();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..ROUNDS {
            cork.write_all(b"x").await.unwrap();
            assert!(Pin::new(&mut cork).poll_flush(&mut cx).is_pending());
        }
        cork.write_all(b"x").await.unwrap();
        assert!(Pin::new(&mut cork).poll_flush(&mut cx).is_ready());
        assert_eq!(*writes.0.lock().unwrap(), [17]);
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_leaves_at_once_and_in_order() {
        let (mut cork, writes) = corked();
        cork.write_all(&[0; 10]).await.unwrap();
        cork.write_all(&vec![0; ROOM]).await.unwrap();
        cork.write_all(&vec![0; ROOM + 1]).await.unwrap();
        cork.write_all(&[0; 5]).await.unwrap();
        cork.shutdown().await.unwrap();
        assert_eq!(*writes.0.lock().unwrap(), [10, ROOM, ROOM + 1, 5]);
    }
}
