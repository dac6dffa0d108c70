//! Counts of connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// One side ended it in good order, or it was upgraded.
    Done,
    /// No request began in time.
    Idle,
    /// A request's head did not arrive in time.
    HeaderTimeout,
    /// The client took nothing of an answer for too long.
    Stalled,
    /// The client did not speak HTTP, or beyond the limits.
    Malformed,
    /// It broke, or an answer had to be cut.
    Error,
}

impl Closed {
    const ALL: [Self; 6] = [
        Self::Done,
        Self::Idle,
        Self::HeaderTimeout,
        Self::Stalled,
        Self::Malformed,
        Self::Error,
    ];

    /// A short word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Idle => "idle",
            Self::HeaderTimeout => "header_timeout",
            Self::Stalled => "stalled",
            Self::Malformed => "malformed",
            Self::Error => "error",
        }
    }
}

/// Counts of connections.
#[derive(Debug)]
pub struct Metrics {
    open: IntGauge,
    accepted: IntCounter,
    closed: [IntCounter; Closed::ALL.len()],
}

impl Metrics {
    /// Makes the counts and puts them into `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = IntGauge::new(
            "bearward_connections",
            "Connections from the service that are open.",
        )?;
        let accepted = IntCounter::new(
            "bearward_connections_accepted_total",
            "Connections from the service that were accepted.",
        )?;
        let closed = IntCounterVec::new(
            Opts::new(
                "bearward_connections_closed_total",
                "Connections from the service that ended, by reason.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(accepted.clone()))?;
        registry.register(Box::new(closed.clone()))?;
        Ok(Self {
            open,
            accepted,
            closed: Closed::ALL.map(|reason| closed.with_label_values(&[reason.as_str()])),
        })
    }

    /// A connection was accepted.
    pub(super) fn accepted(&self) -> Open {
        self.accepted.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    /// A connection ended.
    pub(super) fn closed(&self, reason: Closed) {
        let index = Closed::ALL.iter().position(|&known| known == reason);
        if let Some(counter) = index.and_then(|index| self.closed.get(index)) {
            counter.inc();
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
