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
            .and_then(|record| record.access_token.clone())
        else {
            return Vec::new();
        };
        let life = access
            .expires_at
            .map(|end| remaining(&access, end, now.wall));
        let known = self.token.map(|token| token.generation);
        if known >= Some(access.generation) || life.is_some_and(|life| life.is_zero()) {
            return Vec::new();
        }
        let strikes = self
            .token
            .filter(|token| token.rejected)
            .map_or(0, |token| token.strikes + 1);
        let floor = self
            .settings
            .renew_floor
            .saturating_mul(1 << strikes.min(16));
        let current = Current {
            generation: access.generation,
            ends: life.map(|life| now.mono + life),
            due: life.map(|life| now.mono + self.due_in(&access, life)),
            renewable_from: now.mono + floor.min(FLOOR_MOST.max(self.settings.renew_floor)),
            rejected: false,
            strikes,
        };
        self.token = Some(current);
        self.refusal = None;
        vec![Decision::Publish(Issued {
            value: access.value,
            generation: current.generation,
            ends: current.ends,
            renewable_from: current.renewable_from,
        })]
    }

    fn due_in(&mut self, access: &AccessToken, life: Duration) -> Duration {
        let whole = access
            .expires_at
            .map_or(life, |end| between(access.issued_at, end));
        let margin = timing::margin(self.settings.refresh_before, whole);
        timing::due_in(life, margin, self.dice.f64())
    }
}

/// What is left of a stored token's life; never more than its whole life, so that a clock that
/// was set back does not keep a token alive for longer than it was given.
fn remaining(access: &AccessToken, end: Timestamp, now: Timestamp) -> Duration {
    between(now, end).min(between(access.issued_at, end))
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
