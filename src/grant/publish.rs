//! Handing an access token out: which, for how long, and when its successor is due.

use std::time::Duration;

use jiff::Timestamp;

use super::event::{Decision, Issued, Now};
use super::state::{Current, Machine, seconds};
use super::timing;
use crate::store::AccessToken;

/// The longest that a token, rejected again after each renewal, is left alone.
const FLOOR_MOST: Duration = seconds(3600);

impl Machine {
    /// Publishes the record's access token if it is newer than the one in use and lives.
    pub(super) fn take_up(&mut self, now: Now) -> Vec<Decision> {
        let Some(access) = self
            .record
            .as_ref()
            .and_then(|record| record.access_token.as_ref())
        else {
            return Vec::new();
        };
        let life = access
            .expires_at
            .map(|end| remaining(access, end, now.wall));
        let known = self.token.map(|token| token.generation);
        if known >= Some(access.generation) || life.is_some_and(|life| life.is_zero()) {
            return Vec::new();
        }
        let (generation, whole) = (access.generation, access.lifetime());
        self.value = Some(access.value.clone());
        let strikes = self
            .token
            .filter(|token| token.rejected)
            .map_or(0, |token| token.strikes + 1);
        let floor = self
            .settings
            .renew_floor
            .saturating_mul(1 << strikes.min(16));
        // The token's age counts, not how long it is known here: one that a peer obtained an hour
        // ago, or that stood in the store at the start, is no younger for that.
        let age = between(access.issued_at, now.wall);
        let floor = floor.min(FLOOR_MOST.max(self.settings.renew_floor));
        let successor = life.map(|life| self.due_in(life, whole.unwrap_or(life)));
        let due = successor.into_iter().chain(self.keep_alive_in(now)).min();
        let due = due.map(|wait| now.mono + wait);
        // Once its successor is due, waiting for that costs the server nothing: also a token of a
        // short life, refused because it ended between here and the upstream, is replaced then.
        let old_enough = now.mono + floor.saturating_sub(age);
        let renewable_from = due.map_or(old_enough, |due| due.min(old_enough));
        self.token = Some(Current {
            generation,
            obtained: now.mono.saturating_sub(age),
            ends: life.map(|life| now.mono + life),
            due,
            since: now.mono,
            renewable_from,
            rejected: false,
            strikes,
        });
        if self.retry_at <= now.mono {
            self.refusal = None;
        }
        self.publish()
    }

    /// Hands out the token in use, anew where its end has changed. That takes a refusal back, so
    /// one that still stands is told again.
    pub(super) fn publish(&self) -> Vec<Decision> {
        let (Some(current), Some(value)) = (self.token, &self.value) else {
            return Vec::new();
        };
        let issued = Issued {
            value: value.clone(),
            generation: current.generation,
            obtained: current.obtained,
            ends: current.ends,
            renewable_from: current.renewable_from,
        };
        let refusal = self.refusal.clone().map(Decision::Refuse);
        std::iter::once(Decision::Publish(issued))
            .chain(refusal)
            .collect()
    }

    fn due_in(&mut self, life: Duration, whole: Duration) -> Duration {
        let margin = timing::margin(self.settings.refresh_before, whole);
        timing::due_in(life, margin, self.dice.f64())
    }

    /// How long the grant may still go without a refresh; nothing: for ever.
    fn keep_alive_in(&self, now: Now) -> Option<Duration> {
        let idle = self.settings.lifetime.idle?.duration();
        let record = self.record.as_ref()?;
        let last = record.refreshed_at.unwrap_or(record.obtained_at);
        Some(timing::keep_alive_in(idle, between(last, now.wall)))
    }
}

/// What is left of a stored token's life; never more than its whole life, so that a clock that
/// was set back does not keep a token alive for longer than it was given.
fn remaining(access: &AccessToken, end: Timestamp, now: Timestamp) -> Duration {
    between(now, end).min(between(access.issued_at, end))
}

pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
