//! Reading and saving the record: what is found there, whose it is, and what follows when the
//! store fails.

use super::event::{Decision, Moment, Notice, Now, Reason};
use super::state::{Machine, Phase, Planting, SOON, seconds};
use crate::secret::Secret;
use crate::store::{ErrorKind, Record};

/// When the store is looked at again where a look failed.
const LOOK_AGAIN: Moment = seconds(30);

impl Machine {
    pub(super) fn loaded(
        &mut self,
        read: Result<Option<Record>, ErrorKind>,
        now: Now,
    ) -> Vec<Decision> {
        self.phase = Phase::Resting;
        let stored = match read {
            Ok(stored) => stored,
            Err(kind) => return self.unread(kind, now),
        };
        self.look_at = self.next_look(now);
        self.recognise(stored.as_ref());
        let theirs = stored.as_ref().is_some_and(|stored| self.is_theirs(stored));
        self.stored = stored.as_ref().map(|record| record.generation);
        match stored {
            Some(stored) if theirs => self.adopt(stored, now),
            _ if self.unsaved() => self.save_again(),
            _ if self.closing => Vec::new(),
            _ if self.errand.is_some() => self.do_errand(now),
            _ if self.seed.is_some() => self.plant(now),
            _ if self.grant().is_none() => self.tell_of_none(self.look_at),
            _ if self.due(now) => self.intend(now),
            _ => self.advance(now),
        }
    }

    /// Knows an intent of its own again whose save failed and arrived all the same.
    fn recognise(&mut self, stored: Option<&Record>) {
        let Some(withdrawn) = self.withdrawn.take() else {
            return;
        };
        if let (Some(ours), Some(stored)) = (self.record.as_mut(), stored)
            && stored.intent.as_ref() == Some(&withdrawn)
        {
            ours.generation = ours.generation.max(stored.generation);
        }
    }

    /// True for a record that somebody else has put there.
    fn is_theirs(&self, stored: &Record) -> bool {
        let Some(ours) = &self.record else {
            return true;
        };
        let other = stored.refresh_token != ours.refresh_token;
        if self.unsaved() {
            // What failed may have arrived, and what was there before it may still be there.
            return other && Some(stored.generation) > self.stored;
        }
        stored.generation > ours.generation || (other && stored.generation == ours.generation)
    }

    /// Takes what somebody else has stored.
    fn adopt(&mut self, stored: Record, now: Now) -> Vec<Decision> {
        let same = self
            .record
            .as_ref()
            .is_some_and(|ours| ours.refresh_token == stored.refresh_token);
        self.record = Some(stored);
        self.unsaved = 0;
        self.prior_intent = None;
        if !same {
            self.supersede();
        }
        self.take_stock(now);
        let mut decisions = vec![Decision::Notice(Notice::Adopted)];
        decisions.extend(self.relent());
        if self.grant().is_none() {
            // Somebody has taken the grant back: its access token is not served to its end.
            decisions.extend(self.withdraw(now));
        }
        decisions.extend(self.take_up(now));
        decisions.extend(self.advance(now));
        decisions
    }

    /// Sees to it that the token in use, which is of another chain, gives way to the new one's.
    pub(super) fn supersede(&mut self) {
        let Some(token) = self.token.as_mut() else {
            return;
        };
        token.due = Some(Moment::ZERO);
        let access = self.record.as_mut().and_then(|new| {
            let generation = new.generation;
            Some((new.access_token.as_mut()?, generation))
        });
        if let Some((access, generation)) = access {
            access.generation = generation.max(token.generation + 1);
        }
    }

    /// Begins a new chain with a seed that changed while the process runs: somebody wants it.
    fn plant(&mut self, now: Now) -> Vec<Decision> {
        let Some(seed) = self.seed.take() else {
            return Vec::new();
        };
        let known = self.record.as_ref().and_then(|known| known.seed.as_ref());
        if known == seed.mark.as_ref() {
            return self.advance(now);
        }
        self.begin_chain(seed, now);
        self.supersede();
        let mut decisions = self.relent();
        decisions.push(Decision::Notice(Notice::Seeded));
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    /// Takes the seed at the start, unless the stored chain began with this very seed or is not
    /// known to have begun with another: then the stored chain wins.
    pub(super) fn take_seed(&mut self, seed: Secret<String>, now: Now) -> bool {
        let planting = Planting::of_seed(seed, now);
        if let Some(record) = self.record.as_mut() {
            // A seed beside a grant that was put in by other means is no news until it changes;
            // one beside a tombstone is meant.
            if record.seed.is_none() && !record.is_tombstone() {
                record.seed.clone_from(&planting.mark);
            }
            if record.seed == planting.mark {
                return false;
            }
        }
        self.begin_chain(planting, now);
        true
    }

    pub(super) fn begin_chain(&mut self, planting: Planting, now: Now) {
        let mut before = self.record.take();
        if let Some(before) = before.as_mut() {
            before.generation = Some(before.generation).max(self.stored).unwrap_or_default();
        }
        self.record = Some(planting.record.in_place_of(before, planting.mark));
        self.take_stock(now);
    }

    pub(super) fn saved(&mut self, saved: Result<(), ErrorKind>, now: Now) -> Vec<Decision> {
        let phase = std::mem::replace(&mut self.phase, Phase::Resting);
        match (saved, phase) {
            (Ok(()), Phase::Intending) => self.ask(now),
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
        let mut decisions = self.settle();
        if std::mem::take(&mut self.unsaved) > 0 {
            decisions.push(Decision::Notice(Notice::SavedAtLast));
            let of_store = |reason| reason == Reason::StoreUnavailable;
            if self.refusal.as_ref().is_some_and(|it| of_store(it.reason)) {
                decisions.extend(self.relent());
            }
        }
        if self.grant().is_none() {
            decisions.extend(self.tell_of_none(self.next_look(now)));
        }
        decisions.extend(self.take_up(now));
        decisions.extend(self.advance(now));
        decisions
    }

    /// Serves what came although it is not durable, and tries the save again.
    fn not_kept(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if self.unsaved == 0 {
            decisions.push(Decision::Notice(Notice::Unsaved(kind)));
        }
        self.unsaved += 1;
        self.save_at = now.mono + SOON.wait(self.unsaved, self.dice.f64());
        decisions.extend(self.give_up_errand(kind, self.save_at));
        decisions.extend(self.take_up(now));
        let until = self.save_at;
        // Whoever finds no living token is told so: nothing is refreshed before the save works.
        decisions.extend(match self.refusal.take() {
            Some(known) => self.refuse(known.reason, known.code, known.until.max(until)),
            None => self.refuse(Reason::StoreUnavailable, kind.as_str().to_owned(), until),
        });
        decisions
    }

    /// Saves over what is stored now: a failed save may yet have arrived, wholly.
    fn save_again(&mut self) -> Vec<Decision> {
        let stored = self.stored.map_or(0, |stored| stored + 1);
        if let Some(record) = self.record.as_mut() {
            record.generation = record.generation.max(stored);
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

    /// The record cannot be read. A mere look changes nothing; a save is tried again; for a
    /// refresh the store is needed.
    fn unread(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        if self.unsaved() {
            return self.not_kept(kind, now);
        }
        let needed = self.due(now) || self.record.is_none();
        self.look_at = now.mono + LOOK_AGAIN;
        if needed {
            return self.store_trouble(kind, now);
        }
        let mut decisions = self.give_up_errand(kind, self.look_at);
        decisions.push(Decision::Notice(Notice::StoreTrouble(kind)));
        if self.grant().is_none() {
            decisions.extend(self.tell_of_none(self.look_at));
        }
        decisions
    }

    fn store_trouble(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        let until = self.back_off(SOON, None, now);
        let mut decisions = self.give_up_errand(kind, until);
        decisions.push(Decision::Notice(Notice::StoreTrouble(kind)));
        decisions.extend(self.refuse(Reason::StoreUnavailable, kind.as_str().to_owned(), until));
        decisions
    }
}
