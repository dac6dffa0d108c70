//! Reading and saving the record: what is found there, whose it is, and what follows when the
//! store fails.

use super::event::{Decision, Moment, Notice, Now, Reason};
use super::state::{Machine, Phase, Planting, SOON, Sown, seconds};
use crate::backoff::Backoff;
use crate::store::{ErrorKind, Record};

/// When the store is looked at again where a look failed.
const LOOK_AGAIN: Moment = seconds(30);

/// When a failed save is tried again: soon, for what is not saved may be lost with the process.
const SAVE_AGAIN: Backoff = Backoff {
    first: seconds(1),
    most: seconds(10),
};

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
        self.note_read(now);
        if !self.begun {
            return self.read_at_last(stored, now);
        }
        self.recognise(stored.as_ref());
        let theirs = stored.as_ref().is_some_and(|stored| self.is_theirs(stored));
        self.stored = stored.as_ref().map(|record| record.generation);
        match stored {
            Some(stored) if theirs => self.adopt(stored, now),
            _ => self.go_on(now),
        }
    }

    /// The stored record is the one that is known.
    pub(super) fn unchanged(&mut self, now: Now) -> Vec<Decision> {
        self.phase = Phase::Resting;
        self.note_read(now);
        self.go_on(now)
    }

    /// Does what was waiting for the record to be read.
    fn go_on(&mut self, now: Now) -> Vec<Decision> {
        if self.unsaved() {
            return self.save_again();
        }
        if self.closing {
            return Vec::new();
        }
        let seed = self.seed.take();
        self.seed = seed.filter(|seed| self.is_news(seed));
        let spends = self.grant().is_some() && self.due(now);
        let acts = self.errand_waits() || self.seed.is_some() || spends;
        if acts && self.lacks_lease(now) {
            return self.claim(Phase::Claiming, now);
        }
        match () {
            () if self.errand.is_some() => self.do_errand(now),
            () if self.seed.is_some() => self.plant(now),
            () if self.grant().is_none() => self.tell_of_none(self.look_at),
            () if spends => self.intend(now),
            () => self.advance(now),
        }
    }

    /// Takes up what the store held at the start. Where it is shared, others may be planting the
    /// same seed, so that waits for the lease.
    pub(super) fn begin_with_stored(&mut self, now: Now) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.take_stock(now);
        let seed = self.seed.take();
        match seed.filter(|seed| self.is_news(seed)) {
            Some(seed) if !self.is_shared() => {
                self.begin_chain(seed, now);
                decisions.push(Decision::Notice(Notice::Seeded));
                decisions.extend(self.save(Phase::Keeping));
            }
            seed => {
                self.seed = seed;
                decisions.extend(self.take_up(now));
                decisions.extend(self.resume(now));
            }
        }
        if self.seed.is_some() {
            self.look_at = Moment::ZERO;
        }
        decisions.extend(self.advance(now));
        decisions
    }

    /// The store, which was away at the start, has answered.
    fn read_at_last(&mut self, stored: Option<Record>, now: Now) -> Vec<Decision> {
        self.begun = true;
        self.stored = stored.as_ref().map(|record| record.generation);
        self.record = stored;
        let mut decisions = self.relent();
        decisions.extend(self.begin_with_stored(now));
        decisions
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
            // What failed may have arrived, and what was there before it may still be there. What
            // others wrote beside the refresh token that ours came from gives way to ours.
            let wrote = Some(stored.generation) > self.stored && stored != ours;
            let succeeds =
                other && ours.previous_refresh_token.as_ref() == Some(&stored.refresh_token);
            return wrote && !succeeds && (other || self.is_shared());
        }
        stored.generation > ours.generation || (other && stored.generation == ours.generation)
    }

    /// Takes what somebody else has stored.
    fn adopt(&mut self, stored: Record, now: Now) -> Vec<Decision> {
        let ours = self.record.as_ref();
        let same = ours.is_some_and(|ours| ours.refresh_token == stored.refresh_token);
        let access = |record: &Record| record.access_token.as_ref().map(|it| it.value.clone());
        let news = !same || ours.map(access) != Some(access(&stored));
        self.record = Some(stored);
        self.unsaved = 0;
        self.prior_intent = None;
        if !same {
            self.supersede();
        }
        self.take_stock(now);
        let mut decisions = Vec::new();
        if news {
            decisions.push(Decision::Notice(Notice::Adopted));
        }
        decisions.extend(self.give_up_saving());
        decisions.extend(self.relent());
        decisions.extend(self.heed_setback(now));
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

    /// Begins a new chain with a seed that is news.
    fn plant(&mut self, now: Now) -> Vec<Decision> {
        let Some(seed) = self.seed.take() else {
            return Vec::new();
        };
        self.begin_chain(seed, now);
        self.supersede();
        let mut decisions = self.relent();
        decisions.push(Decision::Notice(Notice::Seeded));
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    /// False where the stored chain began with this very seed, and at the start also where it is
    /// not known to have begun with another: then the stored chain wins.
    fn is_news(&mut self, planting: &Planting) -> bool {
        let Some(record) = self.record.as_mut() else {
            return true;
        };
        // A seed beside a grant that was put in by other means is no news until it changes; one
        // beside a tombstone is meant.
        let at_start = planting.sown == Sown::AtStart;
        if at_start && record.seed.is_none() && !record.is_tombstone() {
            record.seed.clone_from(&planting.mark);
        }
        record.seed != planting.mark
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
                if self.overtaken(kind) {
                    return self.read_what_came_first();
                }
                self.store_trouble(kind, now)
            }
            (Ok(()), _) => self.kept(now),
            (Err(kind), _) if self.overtaken(kind) => {
                self.unsaved += 1;
                self.save_at = now.mono;
                let mut decisions = self.take_up(now);
                decisions.extend(self.read_what_came_first());
                decisions
            }
            (Err(kind), _) => self.not_kept(kind, now),
        }
    }

    fn read_what_came_first(&mut self) -> Vec<Decision> {
        let mut decisions = vec![Decision::Notice(Notice::Overtaken)];
        decisions.extend(self.read_whole());
        decisions
    }

    fn kept(&mut self, now: Now) -> Vec<Decision> {
        self.forget_overtaken();
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
        self.save_at = now.mono + SAVE_AGAIN.wait(self.unsaved, self.dice.f64());
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
    pub(super) fn unread(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        if self.unsaved() {
            return self.not_kept(kind, now);
        }
        let needed = self.due(now) || self.record.is_none() || self.awaits_stranger();
        self.look_at = now.mono + LOOK_AGAIN;
        self.note_unread(now.mono, self.look_at);
        if needed {
            let decisions = self.store_trouble(kind, now);
            self.note_unread(self.retry_at, self.retry_at);
            return decisions;
        }
        let mut decisions = self.give_up_errand(kind, self.look_at);
        decisions.push(Decision::Notice(Notice::StoreTrouble(kind)));
        if self.grant().is_none() {
            decisions.extend(self.tell_of_none(self.look_at));
        }
        decisions
    }

    pub(super) fn store_trouble(&mut self, kind: ErrorKind, now: Now) -> Vec<Decision> {
        let until = self.back_off(SOON, None, now);
        if self.grant().is_none() || self.seed.is_some() {
            self.look_at = until;
        }
        let mut decisions = self.give_up_errand(kind, until);
        decisions.push(Decision::Notice(Notice::StoreTrouble(kind)));
        decisions.extend(self.refuse(Reason::StoreUnavailable, kind.as_str().to_owned(), until));
        decisions
    }
}
