//! What a person asks for: a grant is put in, or taken back.
//!
//! What always holds: there is one errand at a time; it begins, like a round, with reading the
//! record again, and never beside a refresh; and it is settled with what is durable by then, or
//! with why it was not done. While it can be settled neither way, it is under way.
//!
//! Where the process dies after the server has revoked the grant and before the tombstone is
//! stored, the store keeps a dead grant. That is accepted and no intent is written before: the
//! next refresh finds it dead, and nothing was lost that somebody wanted.

use super::event::{Decision, Farewell, Means, Moment, Notice, Now, Reason, Refusal, Settled};
use super::state::{Machine, Phase, Planting};
use crate::issuer::Revoked;
use crate::oauth::Failure;
use crate::store::{ErrorKind, Record};

/// What a person has asked for, until it is settled.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// This grant is to be put in.
    Import(Box<Planting>),
    /// The grant is to be taken back.
    Disown(Means),
    /// The server is being asked to revoke it.
    Revoking,
    /// This is done once it is durable.
    Saving(Settled),
}

impl Machine {
    /// Takes an errand on; one that is not settled yet gives way to it, and nobody is told.
    pub(super) fn take_on(&mut self, errand: Errand, now: Now) -> Vec<Decision> {
        self.errand = Some(errand);
        self.advance(now)
    }

    /// True while an errand waits for its turn.
    pub(super) fn errand_waits(&self) -> bool {
        let waits = matches!(self.errand, Some(Errand::Import(_) | Errand::Disown(_)));
        waits && !self.closing
    }

    /// Does the errand that waits, now that the record is read.
    pub(super) fn do_errand(&mut self, now: Now) -> Vec<Decision> {
        match self.errand.take() {
            Some(Errand::Import(planting)) => self.import(*planting, now),
            Some(Errand::Disown(means)) => self.disown(means, now),
            other => {
                self.errand = other;
                self.advance(now)
            }
        }
    }

    fn import(&mut self, planting: Planting, now: Now) -> Vec<Decision> {
        // A seed that was to begin a chain is known to whoever imports; it counts as taken.
        self.seed = None;
        self.begin_chain(planting, now);
        self.supersede();
        let begun = self.record.as_ref().map_or(0, |record| record.generation);
        self.errand = Some(Errand::Saving(Settled::Imported(begun)));
        let mut decisions = self.relent();
        decisions.push(Decision::Notice(Notice::Imported));
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    fn disown(&mut self, means: Means, now: Now) -> Vec<Decision> {
        let Some(record) = self.grant() else {
            let mut decisions = self.tell_of_none(self.look_at);
            decisions.extend(self.refusal.clone().map(|why| Decision::Settle(Err(why))));
            return decisions;
        };
        let refresh_token = record.refresh_token.clone();
        let access_token = record.living_access_token(now.wall).cloned();
        match means {
            Means::Revoke => {
                self.phase = Phase::Revoking;
                self.errand = Some(Errand::Revoking);
                vec![Decision::Revoke(refresh_token, access_token)]
            }
            Means::Forget => {
                self.errand = Some(Errand::Revoking);
                self.bury(Means::Forget, None, now)
            }
        }
    }

    /// The server has revoked the grant, or has not.
    pub(super) fn revoked(&mut self, answer: Result<Revoked, Failure>, now: Now) -> Vec<Decision> {
        self.phase = Phase::Resting;
        match answer {
            Ok(revoked) => self.bury(Means::Revoke, revoked.access_token.left(), now),
            Err(failure) => {
                let until = now.mono + failure.retry_after.unwrap_or_default();
                let reason = self.reason(failure.class);
                let mut decisions = Vec::new();
                if matches!(self.errand, Some(Errand::Revoking)) {
                    decisions = self.fail_errand(reason, &failure.code, until);
                }
                decisions.extend(self.advance(now));
                decisions
            }
        }
    }

    /// Puts a tombstone in the grant's place and stops handing its token out.
    fn bury(&mut self, means: Means, left: Option<String>, now: Now) -> Vec<Decision> {
        let Some(record) = self.record.take() else {
            return Vec::new();
        };
        let farewell = Farewell::to(&record, means, left, now.wall);
        if matches!(self.errand, Some(Errand::Revoking)) {
            self.errand = Some(Errand::Saving(Settled::Revoked(farewell)));
        }
        let generation = Some(record.generation).max(self.stored).unwrap_or_default();
        let record = Record {
            generation,
            ..record
        };
        self.record = Some(record.tombstone(now.wall));
        self.prior_intent = None;
        self.take_stock(now);
        let mut decisions = vec![Decision::Notice(Notice::Revoked(means))];
        decisions.extend(self.relent());
        decisions.extend(self.withdraw(now));
        decisions.extend(self.save(Phase::Keeping));
        decisions
    }

    /// Stops handing out the token in use, for the grant is a tombstone.
    pub(super) fn withdraw(&mut self, now: Now) -> Vec<Decision> {
        self.token = None;
        self.value = None;
        let mut decisions = vec![Decision::Withdraw];
        decisions.extend(self.tell_of_none(self.next_look(now)));
        decisions
    }

    /// The record, unless it is a tombstone.
    pub(super) fn grant(&self) -> Option<&Record> {
        self.record.as_ref().filter(|record| !record.is_tombstone())
    }

    /// Tells whoever waits that there is no grant, until the store is looked at again.
    pub(super) fn tell_of_none(&mut self, until: Moment) -> Vec<Decision> {
        self.look_at = until;
        let code = match &self.record {
            Some(_) => "revoked",
            None => "store_empty",
        };
        let known = self.refusal.as_ref();
        let known = known.is_some_and(|it| it.reason == Reason::NoGrant && it.code == code);
        let notice = Decision::Notice(Notice::Missing(code.to_owned()));
        let mut decisions = self.refuse(Reason::NoGrant, code.to_owned(), until);
        decisions.extend((!known).then_some(notice));
        decisions
    }

    /// Settles what is durable now.
    pub(super) fn settle(&mut self) -> Vec<Decision> {
        let saving = self
            .errand
            .take_if(|errand| matches!(errand, Errand::Saving(_)));
        match saving {
            Some(Errand::Saving(settled)) => vec![Decision::Settle(Ok(settled))],
            _ => Vec::new(),
        }
    }

    /// Settles the errand, for the store fails. What is to be saved is tried again all the same.
    pub(super) fn give_up_errand(&mut self, kind: ErrorKind, until: Moment) -> Vec<Decision> {
        let code = match &self.errand {
            Some(Errand::Saving(Settled::Revoked(_))) => "revoked_but_not_saved",
            _ => kind.as_str(),
        };
        self.fail_errand(Reason::StoreUnavailable, code, until)
    }

    /// Settles an errand whose record gives way to what another has stored.
    pub(super) fn give_up_saving(&mut self) -> Vec<Decision> {
        match &self.errand {
            Some(Errand::Saving(_)) => self.give_up_errand(ErrorKind::Conflict, self.seen),
            _ => Vec::new(),
        }
    }

    fn fail_errand(&mut self, reason: Reason, code: &str, until: Moment) -> Vec<Decision> {
        let refusal = Refusal {
            reason,
            code: code.to_owned(),
            until,
        };
        let errand = self.errand.take();
        errand
            .map(|_| Decision::Settle(Err(refusal)))
            .into_iter()
            .collect()
    }
}
