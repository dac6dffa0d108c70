//! What the keepers count and show.

use jiff::Timestamp;
use prometheus::{
    GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::event::{Means, Notice, Rotation};
use super::families::{Families, Turns};
use super::status::Status;
use crate::config::GrantName;
use crate::oauth::Class;

/// The grants' metrics; each grant has its own children.
#[derive(Clone, Debug)]
pub struct Metrics {
    refreshes: IntCounterVec,
    rotations: IntCounterVec,
    doubts: IntCounterVec,
    last_resorts: IntCounterVec,
    adoptions: IntCounterVec,
    turns: Turns<IntCounterVec>,
    refresh_duration: HistogramVec,
    state: IntGaugeVec,
    unsaved: IntGaugeVec,
    access_expiry: GaugeVec,
    refresh_expiry: GaugeVec,
    refresh_lifetime: GaugeVec,
    last_success: GaugeVec,
    backoff_until: GaugeVec,
}

/// The states that a grant can be shown in.
const STATES: [&str; 5] = ["none", "live", "suspect", "dead", "revoked"];

impl Metrics {
    /// Makes the metrics known to `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let families = Families(registry);
        let grant = &["grant"];
        Ok(Self {
            refreshes: families.counter(
                "bearward_grant_refreshes_total",
                "Token requests by outcome.",
                &["grant", "outcome"],
            )?,
            rotations: families.counter(
                "bearward_grant_rotations_total",
                "Refreshes that brought a new refresh token.",
                grant,
            )?,
            doubts: families.counter(
                "bearward_grant_doubts_total",
                "Times that the refresh token may have been spent, by what was done.",
                &["grant", "step"],
            )?,
            last_resorts: families.counter(
                "bearward_grant_last_resorts_total",
                "Refresh tokens sent again although they may be spent.",
                grant,
            )?,
            adoptions: families.counter(
                "bearward_grant_adoptions_total",
                "Newer tokens taken from the store, where another process had put them.",
                grant,
            )?,
            turns: families.turns()?,
            refresh_duration: families.durations()?,
            state: families.flag(
                "bearward_grant_state",
                "1 for the state that the grant is in.",
                &["grant", "state"],
            )?,
            unsaved: families.flag(
                "bearward_grant_unsaved",
                "1 while the newest record could not be saved.",
                grant,
            )?,
            access_expiry: families.moment(
                "bearward_grant_access_token_expiry_timestamp_seconds",
                "When the access token ends; +Inf: never, 0: there is none.",
            )?,
            refresh_expiry: families.moment(
                "bearward_grant_refresh_token_expiry_timestamp_seconds",
                "When the refresh token or the grant ends; +Inf: not known, 0: there is none.",
            )?,
            refresh_lifetime: families.lifetime()?,
            last_success: families.moment(
                "bearward_grant_last_success_timestamp_seconds",
                "When the last refresh succeeded; 0: never.",
            )?,
            backoff_until: families.moment(
                "bearward_grant_backoff_until_timestamp_seconds",
                "When a failed refresh is tried again; 0: nothing failed.",
            )?,
        })
    }

    /// The children of one grant.
    pub(super) fn of(&self, grant: &GrantName) -> GrantMetrics {
        let label = &[grant.as_str()];
        for outcome in OUTCOMES {
            self.refreshes.with_label_values(&[grant.as_str(), outcome]);
        }
        for step in DOUBTS {
            self.doubts.with_label_values(&[grant.as_str(), step]);
        }
        GrantMetrics {
            grant: grant.clone(),
            rotations: self.rotations.with_label_values(label),
            last_resorts: self.last_resorts.with_label_values(label),
            adoptions: self.adoptions.with_label_values(label),
            turns: Turns {
                waits: self.turns.waits.with_label_values(label),
                lost: self.turns.lost.with_label_values(label),
                withheld: self.turns.withheld.with_label_values(label),
            },
            refresh_duration: self.refresh_duration.with_label_values(label),
            unsaved: self.unsaved.with_label_values(label),
            all: self.clone(),
        }
    }
}

/// Every outcome is there from the start, so that a rate over it never begins with a gap.
const OUTCOMES: [&str; 7] = [
    "success",
    Class::Later.as_str(),
    Class::Ambiguous.as_str(),
    Class::Dead.as_str(),
    Class::ClientBroken.as_str(),
    Class::Configuration.as_str(),
    Class::Unknown.as_str(),
];

/// What is done about a refresh token that may be spent.
const DOUBTS: [&str; 3] = ["found", "resent", "held"];

/// One grant's metrics.
pub(super) struct GrantMetrics {
    grant: GrantName,
    rotations: IntCounter,
    last_resorts: IntCounter,
    adoptions: IntCounter,
    pub(super) turns: Turns<IntCounter>,
    pub(super) refresh_duration: Histogram,
    unsaved: IntGauge,
    all: Metrics,
}

impl GrantMetrics {
    /// Counts a notice and writes it to the log.
    pub(super) fn notice(&self, notice: &Notice) {
        let grant = &self.grant;
        match notice {
            Notice::Refreshed(rotation) => {
                self.outcome("success");
                self.rotations
                    .inc_by(u64::from(*rotation == Rotation::Rotated));
                let rotated = *rotation == Rotation::Rotated;
                tracing::info!(%grant, rotated, "refreshed");
            }
            Notice::Failed(class, code) => {
                self.outcome(class.as_str());
                tracing::warn!(%grant, class = class.as_str(), %code, "refresh failed");
            }
            Notice::Adopted => {
                self.adoptions.inc();
                tracing::info!(%grant, "took a newer record from the store");
            }
            Notice::Missing(code) => tracing::warn!(
                %grant,
                %code,
                "there is no grant: a person must log in, or a refresh token be imported"
            ),
            Notice::Seeded => tracing::info!(%grant, "the seed begins a new chain"),
            Notice::Imported => tracing::info!(%grant, "an imported grant begins a new chain"),
            Notice::Revoked(Means::Revoke) => tracing::info!(%grant, "the grant is revoked"),
            Notice::Revoked(Means::Forget) => {
                tracing::info!(%grant, "the grant is forgotten here; the server was not asked");
            }
            Notice::LeaseHeld(_) | Notice::LeaseLost | Notice::Withheld | Notice::Overtaken => {
                self.turn(notice);
            }
            Notice::IntentOpen(_) | Notice::Resent | Notice::Held | Notice::LastResort => {
                self.doubt(notice);
            }
            Notice::Ending(..) | Notice::ClockRanAhead(_) | Notice::ClockSetBack => {
                self.time(notice);
            }
            Notice::Unsaved(kind) => tracing::error!(
                %grant,
                reason = kind.as_str(),
                "the new record could not be saved; it is served and the save is tried again"
            ),
            Notice::SavedAtLast => tracing::info!(%grant, "the record is saved at last"),
            Notice::StoreTrouble(kind) => tracing::error!(
                %grant,
                reason = kind.as_str(),
                "no refresh without the store; what lives is served"
            ),
            Notice::Died(code) => tracing::error!(
                %grant,
                %code,
                "the grant is dead: a person must log in again"
            ),
        }
    }

    /// Tells of replicas that take turns.
    fn turn(&self, notice: &Notice) {
        let grant = &self.grant;
        match notice {
            Notice::LeaseHeld(by) => {
                self.turns.waits.inc();
                tracing::debug!(%grant, %by, "another process has the lease; it is waited for");
            }
            Notice::LeaseLost => {
                self.turns.lost.inc();
                tracing::info!(%grant, "the lease was lost before anything was sent");
            }
            Notice::Withheld => {
                self.turns.withheld.inc();
                tracing::info!(%grant, "no token request was sent: the lease had run out");
            }
            _ => tracing::info!(%grant, "another process saved first; reading what it saved"),
        }
    }

    /// Tells of a refresh token that may be spent.
    fn doubt(&self, notice: &Notice) {
        let grant = &self.grant;
        let count = |step| {
            let labels = &[grant.as_str(), step];
            self.all.doubts.with_label_values(labels).inc();
        };
        match notice {
            Notice::IntentOpen(by) => {
                count("found");
                tracing::warn!(%grant, %by, "the last refresh has no known end: the refresh token may be spent");
            }
            Notice::Resent => {
                count("resent");
                tracing::warn!(%grant, "sending the refresh token again, inside the server's replay window");
            }
            Notice::Held => {
                count("held");
                tracing::warn!(
                    %grant,
                    "the refresh token may be spent; it is held back while the access token lives"
                );
            }
            _ => {
                self.last_resorts.inc();
                tracing::warn!(%grant, "sending a refresh token again that may be spent: nothing else is left");
            }
        }
    }

    /// Tells of clocks and of ends that come near.
    fn time(&self, notice: &Notice) {
        let grant = &self.grant;
        match notice {
            Notice::Ending(days, at) => tracing::warn!(
                %grant,
                days,
                %at,
                "the grant ends soon: a person must log in again before"
            ),
            Notice::ClockRanAhead(by) => tracing::info!(
                %grant,
                seconds = by.as_secs(),
                "the wall clock ran ahead: the machine slept or its clock was set"
            ),
            _ => tracing::info!(%grant, "the wall clock was set back"),
        }
    }

    /// Puts the gauges in line with the status.
    pub(super) fn show(&self, status: &Status) {
        let grant = self.grant.as_str();
        for state in STATES {
            self.all
                .state
                .with_label_values(&[grant, state])
                .set((status.state == state).into());
        }
        self.unsaved.set(status.unsaved.into());
        let set = |gauge: &GaugeVec, value: f64| gauge.with_label_values(&[grant]).set(value);
        let end = |token: &Option<String>, at: Option<Timestamp>| match token {
            Some(_) => at.map_or(f64::INFINITY, unix),
            None => 0.0,
        };
        set(
            &self.all.access_expiry,
            end(&status.access_token, status.access_token_expires_at),
        );
        let ends = end(&status.refresh_token, status.refresh_token_expires_at);
        set(&self.all.refresh_expiry, ends);
        let lifetime = ends - status.refresh_token_lives_from.map_or(0.0, unix);
        set(&self.all.refresh_lifetime, lifetime.max(0.0));
        set(
            &self.all.last_success,
            status.refreshed_at.map_or(0.0, unix),
        );
        let retry = status
            .refusal
            .as_ref()
            .and_then(|refusal| refusal.next_attempt_at);
        set(&self.all.backoff_until, retry.map_or(0.0, unix));
    }

    /// Takes the gauges of a grant away that is no longer kept; its counters stay.
    pub(super) fn forget(&self) {
        let grant = self.grant.as_str();
        let all = &self.all;
        for state in STATES {
            // Fails only where there is nothing to take away.
            let _ = all.state.remove_label_values(&[grant, state]);
        }
        let _ = all.unsaved.remove_label_values(&[grant]);
        for gauge in [
            &all.access_expiry,
            &all.refresh_expiry,
            &all.refresh_lifetime,
            &all.last_success,
            &all.backoff_until,
        ] {
            let _ = gauge.remove_label_values(&[grant]);
        }
    }

    fn outcome(&self, outcome: &str) {
        self.all
            .refreshes
            .with_label_values(&[self.grant.as_str(), outcome])
            .inc();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this age fit a double exactly"
)]
fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
