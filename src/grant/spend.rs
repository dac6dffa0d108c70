//! Spending the refresh token: the intent before, and what it means when it stays open.

use std::time::Duration;

use super::event::{Decision, Moment, Notice, Now, Reason};
use super::outcome::{CONFIRM_AFTER, RARELY};
use super::state::{Machine, Phase, seconds};
use crate::config::RotationRule;
use crate::store::{Intent, State};

impl Machine {
    /// Writes down what is about to be spent. Of a token that may be spent already, the first
    /// moment stays: the server's window counts from there.
    pub(super) fn intend(&mut self, now: Now) -> Vec<Decision> {
        let by = self.settings.identity.clone();
        let Some(record) = self.record.as_mut() else {
            return Vec::new();
        };
        self.prior_intent = record.intent.take();
        let (since, tries) = self
            .prior_intent
            .as_ref()
            .map_or((now.wall, 0), |open| (open.since, open.tries));
        record.intent = Some(Intent {
            refresh_token: record.refresh_token.hash(),
            by,
            since,
            tries: tries.saturating_add(1),
        });
        record.generation += 1;
        self.save(Phase::Intending)
    }

    /// Sends it, now that the intent is durable.
    pub(super) fn ask(&mut self, now: Now) -> Vec<Decision> {
        self.stored = self.record.as_ref().map(|record| record.generation);
        self.forget_overtaken();
        if self.lacks_lease(now) {
            // Reading and saving took long, or the process was stopped.
            return self.claim(Phase::Renewing, now);
        }
        let mut decisions = Vec::new();
        if self.prior_intent.is_some() && self.rotates() {
            let replays = self.replays(now.mono);
            let serves = self.token.is_some_and(|token| token.serves(now.mono));
            if !replays && (serves || self.stranger_until() > now.mono) {
                // The window has closed while the intent was being saved.
                self.prior_intent = None;
                return self.advance(now);
            }
            decisions.extend(self.tell_of_stranger());
            decisions.push(Decision::Notice(if replays {
                Notice::Resent
            } else {
                Notice::LastResort
            }));
        }
        if self.prior_intent.is_none() {
            let window = usable(self.settings.lifetime.replay_window.duration());
            self.replay_until = Some(now.mono + window);
            self.held = false;
        }
        let Some(record) = &self.record else {
            return decisions;
        };
        let refresh_token = record.refresh_token.clone();
        decisions.push(Decision::Refresh(refresh_token, self.right(now)));
        self.phase = Phase::Asking;
        self.asked_at = Some(now.mono);
        decisions
    }

    /// Undoes [`Machine::intend`] where its save failed: nothing was sent.
    pub(super) fn withdraw_intent(&mut self) {
        if let Some(record) = self.record.as_mut() {
            self.withdrawn = std::mem::replace(&mut record.intent, self.prior_intent.take());
            record.generation -= 1;
        }
    }

    /// True when the refresh token may already be spent: an intent to spend it was never closed.
    fn intent_open(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| record.intent.is_some())
    }

    /// True when sending the refresh token again could be taken for theft.
    pub(super) fn in_doubt(&self) -> bool {
        self.intent_open() && self.rotates()
    }

    /// Whether the server may replace the refresh token. Learnt: false once a refresh has shown
    /// that it leaves it as it is.
    fn rotates(&self) -> bool {
        match self.settings.lifetime.rotation {
            RotationRule::Never => false,
            RotationRule::Always => true,
            RotationRule::Auto => self
                .record
                .as_ref()
                .is_none_or(|record| record.rotated_at.is_some() || record.refreshed_at.is_none()),
        }
    }

    /// Understands a record that was just read or begun.
    pub(super) fn take_stock(&mut self, now: Now) {
        self.note_refresh_expiry();
        self.held = false;
        self.replay_until = None;
        let Some(record) = self.record.as_mut() else {
            return;
        };
        let hash = record.refresh_token.hash();
        // An intent to spend another token says nothing about this one.
        record.intent.take_if(|open| open.refresh_token != hash);
        let open = record.intent.clone();
        self.note_stranger(now);
        if let Some(open) = open {
            let mut window = usable(self.settings.lifetime.replay_window.duration());
            if self.is_strange(&open) {
                window = window.saturating_sub(SKEW);
            }
            // An intent from the future was written by a clock that was wrong, and so may this
            // one be: then nobody knows how much of the window is left.
            let passed = Duration::try_from(now.wall.duration_since(open.since)).ok();
            let left = passed.map_or(Duration::ZERO, |passed| window.saturating_sub(passed));
            self.replay_until = Some(now.mono + left);
        }
    }

    /// Goes on at the start where the last process stopped: with an open intent, or with a grant
    /// that was called dead.
    pub(super) fn resume(&mut self, now: Now) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let Some(record) = &self.record else {
            return decisions;
        };
        let open = record.intent.as_ref();
        let tries = open.map_or(0, |open| open.tries);
        if let Some(open) = open.filter(|_| !self.is_shared()) {
            decisions.push(Decision::Notice(Notice::IntentOpen(open.by.clone())));
        }
        let refused = match &record.state {
            State::Live => None,
            State::Revoked { .. } => return self.tell_of_none(self.next_look(now)),
            State::Suspect(death) => Some((Reason::IssuerUnavailable, death.reason.clone())),
            State::Dead(death) => Some((Reason::GrantDead, death.reason.clone())),
        };
        if record.setback.is_some() && self.is_shared() {
            decisions.extend(self.heed_setback(now));
        } else if let Some((reason, code)) = refused {
            // A start is a reason to ask a dead grant's server again, but not a start per second.
            self.retry_at = now.mono + CONFIRM_AFTER;
            decisions.extend(self.refuse(reason, code, self.retry_at));
        } else if tries > 1 && self.in_doubt() && !self.replays(now.mono) {
            self.failures = tries - 2;
            let until = self.back_off(RARELY, None, now);
            let code = String::from("answer_lost");
            decisions.extend(self.refuse(Reason::IssuerUnavailable, code, until));
        }
        decisions
    }
}

/// How far the clocks of two replicas may differ.
const SKEW: Duration = seconds(5);

/// The part of the server's window in which a request that is sent still arrives in time.
fn usable(window: Duration) -> Moment {
    window.saturating_sub((window / 4).clamp(seconds(1), seconds(30)))
}
