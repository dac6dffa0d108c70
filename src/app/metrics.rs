//! What the house itself shows: build, readiness, reloads, the process.

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The house's metrics.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    reloads: IntCounterVec,
    last_reload_successful: IntGauge,
    last_reload: Gauge,
}

impl Metrics {
    /// Makes the metrics known to `registry`.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let build = IntGaugeVec::new(
            Opts::new("bearward_build_info", "1; the label tells the version."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let reloads = IntCounterVec::new(
            Opts::new(
                "bearward_config_reloads_total",
                "Times the configuration was read again.",
            ),
            &["outcome"],
        )?;
        let last_reload_successful = IntGauge::new(
            "bearward_config_last_reload_successful",
            "0 after a reload that was refused: an older configuration runs.",
        )?;
        let last_reload = Gauge::new(
            "bearward_config_last_reload_success_timestamp_seconds",
            "When the running configuration was taken.",
        )?;
        let collectors: [Box<dyn Collector>; 5] = [
            Box::new(build),
            Box::new(reloads.clone()),
            Box::new(last_reload_successful.clone()),
            Box::new(last_reload.clone()),
            Box::new(ProcessCollector::for_self()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        let metrics = Self {
            reloads,
            last_reload_successful,
            last_reload,
        };
        for outcome in ["success", "failure"] {
            metrics.reloads.with_label_values(&[outcome]);
        }
        metrics.taken();
        Ok(metrics)
    }

    /// A configuration was read again and taken.
    pub(super) fn reloaded(&self) {
        self.reloads.with_label_values(&["success"]).inc();
        self.taken();
    }

    /// A configuration was read again and refused.
    pub(super) fn refused(&self) {
        self.reloads.with_label_values(&["failure"]).inc();
        self.last_reload_successful.set(0);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of this age fit a double exactly"
    )]
    fn taken(&self) {
        self.last_reload_successful.set(1);
        self.last_reload.set(Timestamp::now().as_second() as f64);
    }
}
