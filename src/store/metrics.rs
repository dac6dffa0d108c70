//! What the stores tell the operator: how often, how long and with what trouble.
//!
//! What always holds: every series of a grant exists from the moment its store is opened, at
//! nought, so that an alert on the first failure works; `reason` is one of [`ErrorKind::ALL`].

use std::fmt;
use std::time::{Duration, Instant};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::{Answer, Claim, Error, ErrorKind, Holder, Lease, Record, Sharing, Store};
use crate::config::GrantName;

/// From a fast disk to a network engine that is in trouble.
const SECONDS: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// The metrics of all stores. Cloning gives another handle to the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    reads: Family,
    writes: Family,
    claims: Family,
}

/// Attempts of one kind: all of them, the failed ones by reason, and how long they took.
#[derive(Clone, Debug)]
struct Family {
    all: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
}

impl Metrics {
    /// Makes the metrics and puts them into `registry`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            reads: Family {
                all: counter(
                    registry,
                    "bearward_store_reads_total",
                    "Reads of the record of a grant, those that failed included.",
                    &["grant"],
                )?,
                failures: counter(
                    registry,
                    "bearward_store_read_failures_total",
                    "Reads of the record of a grant that failed.",
                    &["grant", "reason"],
                )?,
                duration: duration(
                    registry,
                    "bearward_store_read_duration_seconds",
                    "How long reading the record of a grant took, or its failing.",
                )?,
            },
            writes: Family {
                all: counter(
                    registry,
                    "bearward_store_writes_total",
                    "Writes of the record of a grant, those that failed included.",
                    &["grant"],
                )?,
                failures: counter(
                    registry,
                    "bearward_store_write_failures_total",
                    "Writes of the record of a grant that failed.",
                    &["grant", "reason"],
                )?,
                duration: duration(
                    registry,
                    "bearward_store_write_duration_seconds",
                    "How long writing the record of a grant took, until it was durable or had failed.",
                )?,
            },
            claims: Family {
                all: counter(
                    registry,
                    "bearward_store_claims_total",
                    "Leases asked for, renewed and given back, by outcome.",
                    &["grant", "outcome"],
                )?,
                failures: counter(
                    registry,
                    "bearward_store_claim_failures_total",
                    "Leases that could not be asked for, renewed or given back.",
                    &["grant", "reason"],
                )?,
                duration: duration(
                    registry,
                    "bearward_store_claim_duration_seconds",
                    "How long asking for a lease, renewing it or giving it back took.",
                )?,
            },
        })
    }
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn duration(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    let duration = HistogramVec::new(options, &["grant"])?;
    registry.register(Box::new(duration.clone()))?;
    Ok(duration)
}

/// Any store, counted and timed. A claim's failures count under its outcome too.
#[derive(Debug)]
pub struct Measured<S> {
    store: S,
    reads: Count,
    writes: Count,
    claims: Count,
    outcomes: Outcomes,
}

/// What can come of asking for a lease.
struct Outcomes {
    taken: IntCounter,
    held: IntCounter,
    released: IntCounter,
    failed: IntCounter,
}

impl<S: Store> Measured<S> {
    /// Measures `store` as the one of `grant`.
    pub fn new(store: S, grant: &GrantName, metrics: &Metrics) -> Self {
        let grant = grant.as_str();
        let all = |family: &Family| family.all.with_label_values(&[grant]);
        let outcome = |outcome| metrics.claims.all.with_label_values(&[grant, outcome]);
        Self {
            store,
            reads: Count::new(Some(all(&metrics.reads)), &metrics.reads, grant),
            writes: Count::new(Some(all(&metrics.writes)), &metrics.writes, grant),
            claims: Count::new(None, &metrics.claims, grant),
            outcomes: Outcomes {
                taken: outcome("taken"),
                held: outcome("held"),
                released: outcome("released"),
                failed: outcome("failed"),
            },
        }
    }
}

impl<S: Store> Store for Measured<S> {
    fn load(&self) -> Answer<'_, Option<Record>> {
        Box::pin(self.reads.measure(self.store.load()))
    }

    fn generation(&self) -> Answer<'_, Option<u64>> {
        Box::pin(self.reads.measure(self.store.generation()))
    }

    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()> {
        Box::pin(self.writes.measure(self.store.save(record, if_generation)))
    }

    fn claim<'a>(&'a self, holder: &'a Holder, ttl: Duration) -> Answer<'a, Claim> {
        Box::pin(async move {
            let result = self.claims.measure(self.store.claim(holder, ttl)).await;
            match &result {
                Ok(Claim::Taken(_)) => self.outcomes.taken.inc(),
                Ok(Claim::Held { .. }) => self.outcomes.held.inc(),
                Err(_) => self.outcomes.failed.inc(),
            }
            result
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        Box::pin(async move {
            let result = self.claims.measure(self.store.release(lease)).await;
            match &result {
                Ok(()) => self.outcomes.released.inc(),
                Err(_) => self.outcomes.failed.inc(),
            }
            result
        })
    }

    fn sharing(&self) -> Sharing {
        self.store.sharing()
    }
}

/// All attempts of one kind, the failed ones by reason, and how long they took.
struct Count {
    /// Nothing where the attempts are counted by outcome instead.
    all: Option<IntCounter>,
    failures: [(ErrorKind, IntCounter); ErrorKind::ALL.len()],
    duration: Histogram,
}

impl Count {
    fn new(all: Option<IntCounter>, family: &Family, grant: &str) -> Self {
        let failures = |kind: ErrorKind| {
            let counter = family.failures.with_label_values(&[grant, kind.as_str()]);
            (kind, counter)
        };
        Self {
            all,
            failures: ErrorKind::ALL.map(failures),
            duration: family.duration.with_label_values(&[grant]),
        }
    }

    async fn measure<T>(&self, answer: Answer<'_, T>) -> Result<T, Error> {
        if let Some(all) = &self.all {
            all.inc();
        }
        let start = Instant::now();
        let result = answer.await;
        self.duration.observe(start.elapsed().as_secs_f64());
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
        let count = self.duration.get_sample_count();
        f.debug_tuple("Count").field(&count).finish()
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, held) = (self.taken.get(), self.held.get());
        f.debug_struct("Outcomes")
            .field("taken", &taken)
            .field("held", &held)
            .finish_non_exhaustive()
    }
}
