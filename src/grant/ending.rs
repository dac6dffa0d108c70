//! How long the grant itself lives: the refresh token's own end and the end of the whole grant,
//! which no refresh puts off, and the warnings before.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::event::{Decision, Notice, Now};
use super::state::Machine;
use crate::oauth;
use crate::store::{Record, State};

/// The days before the end at which somebody is told.
const WARNINGS: [u16; 3] = [30, 7, 1];

/// An end that moves by less has not been put off.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

impl Machine {
    /// When the refresh token or the grant ends, whichever is known to be earlier.
    pub fn refresh_token_ends(&self) -> Option<Timestamp> {
        self.nearest_end().map(|end| end.at)
    }

    /// From when the life counts that ends then: when it began, or when its end was last put off.
    pub fn refresh_token_lives_from(&self) -> Option<Timestamp> {
        self.nearest_end().map(|end| end.from)
    }

    fn nearest_end(&self) -> Option<End> {
        self.ends().into_iter().flatten().min_by_key(|end| end.at)
    }

    fn ends(&self) -> [Option<End>; 2] {
        let Some(record) = self.grant() else {
            return [None; 2];
        };
        let own = record.refresh_expires_at.map(|at| End {
            from: record.refresh_lives_from.unwrap_or(record.obtained_at),
            at,
        });
        let absolute = self.settings.lifetime.absolute.map(|period| End {
            from: record.obtained_at,
            at: record
                .obtained_at
                .checked_add(period.duration())
                .unwrap_or(Timestamp::MAX),
        });
        [own, absolute]
    }

    /// Tells once at each of the days before the end. A warning comes only where the life was at
    /// least twice as long: a token that lives a day and is renewed each hour is no news.
    pub(super) fn warn(&mut self, now: Now) -> Vec<Decision> {
        let nearest = self
            .ends()
            .into_iter()
            .flatten()
            .filter_map(|end| Some((end.nearest(now.wall)?, end.at)))
            .min();
        let before = std::mem::replace(&mut self.warned, nearest.map(|(days, _)| days));
        let dead = self
            .record
            .as_ref()
            .is_some_and(|record| matches!(record.state, State::Dead(_)));
        nearest
            .filter(|(days, _)| !dead && before.is_none_or(|before| *days < before))
            .map(|(days, at)| Decision::Notice(Notice::Ending(days, at)))
            .into_iter()
            .collect()
    }

    /// Looks into a refresh token that may say itself when it ends.
    pub(super) fn note_refresh_expiry(&mut self) {
        if let Some(record) = self.record.as_mut()
            && record.refresh_expires_at.is_none()
        {
            let from = record.rotated_at.unwrap_or(record.obtained_at);
            record.refresh_expires_at =
                oauth::refresh_expires_at(&record.refresh_token, None, from);
            record.refresh_lives_from = record.refresh_expires_at.map(|_| from);
        }
    }
}

/// Notes when the refresh token ends that a record holds after a refresh.
pub(super) fn renew(
    record: &mut Record,
    told: Option<Duration>,
    untold: Option<Timestamp>,
    sent: Timestamp,
) {
    let before = record.refresh_expires_at;
    let after = oauth::refresh_expires_at(&record.refresh_token, told, sent).or(untold);
    let put_off = match (before, after) {
        (Some(before), Some(after)) => after.duration_since(before) > SLACK,
        _ => true,
    };
    if put_off {
        record.refresh_lives_from = Some(sent);
    }
    record.refresh_expires_at = after;
}

/// A life's beginning and end.
#[derive(Clone, Copy)]
struct End {
    from: Timestamp,
    at: Timestamp,
}

impl End {
    /// The least of the warnings' days that are not more than what is left.
    fn nearest(self, now: Timestamp) -> Option<u16> {
        let left = self.at.duration_since(now);
        let whole = self.at.duration_since(self.from);
        let passed = |days: &u16| {
            let days = SignedDuration::from_hours(24 * i64::from(*days));
            left <= days && whole >= days * 2
        };
        WARNINGS.into_iter().filter(passed).min()
    }
}
