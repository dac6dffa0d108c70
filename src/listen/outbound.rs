//! An answer's body on its way out; while it lives, its request runs.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pulse::Flight;

/// An answer's body that keeps its request noted as running.
#[derive(Debug)]
pub(super) struct Outbound<B> {
    body: B,
    _flight: Flight,
}

impl<B> Outbound<B> {
    pub(super) fn new(body: B, flight: Flight) -> Self {
        Self {
            body,
            _flight: flight,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outbound<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
