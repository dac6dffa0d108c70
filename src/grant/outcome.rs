//! What follows from the server's answer to a refresh.

use std::time::Duration;

use jiff::Timestamp;

use super::event::{Decision, Moment, Notice, Now, Reason, Rotation};
use super::state::{Machine, Phase, SOON, seconds};
use crate::backoff::Backoff;
use crate::oauth::{self, Class, Failure, Tokens};
use crate::secret::Secret;
use crate::store::{AccessToken, Death, Record, State};

/// After a refusal nobody has described.
const LATER: Backoff = Backoff {
    first: seconds(5),
    most: seconds(600),
};

/// After a refusal that only a person can mend.
const RARELY: Backoff = Backoff {
    first: seconds(30),
    most: seconds(600),
};

/// How often a dead grant is tried, in case the server was wrong.
const PROBE: Backoff = Backoff {
    first: seconds(600),
    most: seconds(6 * 3600),
};

/// How long a death sentence rests before it is confirmed: some servers pass false ones in a race.
const CONFIRM_AFTER: Duration = seconds(5);

/// The longest wait that a server's `Retry-After` is believed.
const RETRY_AFTER_MOST: Duration = seconds(3600);

impl Machine {
    /// Takes new tokens into the record, refresh token first, and orders the save.
    pub(super) fn refreshed(&mut self, tokens: Tokens, sent: Timestamp, now: Now) -> Vec<Decision> {
        let Some(record) = self.record.as_mut() else {
            return Vec::new();
        };
        let lifetime = record.access_token.as_ref().and_then(AccessToken::lifetime);
        let default = self.settings.default_expires_in;
        let expires_at = oauth::expires_at(&tokens, sent, lifetime, default);
        let rotation = take_refresh_token(record, tokens.refresh_token, now.wall);
        record.generation += 1;
        record.access_token = Some(AccessToken {
            value: tokens.access_token,
            generation: record.generation,
            issued_at: sent,
            expires_at,
        });
        record.scope = tokens.scope.or_else(|| record.scope.take());
        record.refreshed_at = Some(now.wall);
        record.refresh_expires_at = match tokens.refresh_expires_in {
            Some(life) => sent.checked_add(life).ok(),
            None if rotation == Rotation::Rotated => None,
            None => record.refresh_expires_at,
        };
        record.captured.extend(tokens.captured);
        record.intent = None;
        record.state = State::Live;
        self.prior_intent = None;
        self.failures = 0;
        self.retry_at = None;
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
        let mut decisions = vec![Decision::Notice(Notice::Failed(class, code.clone()))];
        self.close_intent(class, rotated, now);
        let died = class == Class::Dead && self.pass_sentence(&code, now);
        let asked = retry_after.map(|wait| wait.min(RETRY_AFTER_MOST));
        let until = self.next_attempt(class, asked, now);
        if died {
            decisions.push(Decision::Notice(Notice::Died(code.clone())));
        }
        decisions.extend(self.refuse(self.reason(class), code, until));
        if class == Class::Ambiguous {
            self.wait_for_the_end();
        }
        decisions.extend(self.save(Phase::Keeping));
        decisions
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
            State::Dead(death) => (State::Dead(death.clone()), false),
        };
        record.state = state;
        died
    }

    fn next_attempt(&mut self, class: Class, asked: Option<Duration>, now: Now) -> Moment {
        let backoff = match class {
            Class::Later | Class::Ambiguous => SOON,
            Class::Unknown => LATER,
            Class::ClientBroken | Class::Configuration => RARELY,
            Class::Dead if self.suspected() => {
                self.failures += 1;
                return now.mono + CONFIRM_AFTER.max(asked.unwrap_or_default());
            }
            Class::Dead => PROBE,
        };
        self.back_off(backoff, asked, now)
    }

    fn reason(&self, class: Class) -> Reason {
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
