//! A Lease's words, and when it ends. Pure: the time is handed in.
//!
//! What always holds: a lease ends when nothing of it has changed for as long as it says, counted
//! by our own clock from when we first saw it so. That is later than its holder counts, so two
//! holders never believe in it at once, whatever their clocks show. Who meets a lease for the
//! first time waits its whole length.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::store::lease::{Holder, Lease};

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    /// How often the holder has changed.
    lease_transitions: Option<u64>,
}

impl Spec {
    /// Who has it, unless that is `holder` or nobody.
    pub(super) fn held_by_other(&self, holder: &Holder) -> Option<&str> {
        self.holder()
            .filter(|name| !name.is_empty() && *name != holder.as_str())
    }

    /// What is to be written so that `holder` has it, and the fence that goes with it: the one
    /// there is where it is a renewal.
    pub(super) fn taken(&self, holder: &Holder, ttl: Duration, now: Timestamp) -> (Value, u64) {
        let mut spec = json!({
            "holderIdentity": holder.as_str(),
            "leaseDurationSeconds": whole_seconds(ttl),
            "renewTime": micro_time(now),
        });
        if self.holder() == Some(holder.as_str()) {
            return (spec, self.fence());
        }
        let fence = self.fence().saturating_add(1);
        if let Some(spec) = spec.as_object_mut() {
            spec.insert(String::from("acquireTime"), micro_time(now).into());
            spec.insert(String::from("leaseTransitions"), fence.into());
        }
        (spec, fence)
    }

    /// What is to be written so that nobody has it; nothing where it is not `lease` (any more).
    pub(super) fn released(&self, lease: &Lease, now: Timestamp) -> Option<Value> {
        let held = self.holder() == Some(lease.holder.as_str()) && self.fence() == lease.fence;
        // The number of changes stays: the next fence must be higher.
        held.then(|| json!({ "holderIdentity": "", "renewTime": micro_time(now) }))
    }

    fn holder(&self) -> Option<&str> {
        self.holder_identity.as_deref()
    }

    fn fence(&self) -> u64 {
        self.lease_transitions.unwrap_or_default()
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.lease_duration_seconds.unwrap_or_default())
    }
}

/// What was seen of a lease, and since when it has been so.
#[derive(Debug, Default)]
pub(super) struct Watched(Option<(Spec, Instant)>);

impl Watched {
    /// Takes note of `spec`, as it came by `now`, and says how long it still has.
    pub(super) fn see(&mut self, spec: &Spec, now: Instant) -> Duration {
        match &self.0 {
            Some((seen, since)) if seen == spec => {
                let unchanged = now.saturating_duration_since(*since);
                spec.length().saturating_sub(unchanged)
            }
            _ => {
                self.0 = Some((spec.clone(), now));
                spec.length()
            }
        }
    }
}

/// A Lease counts in whole seconds and at least one; others may wait longer than we hold it.
fn whole_seconds(ttl: Duration) -> u64 {
    ttl.as_secs()
        .saturating_add(u64::from(ttl.subsec_nanos() > 0))
        .max(1)
}

/// The API's `MicroTime`, which has six digits behind the point, neither more nor fewer.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        serde_json::from_str(text).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-23T05:00:00.1234567Z".parse().unwrap()
    }

    #[test]
    fn a_lease_ends_by_our_own_clock_and_whatever_theirs_shows() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut watched = Watched::default();
        let mut see = |renewed: &str, at| {
            let spec = spec(&format!(
                r#"{{"holderIdentity":"a","leaseDurationSeconds":15,"renewTime":"{renewed}"}}"#
            ));
            watched.see(&spec, after(at)).as_secs()
        };
        assert_eq!(see("1999-01-01T00:00:00.000000Z", 0), 15, "long ago for us");
        assert_eq!(see("1999-01-01T00:00:00.000000Z", 14), 1);
        assert_eq!(see("1998-01-01T00:00:00.000000Z", 14), 15, "renewed");
        assert_eq!(see("1998-01-01T00:00:00.000000Z", 28), 1);
        assert_eq!(see("1998-01-01T00:00:00.000000Z", 29), 0);
        assert_eq!(
            see("2999-01-01T00:00:00.000000Z", 99),
            15,
            "from the future"
        );
    }

    #[test]
    fn taking_counts_a_change_and_renewing_does_not() {
        let holder = Holder::named("pod-1");
        let (written, fence) = Spec::default().taken(&holder, Duration::from_millis(1500), now());
        assert_eq!(fence, 1);
        assert_eq!(
            written,
            json!({
                "holderIdentity": "pod-1",
                "leaseDurationSeconds": 2,
                "acquireTime": "2026-11-23T05:00:00.123456Z",
                "renewTime": "2026-11-23T05:00:00.123456Z",
                "leaseTransitions": 1,
            })
        );
        let held: Spec = serde_json::from_value(written).unwrap();
        assert_eq!(held.held_by_other(&holder), None);
        assert_eq!(held.held_by_other(&Holder::named("pod-2")), Some("pod-1"));
        let (written, fence) = held.taken(&holder, Duration::ZERO, now());
        assert_eq!(fence, 1);
        assert_eq!(
            written,
            json!({
                "holderIdentity": "pod-1",
                "leaseDurationSeconds": 1,
                "renewTime": "2026-11-23T05:00:00.123456Z",
            })
        );
        assert_eq!(
            held.taken(&Holder::named("pod-2"), Duration::ZERO, now()).1,
            2
        );
    }

    #[test]
    fn only_the_very_lease_is_released() {
        let held = spec(r#"{"holderIdentity":"pod-1","leaseTransitions":7}"#);
        let lease = |name: &str, fence| Lease {
            holder: Holder::named(name),
            fence,
            ttl: Duration::ZERO,
        };
        let written = held.released(&lease("pod-1", 7), now()).unwrap();
        assert_eq!(written["holderIdentity"], "");
        assert!(held.released(&lease("pod-1", 6), now()).is_none());
        assert!(held.released(&lease("pod-2", 7), now()).is_none());
    }
}
