//! A request as the practice API saw it, written down while its body arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{Context as Hash, SHA256};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Uri, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::journal::Journal;

/// How much of a body is kept; the rest is only counted and hashed.
const KEPT: usize = 1024 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The number of the connection it came on, from 1.
    pub connection: u64,
    /// The method.
    pub method: Method,
    /// The target as it was sent.
    pub target: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    /// The first MiB of the body.
    pub body: Bytes,
    /// How many bytes of the body have come.
    pub length: u64,
    /// The trailers, once they have come.
    pub trailers: Option<HeaderMap>,
    /// How far it has got.
    pub state: Progress,
}

/// How far a request has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its body still comes, or came and nobody read it.
    Open,
    /// Its body came whole; this is its SHA-256 hash.
    Whole([u8; 32]),
    /// Its body broke off.
    Broken,
}

impl Recorded {
    /// The path and query as they were sent.
    pub fn path(&self) -> &str {
        self.target
            .path_and_query()
            .map_or("", http::uri::PathAndQuery::as_str)
    }

    /// The first value of a header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bearer token it carried (RFC 6750 §2.1).
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The SHA-256 hash of its body, once that has come whole.
    pub fn hash(&self) -> Option<[u8; 32]> {
        match self.state {
            Progress::Whole(hash) => Some(hash),
            Progress::Open | Progress::Broken => None,
        }
    }
}

/// A request's body that writes itself into the journal as it is read.
pub(super) struct Tap {
    body: Incoming,
    journal: Journal<Recorded>,
    place: usize,
    hash: Option<Hash>,
}

impl Tap {
    /// Writes `request` down; its body is recorded as it is read.
    pub(super) fn new(
        connection: u64,
        request: http::Request<Incoming>,
        journal: Journal<Recorded>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let place = journal.push(Recorded {
            connection,
            method: head.method,
            target: head.uri,
            version: head.version,
            headers: head.headers,
            body: Bytes::new(),
            length: 0,
            trailers: None,
            state: Progress::Open,
        });
        let mut tap = Self {
            body,
            journal,
            place,
            hash: Some(Hash::new(&SHA256)),
        };
        if tap.body.is_end_stream() {
            tap.finish();
        }
        tap
    }

    /// Reads to the end for the record alone.
    pub(super) async fn drain(mut self) -> Result<(), hyper::Error> {
        while let Some(frame) = self.frame().await {
            frame?;
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame<Bytes>) {
        if let (Some(data), Some(hash)) = (frame.data_ref(), &mut self.hash) {
            hash.update(data);
        }
        self.journal.update(self.place, |recorded| {
            if let Some(data) = frame.data_ref() {
                recorded.length += data.len() as u64;
                let room = KEPT.saturating_sub(recorded.body.len());
                let mut body = BytesMut::from(std::mem::take(&mut recorded.body));
                body.extend_from_slice(data.get(..room).unwrap_or(data));
                recorded.body = body.freeze();
            }
            if let Some(trailers) = frame.trailers_ref() {
                recorded.trailers = Some(trailers.clone());
            }
        });
    }

    fn finish(&mut self) {
        let Some(hash) = self.hash.take() else { return };
        let hash = hash.finish();
        let hash = hash.as_ref().try_into().unwrap_or([0; 32]);
        self.journal.update(self.place, |recorded| {
            recorded.state = Progress::Whole(hash);
        });
    }
}

impl Body for Tap {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.take(frame),
            Some(Err(_)) => {
                self.hash = None;
                self.journal
                    .update(self.place, |recorded| recorded.state = Progress::Broken);
            }
            None => self.finish(),
        }
        Poll::Ready(frame)
    }
}
