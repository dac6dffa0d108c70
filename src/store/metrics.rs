//! What the stores tell the operator: how often, how long and with what trouble.
//!
//! What always holds: every series of a grant exists from the moment its store is opened, at
//! nought, so that an alert on the first failure works; `reason` is one of [`ErrorKind::ALL`].

use std::fmt;
use std::time::Instant;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::{Answer, Error, ErrorKind, Record, Store};
use crate::config::GrantName;

/// From a fast disk to a network engine that is in trouble.
const SECONDS: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// The metrics of all stores. Cloning gives another handle to the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    reads: IntCounterVec,
    read_failures: IntCounterVec,
    writes: IntCounterVec,
    write_failures: IntCounterVec,
    write_duration: HistogramVec,
}

impl Metrics {
    /// Makes the metrics and puts them into `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let duration = HistogramOpts::new(
            "bearward_store_write_duration_seconds",
            "How long writing the record of a grant took, until it was durable or had failed.",
        );
        let write_duration = HistogramVec::new(duration.buckets(SECONDS.to_vec()), &["grant"])?;
        registry.register(Box::new(write_duration.clone()))?;
        Ok(Self {
            reads: counter(
                "bearward_store_reads_total",
                "Reads of the record of a grant, those that failed included.",
                &["grant"],
            )?,
            read_failures: counter(
                "bearward_store_read_failures_total",
                "Reads of the record of a grant that failed.",
                &["grant", "reason"],
            )?,
            writes: counter(
                "bearward_store_writes_total",
                "Writes of the record of a grant, those that failed included.",
                &["grant"],
            )?,
            write_failures: counter(
                "bearward_store_write_failures_total",
                "Writes of the record of a grant that failed.",
                &["grant", "reason"],
            )?,
            write_duration,
        })
    }
}

/// Any store, counted and timed.
#[derive(Debug)]
pub struct Measured<S> {
    store: S,
    reads: Count,
    writes: Count,
    write_duration: Histogram,
}

impl<S: Store> Measured<S> {
    /// Measures `store` as the one of `grant`.
    pub fn new(store: S, grant: &GrantName, metrics: &Metrics) -> Self {
        let grant = grant.as_str();
        Self {
            store,
            reads: Count::new(&metrics.reads, &metrics.read_failures, grant),
            writes: Count::new(&metrics.writes, &metrics.write_failures, grant),
            write_duration: metrics.write_duration.with_label_values(&[grant]),
        }
    }
}

impl<S: Store> Store for Measured<S> {
    fn load(&self) -> Answer<'_, Option<Record>> {
        Box::pin(async move {
            self.reads.all.inc();
            self.reads.outcome(self.store.load().await)
        })
    }

    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()> {
        Box::pin(async move {
            self.writes.all.inc();
            let start = Instant::now();
            let result = self.store.save(record, if_generation).await;
            self.write_duration.observe(start.elapsed().as_secs_f64());
            self.writes.outcome(result)
        })
    }
}

/// All attempts of one kind, and the failed ones by reason.
struct Count {
    all: IntCounter,
    failures: [(ErrorKind, IntCounter); ErrorKind::ALL.len()],
}

impl Count {
    fn new(all: &IntCounterVec, failures: &IntCounterVec, grant: &str) -> Self {
        Self {
            all: all.with_label_values(&[grant]),
            failures: ErrorKind::ALL
                .map(|kind| (kind, failures.with_label_values(&[grant, kind.as_str()]))),
        }
    }

    fn outcome<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            let failures = self.failures.iter();
            failures
                .filter(|(kind, _)| *kind == error.kind)
                .for_each(|(_, counter)| counter.inc());
        }
        result
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Count").field(&self.all.get()).finish()
    }
}
