//! A body whose first piece is taken before its head leaves, so that both leave in one write.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Looks whether the first piece of `body` is there already, and keeps it if so.
///
/// Where it is not, the task goes once to the end of the run queue and looks again: the task
/// that reads the other connection usually stands in that queue with the piece in its hands.
/// It never waits longer, so a stream that is silent at first is handed on as it is. The
/// runtime's own `yield_now` would not do: it comes back only after a round through the
/// system's event queue, which costs more than the write that is saved.
pub fn peek<B>(body: B) -> Peek<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    Peek {
        body: Some(body),
        yielded: false,
    }
}

/// The future of [`peek`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Peek<B> {
    body: Option<B>,
    yielded: bool,
}

impl<B> Future for Peek<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Peeked<B>;

    /// Never ready twice: after it was, it stays pending.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Peeked<B>> {
        let Some(mut body) = self.body.take() else {
            return Poll::Pending;
        };
        if body.is_end_stream() {
            return Poll::Ready(Peeked::new(body, Held::Nothing));
        }
        match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Peeked::new(body, Held::Frame(frame))),
            Poll::Ready(None) => Poll::Ready(Peeked::new(body, Held::End)),
            Poll::Pending if self.yielded => Poll::Ready(Peeked::new(body, Held::Nothing)),
            Poll::Pending => {
                self.yielded = true;
                self.body = Some(body);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// A body with its first piece, if that was there. Nothing is lost and the order is kept.
#[derive(Debug)]
pub struct Peeked<B: Body> {
    held: Held<B::Error>,
    body: B,
}

#[derive(Debug)]
enum Held<E> {
    Nothing,
    Frame(Result<Frame<Bytes>, E>),
    End,
}

impl<E> Held<E> {
    fn bytes(&self) -> u64 {
        match self {
            Self::Frame(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => 0,
        }
    }
}

impl<B: Body<Data = Bytes>> Peeked<B> {
    fn new(body: B, held: Held<B::Error>) -> Self {
        Self { held, body }
    }

    /// A body whose next piece was taken by somebody else and is put back.
    pub fn holding(next: Result<Frame<Bytes>, B::Error>, body: B) -> Self {
        Self::new(body, Held::Frame(next))
    }

    /// The body behind, to ask it something.
    pub fn get_ref(&self) -> &B {
        &self.body
    }
}

// The kept piece is never pinned.
impl<B: Body + Unpin> Unpin for Peeked<B> {}

impl<B> Body for Peeked<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => Pin::new(&mut self.body).poll_frame(cx),
            Held::Frame(frame) => Poll::Ready(Some(frame)),
            Held::End => {
                self.held = Held::End;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.held {
            Held::Nothing => self.body.is_end_stream(),
            Held::Frame(_) => false,
            Held::End => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        if let Held::End = self.held {
            return SizeHint::with_exact(0);
        }
        let (rest, kept) = (self.body.size_hint(), self.held.bytes());
        let mut whole = SizeHint::new();
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(kept));
        }
        whole.set_lower(rest.lower().saturating_add(kept));
        whole
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;

    use http_body_util::BodyExt;

    use super::*;

    /// What a poll of the scripted body does.
    #[derive(Clone, Debug)]
    enum Step {
        Wait,
        Piece(&'static str),
        Fail,
    }
    use Step::{Fail, Piece, Wait};

    #[derive(Debug)]
    struct Script(VecDeque<Step>);

    impl Body for Script {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(Piece(text)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(text))))),
                Some(Fail) => Poll::Ready(Some(Err(io::Error::other("cut")))),
                Some(Wait) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }

        fn size_hint(&self) -> SizeHint {
            let pieces = self.0.iter().map(|step| match step {
                Piece(text) => text.len() as u64,
                _ => 0,
            });
            SizeHint::with_exact(pieces.sum())
        }
    }

    #[tokio::test]
    async fn the_first_piece_is_kept_and_nothing_is_lost() {
        for (steps, kept) in [
            (vec![Piece("ab"), Piece("c")], 2),
            (vec![Wait, Piece("ab"), Piece("c")], 2),
            (vec![Wait, Wait, Piece("abc")], 0),
            (vec![Piece("abc")], 3),
        ] {
            let body = peek(Script(steps.clone().into())).await;
            assert_eq!(body.held.bytes(), kept, "{steps:?}");
            assert_eq!(body.size_hint().exact(), Some(3), "{steps:?}");
            assert!(!body.is_end_stream());
            assert_eq!(body.collect().await.unwrap().to_bytes(), "abc", "{steps:?}");
        }
    }

    #[tokio::test]
    async fn a_piece_that_is_put_back_comes_first() {
        let rest = Script([Piece("c")].into());
        let body = Peeked::holding(Ok(Frame::data(Bytes::from("ab"))), rest);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        let body = Peeked::holding(Err(io::Error::other("cut")), Script(VecDeque::new()));
        assert!(!body.is_end_stream());
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn an_end_at_once_is_an_end() {
        let body = peek(Script(VecDeque::new())).await;
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_kept_as_well() {
        let body = peek(Script([Wait, Fail].into())).await;
        assert_eq!(body.collect().await.unwrap_err().to_string(), "cut");
    }
}
