//! Families of metrics, by kind: every one is known to the registry from the moment it is made.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// What happens where replicas take turns.
#[derive(Clone, Debug)]
pub(super) struct Turns<C> {
    pub(super) waits: C,
    pub(super) lost: C,
    pub(super) withheld: C,
}

/// Seconds; the token endpoint answers in 10 ms to some seconds.
const DURATIONS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Makes families of metrics known to a registry.
pub(super) struct Families<'a>(pub(super) &'a Registry);

impl Families<'_> {
    pub(super) fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn flag(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn moment(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        self.keep(GaugeVec::new(Opts::new(name, help), &["grant"])?)
    }

    pub(super) fn lifetime(&self) -> prometheus::Result<GaugeVec> {
        self.moment(
            "bearward_grant_refresh_token_lifetime_seconds",
            "How long the refresh token or the grant lives, counted from when its end was last put off; +Inf: not known, 0: there is none.",
        )
    }

    pub(super) fn turns(&self) -> prometheus::Result<Turns<IntCounterVec>> {
        Ok(Turns {
            waits: self.counter(
                "bearward_grant_lease_waits_total",
                "Rounds that waited for another process to give the lease back.",
                &["grant"],
            )?,
            lost: self.counter(
                "bearward_grant_leases_lost_total",
                "Leases that were another's before they were given back.",
                &["grant"],
            )?,
            withheld: self.counter(
                "bearward_grant_withheld_total",
                "Token requests not sent, for the lease would not have outlasted them.",
                &["grant"],
            )?,
        })
    }

    pub(super) fn durations(&self) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(
            "bearward_grant_refresh_duration_seconds",
            "Time that the authorization server took to answer a refresh.",
        );
        self.keep(HistogramVec::new(
            options.buckets(DURATIONS.to_vec()),
            &["grant"],
        )?)
    }

    fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}
