//! An answer's body on its way out; while it lives, its request runs.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::pulse::Flight;

/// An answer's body that keeps its request noted as running.
#[derive(Debug)]
pub(super) struct Outbound<B> {
    body: B,
    flight: Flight,
    /// What its reader speaks.
    version: Version,
}

impl<B> Outbound<B> {
    pub(super) fn new(body: B, flight: Flight, version: Version) -> Self {
        Self {
            body,
            flight,
            version,
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
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(_))) = frame
            && self.version == Version::HTTP_10
        {
            self.flight.breaks_off();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
