//! A request's body on its way out, noting whose turn it is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::SendBody;
use super::expect::Leave;
use super::progress::Progress;

/// Why a body did not come to its end, in whoever's words.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body that tells a [`Progress`] when it has handed something out.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    // Empty only after `into_inner`.
    body: Option<B>,
    progress: Arc<Progress>,
    leave: Option<Leave>,
}

impl<B: Body> Outgoing<B> {
    pub(super) fn new(body: B, progress: &Arc<Progress>) -> Self {
        if !body.is_end_stream() {
            progress.sends();
        }
        Self {
            body: Some(body),
            progress: Arc::clone(progress),
            leave: None,
        }
    }
}

impl<B> Outgoing<B> {
    /// The same, nothing of which is asked for before it has leave.
    pub(super) fn after(mut self, leave: Option<Leave>) -> Self {
        self.leave = leave;
        self
    }

    /// The body, untouched; nothing only if it was taken before.
    pub(super) fn into_inner(mut self) -> Option<B> {
        self.body.take()
    }
}

impl<B> Drop for Outgoing<B> {
    /// hyper drops a body when it has ended.
    fn drop(&mut self) {
        if self.body.is_some() {
            self.progress.sent();
        }
    }
}

impl<B: SendBody> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(leave) = &mut self.leave {
            let wanted = ready!(leave.poll(cx));
            self.leave = None;
            wanted.inspect_err(|_| self.body = None)?;
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx).map_err(Into::into);
        if frame.is_pending() {
            self.progress.awaited();
        } else {
            self.progress.handed();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
