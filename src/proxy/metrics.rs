//! What the proxy counts: children are resolved once per route, never on the way of a request.

use std::time::Duration;

use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// The reason of an answer that is the upstream's own.
const FORWARDED: &str = "forwarded";

/// The code classes in the order of their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Seconds that a call may take as a whole.
const DURATIONS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Seconds that we may add: from tens of microseconds to the wait for a token.
const ADDED: [f64; 11] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 10.0,
];

/// The proxy's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    added: HistogramVec,
    in_flight: IntGaugeVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
    replays: IntCounterVec,
    rejections: IntCounterVec,
}

impl Metrics {
    /// Makes the metrics known to `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = HistogramVec::new(options, &["route"])?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let in_flight = IntGaugeVec::new(
            Opts::new(
                "bearward_requests_in_flight",
                "Requests whose answer has not ended.",
            ),
            &["route"],
        )?;
        registry.register(Box::new(in_flight.clone()))?;
        let route = &["route"];
        Ok(Self {
            requests: counter(
                "bearward_requests_total",
                "Answers by route, code class and reason (`forwarded`: the upstream's own).",
                &["route", "code", "reason"],
            )?,
            duration: histogram(
                "bearward_request_duration_seconds",
                "Time from a request's head to the end of its answer.",
                &DURATIONS,
            )?,
            added: histogram(
                "bearward_request_added_duration_seconds",
                "Time that a request spent here, until the answer's head; waiting for a connection counts as the upstream's.",
                &ADDED,
            )?,
            in_flight,
            request_bytes: counter(
                "bearward_request_body_bytes_total",
                "Bytes of request bodies.",
                route,
            )?,
            response_bytes: counter(
                "bearward_response_body_bytes_total",
                "Bytes of answer bodies.",
                route,
            )?,
            replays: counter(
                "bearward_replays_total",
                "Calls sent again with a newer token.",
                route,
            )?,
            rejections: counter(
                "bearward_token_rejections_total",
                "Answers that reject the access token.",
                route,
            )?,
        })
    }

    /// The children of one route.
    pub fn of(&self, route: &str) -> RouteMetrics {
        let label = &[route];
        RouteMetrics {
            route: route.to_owned(),
            forwarded: CLASSES
                .map(|class| self.requests.with_label_values(&[route, class, FORWARDED])),
            duration: self.duration.with_label_values(label),
            added: self.added.with_label_values(label),
            in_flight: self.in_flight.with_label_values(label),
            request_bytes: self.request_bytes.with_label_values(label),
            response_bytes: self.response_bytes.with_label_values(label),
            replays: self.replays.with_label_values(label),
            rejections: self.rejections.with_label_values(label),
            requests: self.requests.clone(),
        }
    }
}

/// One route's metrics.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    route: String,
    forwarded: [IntCounter; 5],
    requests: IntCounterVec,
    /// From a request's head to the end of its answer.
    pub duration: Histogram,
    added: Histogram,
    /// Requests whose answer has not ended.
    pub in_flight: IntGauge,
    /// Bytes of request bodies.
    pub request_bytes: IntCounter,
    /// Bytes of answer bodies.
    pub response_bytes: IntCounter,
    /// Calls sent again with a newer token.
    pub replays: IntCounter,
    /// Answers that reject the access token.
    pub rejections: IntCounter,
}

impl RouteMetrics {
    /// Counts an answer of the upstream.
    pub fn forwarded(&self, status: StatusCode, added: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.forwarded.get(class) {
            counter.inc();
        }
        self.added.observe(added.as_secs_f64());
    }

    /// Counts an answer of our own.
    pub fn refused(&self, status: StatusCode, reason: &str) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let class = CLASSES.get(class).copied().unwrap_or("5xx");
        self.requests
            .with_label_values(&[&self.route, class, reason])
            .inc();
    }
}
