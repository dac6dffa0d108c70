//! An answer on its way back: its body, and what is counted when it has ended.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::age::Age;
use super::headers;
use super::metrics::{Metrics, RouteMetrics};
use super::reply::Fault;
use super::route::Route;
use super::{Answer, RequestLog};
use crate::body::Peeked;
use crate::upstream::AnswerError;

/// The body of an answer. One box, since it is handed on several times on its way out, which
/// would cost more than the box does.
pub struct Outbound(Box<Inner>);

struct Inner {
    content: Content,
    age: Option<Age>,
    measure: Option<Measure>,
}

#[expect(clippy::large_enum_variant, reason = "it is boxed already")]
enum Content {
    /// The upstream's: what was read of it already, then the rest.
    Upstream(Option<Bytes>, Peeked<Answer>),
    /// Our own.
    Text(Option<Bytes>),
}

impl Outbound {
    /// The upstream's body, of which `read` was read already. Its first piece is taken early, so
    /// that head and body leave in one write where the body is there.
    pub(super) fn upstream(read: Option<Bytes>, rest: Peeked<Answer>) -> Self {
        Self::new(Content::Upstream(read, rest))
    }

    /// The same, no older than this.
    pub(super) fn ageing(mut self, age: Option<Age>) -> Self {
        self.0.age = age;
        self
    }

    fn text(text: Bytes) -> Self {
        Self::new(Content::Text(Some(text)))
    }

    fn new(content: Content) -> Self {
        Self(Box::new(Inner {
            content,
            age: None,
            measure: None,
        }))
    }

    fn measured(mut self, measure: Option<Measure>) -> Self {
        self.0.measure = measure;
        self
    }
}

/// Why an answer's body goes no further.
#[derive(Debug)]
pub enum Broken {
    /// It came no further.
    Upstream(AnswerError),
    /// It lasted longer than the route allows.
    Old,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upstream(_) => "the upstream's answer broke off",
            Self::Old => "the answer lasted longer than `max_stream_age`",
        })
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Upstream(error) => Some(error),
            Self::Old => None,
        }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let inner = &mut *self.0;
        if let Some(age) = &mut inner.age
            && let Poll::Ready(end) = age.poll(cx)
        {
            // The upstream's side ends now, and not when the reader has heard of it.
            inner.content = Content::Text(None);
            return Poll::Ready(end);
        }
        let mut frame = match &mut inner.content {
            Content::Upstream(read, rest) => match read.take() {
                Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
                None => Pin::new(rest).poll_frame(cx).map_err(Broken::Upstream),
            },
            Content::Text(text) => Poll::Ready(text.take().map(Frame::data).map(Ok)),
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut frame {
            if let (Some(data), Some(measure)) = (frame.data_ref(), inner.measure.as_mut()) {
                measure.bytes += data.len() as u64;
            } else if let Some(trailers) = frame.trailers_mut() {
                headers::strip_trailers(trailers);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        if self.0.age.as_ref().is_some_and(Age::has_ended) {
            return true;
        }
        match &self.0.content {
            Content::Upstream(read, rest) => read.is_none() && rest.is_end_stream(),
            Content::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = |data: Option<&Bytes>| data.map_or(0, |data| data.len() as u64);
        match &self.0.content {
            Content::Upstream(None, rest) => rest.size_hint(),
            Content::Upstream(Some(read), rest) => {
                let rest = rest.size_hint().exact();
                let whole = rest.map(|rest| rest + length(Some(read)));
                whole.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Content::Text(text) => SizeHint::with_exact(length(text.as_ref())),
        }
    }
}

/// A request from its head on: what is known of it when it is counted.
pub(super) struct Visit {
    /// When its head was there.
    pub(super) arrived: Instant,
    /// When the upstream last answered.
    pub(super) heard: Instant,
    /// How long the upstream took, up to the heads of its answers.
    waited: Duration,
    method: Method,
    route: Option<Arc<Route>>,
}

impl Visit {
    pub(super) fn begin(arrived: Instant, method: Method) -> Self {
        Self {
            arrived,
            heard: arrived,
            waited: Duration::ZERO,
            method,
            route: None,
        }
    }

    /// It has found its route.
    pub(super) fn enter(&mut self, route: &Arc<Route>) {
        route.metrics.in_flight.inc();
        self.route = Some(Arc::clone(route));
    }

    /// The upstream, asked at `sent`, has answered now.
    pub(super) fn answered_since(&mut self, sent: Instant) {
        self.heard = Instant::now();
        self.waited += self.heard - sent;
    }

    /// The upstream's answer goes back.
    pub(super) fn forwarded(
        mut self,
        response: Response<Outbound>,
        log: RequestLog,
    ) -> Response<Outbound> {
        let status = response.status();
        if let Some(route) = &self.route {
            let added = (self.heard - self.arrived).saturating_sub(self.waited);
            route.metrics.forwarded(status, added);
        }
        let measure = self.measure(status, "forwarded", log);
        response.map(|body| body.measured(measure))
    }

    /// An answer of our own goes back.
    pub(super) fn refused(
        mut self,
        fault: &Fault,
        metrics: &Metrics,
        log: RequestLog,
    ) -> Response<Outbound> {
        let status = fault.status();
        let refused = |metrics: &RouteMetrics| metrics.refused(status, fault.reason());
        match &self.route {
            Some(route) => refused(&route.metrics),
            None => refused(&metrics.of("none")),
        }
        let measure = self.measure(status, fault.reason(), log);
        fault
            .reply()
            .map(|text| Outbound::text(text).measured(measure))
    }

    fn measure(
        &mut self,
        status: StatusCode,
        reason: &'static str,
        log: RequestLog,
    ) -> Option<Measure> {
        let method = std::mem::take(&mut self.method);
        let Some(route) = self.route.take() else {
            if log == RequestLog::Write {
                let (status, took) = (status.as_u16(), self.arrived.elapsed());
                let duration_ms = took.as_secs_f64() * 1000.0;
                tracing::info!(%method, route = "none", status, reason, duration_ms, "request");
            }
            return None;
        };
        Some(Measure {
            route,
            arrived: self.arrived,
            bytes: 0,
            status,
            reason,
            method,
            log,
        })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Still here: the caller went away before there was an answer.
        if let Some(route) = &self.route {
            route.metrics.in_flight.dec();
        }
    }
}

/// Counts a request when its answer has ended or was given up.
struct Measure {
    route: Arc<Route>,
    arrived: Instant,
    bytes: u64,
    status: StatusCode,
    reason: &'static str,
    method: Method,
    log: RequestLog,
}

impl Drop for Measure {
    fn drop(&mut self) {
        let metrics = &self.route.metrics;
        let duration = self.arrived.elapsed();
        metrics.in_flight.dec();
        metrics.duration.observe(duration.as_secs_f64());
        metrics.response_bytes.inc_by(self.bytes);
        if self.log == RequestLog::Write {
            tracing::info!(
                method = %self.method,
                route = %self.route.label,
                status = self.status.as_u16(),
                reason = self.reason,
                bytes = self.bytes,
                duration_ms = duration.as_secs_f64() * 1000.0,
                "request"
            );
        }
    }
}
