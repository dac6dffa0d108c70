//! Counts of connections to upstreams, by route.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::DialFailure;

/// Counts of connections to all upstreams.
#[derive(Clone, Debug)]
pub struct Metrics {
    open: IntGaugeVec,
    opened: IntCounterVec,
    reused: IntCounterVec,
    failures: IntCounterVec,
}

impl Metrics {
    /// Makes the counts and puts them into `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = IntGaugeVec::new(
            Opts::new(
                "bearward_upstream_connections",
                "Connections to the upstream that are open.",
            ),
            &["route"],
        )?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        registry.register(Box::new(open.clone()))?;
        Ok(Self {
            open,
            opened: counter(
                "bearward_upstream_connections_opened_total",
                "Connections to the upstream that were opened.",
                &["route"],
            )?,
            reused: counter(
                "bearward_upstream_connections_reused_total",
                "Calls that were sent on a connection that was open already.",
                &["route"],
            )?,
            failures: counter(
                "bearward_upstream_connection_failures_total",
                "Connections to the upstream that could not be opened, by reason.",
                &["route", "reason"],
            )?,
        })
    }

    /// The counts of one route, looked up beforehand.
    pub(super) fn of(&self, route: &str) -> RouteMetrics {
        RouteMetrics {
            open: self.open.with_label_values(&[route]),
            opened: self.opened.with_label_values(&[route]),
            reused: self.reused.with_label_values(&[route]),
            failures: DialFailure::ALL.map(|kind| {
                (
                    kind,
                    self.failures.with_label_values(&[route, kind.as_str()]),
                )
            }),
        }
    }
}

/// Counts of connections of one route.
#[derive(Debug)]
pub(super) struct RouteMetrics {
    open: IntGauge,
    opened: IntCounter,
    reused: IntCounter,
    failures: [(DialFailure, IntCounter); DialFailure::ALL.len()],
}

impl RouteMetrics {
    /// A connection was opened.
    pub(super) fn opened(&self) -> Open {
        self.opened.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    /// A call is sent on a connection that was open already.
    pub(super) fn reused(&self) {
        self.reused.inc();
    }

    /// A connection could not be opened.
    pub(super) fn failed(&self, kind: DialFailure) {
        for (known, counter) in &self.failures {
            if *known == kind {
                counter.inc();
            }
        }
    }
}

/// A connection that is open, until this is dropped.
#[derive(Debug)]
pub(super) struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
