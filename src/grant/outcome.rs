//! What follows from the server's answer to a refresh.

use std::time::Duration;

use jiff::Timestamp;

use super::ending;
use super::event::{Decision, Moment, Notice, Now, Reason, Rotation};
use super::publish::between;
use super::state::{Machine, Phase, SOON, seconds};
use crate::backoff::Backoff;
use crate::issuer::LEASE_LOST;
use crate::oauth::{self, Class, Failure, Tokens};
use crate::secret::Secret;
use crate::store::{AccessToken, Death, Record, Setback, State};

/// After a refusal nobody has described.
const LATER: Backoff = Backoff {
    first: seconds(5),
    most: seconds(600),
};

/// After a refusal that only a person can mend.
pub(super) const RARELY: Backoff = Backoff {
    first: seconds(30),
    most: seconds(600),
};

/// How often a dead grant is tried, in case the server was wrong.
const PROBE: Backoff = Backoff {
    first: seconds(600),
    most: seconds(6 * 3600),
};

/// How long a death sentence rests before it is confirmed: some servers pass false ones in a race.
pub(super) const CONFIRM_AFTER: Duration = seconds(5);

/// The longest wait that a server's `Retry-After` is believed.
const RETRY_AFTER_MOST: Duration = seconds(3600);

impl Machine {
    /// Takes new tokens into the record, refresh token first, and orders the save.
    pub(super) fn refreshed(&mut self, tokens: Tokens, sent: Timestamp, now: Now) -> Vec<Decision> {
        let took = now.mono.saturating_sub(self.asked_at.unwrap_or_default());
        let default = self.settings.default_expires_in;
        let Some(record) = self.record.as_mut() else {
            return Vec::new();
        };
        let lifetime = record.access_token.as_ref().and_then(AccessToken::lifetime);
        let expires_at = oauth::expires_at(&tokens, sent, lifetime, default);
        let rotation = take_refresh_token(record, tokens.refresh_token, now.wall);
        record.generation += 1;
        record.access_token = Some(on_arrival(
            AccessToken {
                value: tokens.access_token,
                generation: record.generation,
                issued_at: sent,
                expires_at,
            },
            took,
            now.wall,
        ));
        record.scope = tokens.scope.or_else(|| record.scope.take());
        record.refreshed_at = Some(now.wall);
        let untold = record
            .refresh_expires_at
            .filter(|_| rotation == Rotation::Kept);
        ending::renew(record, tokens.refresh_expires_in, untold, sent);
        record.captured.extend(tokens.captured);
        record.intent = None;
        record.state = State::Live;
        record.setback = None;
        self.prior_intent = None;
        self.failures = 0;
        self.retry_at = Moment::ZERO;
        let mut decisions = vec![Decision::Notice(Notice::Refreshed(rotation))];
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    /// Backs off as the failure's class asks, and keeps what must not be forgotten.
    pub(super) fn failed(&mut self, failure: Failure, now: Now) -> Vec<Decision> {
        let Failure {
            class,
            code,
            retry_after,
            rotated,
        } = failure;
        if code == LEASE_LOST {
            return self.withheld(now);
        }
        let mut decisions = vec![Decision::Notice(Notice::Failed(class, code.clone()))];
        self.close_intent(class, rotated, now);
        let died = class == Class::Dead && self.pass_sentence(&code, now);
        let asked = retry_after.map(|wait| wait.min(RETRY_AFTER_MOST));
        let until = self.next_attempt(class, asked, now);
        if died {
            decisions.push(Decision::Notice(Notice::Died(code.clone())));
        }
        self.note_setback(self.reason(class), &code, now);
        decisions.extend(self.refuse(self.reason(class), code, until));
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    /// Nothing was sent and nothing is wrong: the intent is closed, and another round begins.
    fn withheld(&mut self, now: Now) -> Vec<Decision> {
        self.close_intent(Class::Later, None, now);
        let mut decisions = vec![Decision::Notice(Notice::Withheld)];
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    /// Leaves word for those who share the store, so that together they ask no oftener than one.
    fn note_setback(&mut self, reason: Reason, code: &str, now: Now) {
        let wait = self.retry_at.saturating_sub(now.mono);
        let failures = self.failures;
        if !self.is_shared() {
            return;
        }
        if let Some(record) = self.record.as_mut() {
            record.setback = Some(Setback {
                reason: reason.as_str().to_owned(),
                code: code.to_owned(),
                until: now.wall.checked_add(wait).unwrap_or(now.wall),
                failures,
            });
        }
    }

    /// Waits as another was told to wait. Its clock is believed as far as the longest wait goes.
    pub(super) fn heed_setback(&mut self, now: Now) -> Vec<Decision> {
        let record = self.record.as_ref().filter(|_| self.is_shared());
        let Some(setback) = record.and_then(|record| record.setback.clone()) else {
            return Vec::new();
        };
        let reason = Reason::named(&setback.reason);
        let most = match reason {
            Reason::GrantDead => PROBE.most,
            _ => RETRY_AFTER_MOST,
        };
        let wait = between(now.wall, setback.until).min(most);
        self.failures = setback.failures;
        self.retry_at = now.mono + wait;
        if wait.is_zero() {
            return Vec::new();
        }
        self.refuse(reason, setback.code, self.retry_at)
    }

    /// The intent stays open after an ambiguous answer only; any other leaves what was open before.
    fn close_intent(&mut self, class: Class, rotated: Option<Secret<String>>, now: Now) {
        let prior = self.prior_intent.take();
        let Some(record) = self.record.as_mut() else {
            return;
        };
        record.generation += 1;
        if class != Class::Ambiguous {
            record.intent = prior;
        }
        if rotated.is_some() {
            take_refresh_token(record, rotated, now.wall);
            record.intent = None;
        }
    }

    /// Suspects the grant, or declares it dead when it was suspected; true if it died just now.
    fn pass_sentence(&mut self, code: &str, now: Now) -> bool {
        let Some(record) = self.record.as_mut() else {
            return false;
        };
        let (state, died) = match &record.state {
            State::Live => {
                let death = Death {
                    reason: code.to_owned(),
                    since: now.wall,
                };
                (State::Suspect(death), false)
            }
            State::Suspect(first) => {
                let death = Death {
                    reason: code.to_owned(),
                    since: first.since,
                };
                (State::Dead(death), true)
            }
            // Of what is revoked nothing is sent, so no sentence is heard.
            State::Dead(_) | State::Revoked { .. } => return false,
        };
        record.state = state;
        died
    }

    fn next_attempt(&mut self, class: Class, asked: Option<Duration>, now: Now) -> Moment {
        if class == Class::Ambiguous && self.replays(now.mono) {
            // The window does not wait for a back-off that older failures have made long.
            let tries = self.tries();
            self.failures += 1;
            self.retry_at = now.mono + SOON.wait(tries, self.dice.f64());
            return self.retry_at;
        }
        let backoff = match class {
            // What was a last resort is not tried again as if nothing were.
            Class::Ambiguous if self.was_last_resort(now) => RARELY,
            Class::Later | Class::Ambiguous => SOON,
            Class::Unknown => LATER,
            Class::ClientBroken | Class::Configuration => RARELY,
            Class::Dead if self.suspected() => {
                self.failures += 1;
                self.retry_at = now.mono + CONFIRM_AFTER.max(asked.unwrap_or_default());
                return self.retry_at;
            }
            Class::Dead => PROBE,
        };
        self.back_off(backoff, asked, now)
    }

    fn was_last_resort(&self, now: Now) -> bool {
        self.tries() > 1 && self.in_doubt() && !self.replays(now.mono)
    }

    /// How often the refresh token was sent since it may have been spent.
    fn tries(&self) -> u32 {
        let record = self.record.as_ref();
        let open = record.and_then(|record| record.intent.as_ref());
        open.map_or(0, |open| open.tries)
    }

    pub(super) fn reason(&self, class: Class) -> Reason {
        match class {
            Class::Later | Class::Ambiguous | Class::Unknown => Reason::IssuerUnavailable,
            Class::ClientBroken => Reason::ClientRefused,
            Class::Configuration => Reason::ConfigurationRefused,
            Class::Dead if self.suspected() => Reason::IssuerUnavailable,
            Class::Dead => Reason::GrantDead,
        }
    }

    fn suspected(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| matches!(record.state, State::Suspect(_)))
    }
}

/// An answer that took longer than the token's whole life brings a token that has ended before
/// anybody saw it. The server counts from somewhere in between, so it is given that life from now;
/// if that was too kind, the upstream says so.
fn on_arrival(access: AccessToken, took: Duration, now: Timestamp) -> AccessToken {
    match access.lifetime() {
        Some(life) if life <= took => AccessToken {
            issued_at: now,
            expires_at: now.checked_add(life).ok(),
            ..access
        },
        _ => access,
    }
}

/// Keeps a new refresh token, and the old one as the previous.
fn take_refresh_token(
    record: &mut Record,
    new: Option<Secret<String>>,
    now: Timestamp,
) -> Rotation {
    let Some(new) = new.filter(|new| *new != record.refresh_token) else {
        return Rotation::Kept;
    };
    record.previous_refresh_token = Some(std::mem::replace(&mut record.refresh_token, new));
    record.rotated_at = Some(now);
    Rotation::Rotated
}
