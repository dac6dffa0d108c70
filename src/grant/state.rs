//! What the keeper decides: a pure state machine.
//!
//! Events and `now` go in, decisions come out; no I/O, no clock, and no randomness but a seed.
//! One round is: read the record again → write the intent → ask the server → save → publish.
//! The machine orders at most one piece of work at a time and waits for its event. What follows
//! from the server's answer stands in `outcome.rs`, the spending in `spend.rs`, the handing out
//! in `publish.rs`.
//!
//! What always holds:
//! - A refresh token is sent only after the intent to spend it is durable.
//! - An access token is published only after the record that came with it is durable; where that
//!   save fails, the token is served, nothing is rotated again, and the save is tried until it works.
//! - After an ambiguous answer of a rotating server the same token is not sent again while the
//!   access token lives; after that only as a counted last resort.
//! - Dead is a state, not a deletion.

use std::time::Duration;

use super::event::{Decision, Event, Moment, Notice, Now, Reason, Refusal, Settings, Standing};
use crate::backoff::Backoff;
use crate::oauth::Answer;
use crate::secret::Secret;
use crate::store::{ErrorKind, Intent, Record};

/// What the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is under way.
    Resting,
    /// The record is being read.
    Reading,
    /// The intent is being written.
    Intending,
    /// The server is being asked.
    Asking,
    /// What came of it is being saved; then the token, if one came, is published.
    Keeping,
}

/// One grant's state.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) dice: fastrand::Rng,
    pub(super) phase: Phase,
    pub(super) record: Option<Record>,
    /// The generation that is durable in the store.
    pub(super) stored: Option<u64>,
    /// A save failed and is to be tried again; until then nothing is rotated.
    unsaved: bool,
    /// The intent that was open before the one being written.
    pub(super) prior_intent: Option<Intent>,
    pub(super) token: Option<Current>,
    pub(super) refusal: Option<Refusal>,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Moment>,
}

/// The token in use, as far as the machine cares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) generation: u64,
    pub(super) ends: Option<Moment>,
    pub(super) due: Option<Moment>,
    pub(super) renewable_from: Moment,
    pub(super) rejected: bool,
    /// Renewals in a row that were made for a rejection and never led to a success.
    pub(super) strikes: u32,
}

/// After a failure that should pass: the server is away or busy, a store is.
pub(super) const SOON: Backoff = Backoff {
    first: seconds(1),
    most: seconds(60),
};

/// How often an empty store is looked at.
const EMPTY: Duration = seconds(5);

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Machine {
    /// A machine for what the store held at the start; `seed` seeds its jitter.
    pub fn new(settings: Settings, record: Option<Record>, seed: u64) -> Self {
        let stored = record.as_ref().map(|record| record.generation);
        Self {
            settings,
            dice: fastrand::Rng::with_seed(seed),
            phase: Phase::Resting,
            record,
            stored,
            unsaved: false,
            prior_intent: None,
            token: None,
            refusal: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// Takes up what was stored: publishes the token that still lives, takes the seed where the
    /// store is empty or the seed has changed since, and remembers an open intent.
    pub fn begin(&mut self, seed: Option<Secret<String>>, now: Now) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if seed.is_some_and(|seed| self.take_seed(seed, now)) {
            decisions.push(Decision::Notice(Notice::Seeded));
            decisions.extend(self.save(Phase::Keeping));
        } else {
            decisions.extend(self.take_up(now));
        }
        if self.intent_open() {
            decisions.push(Decision::Notice(Notice::IntentOpen));
            self.wait_for_the_end();
        }
        decisions.extend(self.advance(now));
        decisions
    }

    /// Takes one event.
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Decision> {
        match event {
            Event::Tick | Event::Wanted => self.advance(now),
            Event::Rejected(generation, standing) => self.rejected(generation, standing, now),
            Event::Loaded(read) => self.loaded(read, now),
            Event::Saved(saved) => self.saved(saved, now),
            Event::Answered(Answer::Success(tokens), sent) => self.refreshed(*tokens, sent, now),
            Event::Answered(Answer::Failed(failure), _) => self.failed(failure, now),
            Event::SecretChanged => self.secret_changed(now),
        }
    }

    /// Takes other settings; what is under way goes on.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The record as it is known now, saved or not.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// True while the newest record could not be saved.
    pub fn unsaved(&self) -> bool {
        self.unsaved
    }

    /// Why there is no new token, if there is none.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// True when no work is under way, so that the process may end without losing any.
    pub fn resting(&self) -> bool {
        self.phase == Phase::Resting
    }

    /// When an [`Event::Tick`] is due; nothing while work is under way or nothing is left to do.
    pub fn wakes_at(&self) -> Option<Moment> {
        if self.phase != Phase::Resting {
            return None;
        }
        let due = match &self.token {
            _ if self.unsaved => Some(Moment::ZERO),
            Some(token) if token.rejected => Some(Moment::ZERO),
            Some(token) => token.due,
            None => Some(Moment::ZERO),
        };
        due.map(|due| due.max(self.retry_at.unwrap_or_default()))
    }

    /// Orders the save that is still owed, if any, before the process ends.
    pub fn flush(&mut self) -> Vec<Decision> {
        if !self.unsaved || !self.resting() {
            return Vec::new();
        }
        self.phase = Phase::Reading;
        vec![Decision::Load]
    }

    /// Begins what is due, if nothing is under way. Each round begins with reading the record.
    fn advance(&mut self, now: Now) -> Vec<Decision> {
        if self.wakes_at().is_none_or(|at| at > now.mono) {
            return Vec::new();
        }
        self.phase = Phase::Reading;
        vec![Decision::Load]
    }

    fn rejected(&mut self, generation: u64, standing: Standing, now: Now) -> Vec<Decision> {
        let Some(token) = self
            .token
            .as_mut()
            .filter(|token| token.generation == generation)
        else {
            return Vec::new();
        };
        if now.mono < token.renewable_from {
            return Vec::new();
        }
        if standing == Standing::Proven {
            token.strikes = 0;
        }
        token.rejected = true;
        self.advance(now)
    }

    fn loaded(&mut self, read: Result<Option<Record>, ErrorKind>, now: Now) -> Vec<Decision> {
        self.phase = Phase::Resting;
        let stored = match read {
            Ok(stored) => stored,
            Err(kind) => return self.store_trouble(kind, now),
        };
        self.stored = stored.as_ref().map(|record| record.generation);
        if self.unsaved {
            return self.save_again();
        }
        let ours = self.record.as_ref().map(|record| record.generation);
        match stored {
            Some(stored) if Some(stored.generation) > ours => self.adopt(stored, now),
            _ if self.record.is_none() => self.refuse(
                Reason::NoGrant,
                String::from("store_empty"),
                now.mono + EMPTY,
            ),
            _ => self.intend(now),
        }
    }

    /// Takes what somebody else has stored.
    fn adopt(&mut self, stored: Record, now: Now) -> Vec<Decision> {
        self.record = Some(stored);
        self.failures = 0;
        self.retry_at = None;
        let mut decisions = vec![Decision::Notice(Notice::Adopted)];
        decisions.extend(self.take_up(now));
        decisions.extend(self.advance(now));
        decisions
    }

    fn saved(&mut self, saved: Result<(), ErrorKind>, now: Now) -> Vec<Decision> {
        let phase = std::mem::replace(&mut self.phase, Phase::Resting);
        match (saved, phase) {
            (Ok(()), Phase::Intending) => self.ask(),
            (Err(kind), Phase::Intending) => {
                self.withdraw_intent();
                self.store_trouble(kind, now)
            }
            (Ok(()), _) => self.kept(now),
            (Err(kind), _) => self.not_kept(kind, now),
        }
    }

    fn kept(&mut self, now: Now) -> Vec<Decision> {
        self.stored = self.record.as_ref().map(|record| record.generation);
        let mut decisions = Vec::new();
        if std::mem::take(&mut self.unsaved) {
            self.failures = 0;
            self.retry_at = None;
            self.refusal = None;
            decisions.push(Decision::Notice(Notice::SavedAtLast));
        }
        decisions.extend(self.take_up(now));
        decisions.extend(self.advance(now));
        decisions
    }

    /// Serves what came although it is not durable, and tries the save again.
    fn not_kept(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if !std::mem::replace(&mut self.unsaved, true) {
            decisions.push(Decision::Notice(Notice::Unsaved(kind)));
        }
        decisions.extend(self.take_up(now));
        // Nobody who needs a newer one waits: nothing is rotated before this one is safe.
        let until = self.back_off(SOON, None, now);
        decisions.extend(self.refuse(Reason::StoreUnavailable, kind.as_str().to_owned(), until));
        decisions
    }

    /// Saves over what is stored now: a failed save may yet have arrived, wholly.
    fn save_again(&mut self) -> Vec<Decision> {
        let stored = self.stored.unwrap_or_default();
        if let Some(record) = self.record.as_mut() {
            record.generation = record.generation.max(stored + 1);
        }
        self.save(Phase::Keeping)
    }

    pub(super) fn save(&mut self, phase: Phase) -> Vec<Decision> {
        let Some(record) = &self.record else {
            return Vec::new();
        };
        self.phase = phase;
        vec![Decision::Save(Box::new(record.clone()), self.stored)]
    }

    fn store_trouble(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        let until = self.back_off(SOON, None, now);
        let mut decisions = vec![Decision::Notice(Notice::StoreTrouble(kind))];
        decisions.extend(self.refuse(Reason::StoreUnavailable, kind.as_str().to_owned(), until));
        decisions
    }

    /// Counts a failure and says when to try again: by `backoff`, by what the server asked for,
    /// whichever is later.
    pub(super) fn back_off(
        &mut self,
        backoff: Backoff,
        asked: Option<Duration>,
        now: Now,
    ) -> Moment {
        self.failures += 1;
        let wait = backoff
            .wait(self.failures, self.dice.f64())
            .max(asked.unwrap_or_default());
        let until = now.mono + wait;
        self.retry_at = Some(until);
        until
    }

    pub(super) fn refuse(&mut self, reason: Reason, code: String, until: Moment) -> Vec<Decision> {
        self.retry_at = Some(until);
        let refusal = Refusal {
            reason,
            code,
            until,
        };
        self.refusal = Some(refusal.clone());
        vec![Decision::Refuse(refusal)]
    }

    fn secret_changed(&mut self, now: Now) -> Vec<Decision> {
        let refused = self.refusal.as_ref().map(|refusal| refusal.reason);
        if !matches!(refused, Some(Reason::ClientRefused | Reason::GrantDead)) {
            return Vec::new();
        }
        self.failures = 0;
        self.retry_at = None;
        self.advance(now)
    }
}
