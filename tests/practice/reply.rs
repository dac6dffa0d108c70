//! Answers as a test scripts them: what is sent, when, and how it breaks off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::watch;

use super::body::{Body, Cut};
use super::wire::Connection;

/// One scripted answer.
///
/// It begins as [`Reply::regular`] or as one that says what is sent instead, and is then bent:
/// later, held, cut. Everything that delays comes after the server has done its own work.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) act: Act,
    pub(super) work: Work,
    pub(super) early: bool,
    pub(super) close: bool,
    delay: Duration,
    gate: Option<Gate>,
    cut: Option<u64>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// What the server says by itself.
    Regular,
    /// This, whatever was asked.
    Canned(Box<Canned>),
    /// The connection is closed (or the stream reset) without an answer.
    HangUp,
    /// Nothing, ever.
    Silence,
}

/// An answer that does not depend on the question.
#[derive(Clone, Debug)]
pub(super) struct Canned {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    pub(super) trailers: Option<HeaderMap>,
}

/// The content of a canned answer.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Whole(Bytes),
    Pieces(Vec<Bytes>, Duration),
    Echo,
}

/// Whether the server does what it was asked before it gives a scripted answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Skip,
    Do,
}

impl Reply {
    /// What the server says by itself.
    pub fn regular() -> Self {
        Self::new(Act::Regular, Work::Do)
    }

    /// This status, without content.
    pub fn status(status: u16) -> Self {
        let canned = Canned {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: HeaderMap::new(),
            payload: Payload::Whole(Bytes::new()),
            trailers: None,
        };
        Self::new(Act::Canned(Box::new(canned)), Work::Skip)
    }

    /// This status with a JSON value.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::status(status)
            .header("content-type", "application/json")
            .body(value.to_string())
    }

    /// This status with a page for people, as gateways and captive portals send it.
    pub fn html(status: u16) -> Self {
        Self::status(status)
            .header("content-type", "text/html; charset=utf-8")
            .body("<!doctype html><title>Something else</title><h1>This is no API</h1>")
    }

    /// A redirect to `location`.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    /// The request's own body, sent back while it arrives.
    pub fn echo() -> Self {
        Self::status(200).payload(Payload::Echo)
    }

    /// Pieces with a pause before each but the first.
    pub fn pieces<P: Into<Bytes>>(pieces: impl IntoIterator<Item = P>, pause: Duration) -> Self {
        let pieces = pieces.into_iter().map(Into::into).collect();
        Self::status(200).payload(Payload::Pieces(pieces, pause))
    }

    /// Server-sent events that carry the numbers from 1 to `count`.
    pub fn events(count: usize, pause: Duration) -> Self {
        Self::pieces(
            (1..=count).map(|number| format!("data: {number}\n\n")),
            pause,
        )
        .header("content-type", "text/event-stream")
    }

    /// No answer: the connection is closed, or the stream reset.
    pub fn hang_up() -> Self {
        Self::new(Act::HangUp, Work::Skip)
    }

    /// No answer, and no end either.
    pub fn silence() -> Self {
        Self::new(Act::Silence, Work::Skip)
    }

    /// With this header field as well. One that is malformed is left out.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name);
        if let (Act::Canned(canned), Ok(name), Ok(value)) =
            (&mut self.act, name, HeaderValue::try_from(value))
        {
            canned.headers.append(name, value);
        }
        self
    }

    /// With this content.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let payload = Payload::Whole(body.into());
        self.payload(payload)
    }

    /// With these trailers after the content.
    pub fn trailers(mut self, fields: HeaderMap) -> Self {
        if let Act::Canned(canned) = &mut self.act {
            canned.trailers = Some(fields);
        }
        self
    }

    /// After the server has done what it was asked: the refresh token is spent, only the answer
    /// is another.
    pub fn after_commit(mut self) -> Self {
        self.work = Work::Do;
        self
    }

    /// Without waiting for the end of the request's body.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// This much later.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Not before `gate` is opened.
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Cut after this many bytes of the content; the head still says how many were meant.
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// And the connection is closed after it, without a word before.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    fn new(act: Act, work: Work) -> Self {
        Self {
            act,
            work,
            early: false,
            close: false,
            delay: Duration::ZERO,
            gate: None,
            cut: None,
        }
    }

    fn payload(mut self, payload: Payload) -> Self {
        if let Act::Canned(canned) = &mut self.act {
            canned.payload = payload;
        }
        self
    }

    /// Gives this answer where the server's own would be `regular`; an echo needs the request's
    /// body and is the API's to give.
    pub(super) async fn give(
        &self,
        connection: &Connection,
        regular: Option<Response<Body>>,
    ) -> Result<Response<Body>, Cut> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        if self.close {
            connection.close_after_this();
        }
        let response = match (&self.act, regular) {
            (Act::Canned(canned), _) => canned.response(),
            (Act::Regular, Some(regular)) => regular,
            (Act::Silence, _) => std::future::pending().await,
            (Act::HangUp, _) | (Act::Regular, None) => return Err(Cut),
        };
        Ok(match self.cut {
            Some(bytes) => response.map(|body| body.cut_after(bytes)),
            None => response,
        })
    }
}

impl Canned {
    /// True where the content is the request's own.
    pub(super) fn echoes(&self) -> bool {
        matches!(self.payload, Payload::Echo)
    }

    fn response(&self) -> Response<Body> {
        let trailers = self.trailers.clone();
        let body = match &self.payload {
            Payload::Whole(content) => Body::whole(content.clone(), trailers),
            Payload::Pieces(pieces, pause) => Body::pieces(pieces.clone(), *pause, trailers),
            Payload::Echo => Body::whole(Bytes::new(), trailers),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

/// A door that holds answers back until it is opened. Cloning gives another handle to it.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<usize>>,
}

impl Gate {
    /// A closed door.
    pub fn closed() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Ends when `count` answers have come to the door.
    pub async fn reached_by(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let _ = waiting.wait_for(|waiting| *waiting >= count).await;
    }

    async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}
