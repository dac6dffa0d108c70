//! The process of a world: it feeds the machine and does what it decides, until it is killed.

use std::time::Duration;

use jiff::Timestamp;

use super::fleet::Way;
use super::plan::seconds;
use super::server::Time;
use super::words::{heard, noticed, told};
use super::world::{World, number, token};
use super::{trouble, wire};
use crate::grant::event::{Decision, Event, Issued, Moment, Notice, Now, Right, Standing};
use crate::grant::state::Machine;
use crate::issuer::LEASE_LOST;
use crate::oauth::{Answer, Class, Failure};
use crate::store::{ErrorKind, Lease, Record};

/// A running process.
pub(super) struct Process {
    pub(super) machine: Machine,
    pub(super) work: Option<Work>,
    pub(super) shown: Option<Shown>,
    /// Until when whoever waits is refused.
    pub(super) denied: Option<Moment>,
    /// Somebody waits for a token newer than this generation.
    pub(super) waits: Option<u64>,
}

/// The one piece of work under way.
pub(super) struct Work {
    pub(super) at: Time,
    pub(super) step: Step,
}

/// What happens next in a piece of work.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub(super) enum Step {
    Load,
    Look(u64),
    Save(Box<Record>, Option<u64>),
    Claim(Duration),
    Release(Lease),
    /// This request is about to leave, if it still may.
    Send(Sent, Option<Now>),
    /// It arrives at the server.
    Arrive(Sent),
    /// The server is to revoke this refresh token.
    HandBack(usize),
    Tell(Event),
}

impl Step {
    /// True for an answer with tokens that the process is about to hear.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Tell(Event::Answered(Answer::Success(_), _)))
    }
}

/// A token request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) token: usize,
    /// By the wall clock of who sent it.
    pub(super) at: Timestamp,
    pub(super) last_resort: bool,
}

/// The access token that is handed out.
pub(super) struct Shown {
    pub(super) issued: Issued,
    pub(super) access: usize,
    proven: bool,
    pub(super) rejected: bool,
}

impl Shown {
    pub(super) fn lives(&self, mono: Moment) -> bool {
        self.issued.ends.is_none_or(|ends| mono < ends)
    }
}

impl World {
    pub(super) fn take_work(&mut self) -> Option<Work> {
        let now = self.now;
        let process = self.me.process.as_mut()?;
        process.work.take_if(|work| work.at <= now)
    }

    pub(super) fn start(&mut self) {
        let record = self.shelf.record.clone();
        self.me.starts += 1;
        let mut settings = self.plan.settings.clone();
        let machine = if self.is_fleet() {
            settings.identity = self.me.holder().as_str().to_owned();
            let away = self.store_is_cut().is_some();
            let dice = self.dice.u64(..);
            if away {
                Machine::unread_yet(settings, dice)
            } else {
                Machine::new(settings, record, dice)
            }
        } else {
            Machine::new(settings, record, self.dice.u64(..))
        };
        self.note_burial();
        self.laws.starts += 1;
        self.me.jumped = false;
        self.me.process = Some(Process {
            machine,
            work: None,
            shown: None,
            denied: None,
            waits: None,
        });
        self.laws
            .tell(self.now, || String::from("the process starts"));
        self.me.seed_seen = self.seed_file;
        let seed = self.seed_file.map(|seed| token("rt", seed));
        let clocks = self.clocks();
        let process = self.me.process.as_mut().unwrap();
        let decisions = process.machine.begin(seed, clocks);
        self.follow(decisions);
    }

    /// Hands an event to the machine and does what it decides.
    pub(super) fn event(&mut self, event: Event) {
        let clocks = self.clocks();
        let Some(process) = self.me.process.as_mut() else {
            return;
        };
        self.laws.tell(self.now, || heard(&event));
        self.me.jumped = false;
        let decisions = process.machine.on(event, clocks);
        self.follow(decisions);
    }

    fn follow(&mut self, decisions: Vec<Decision>) {
        let notices: Vec<Notice> = decisions.iter().filter_map(noticed).collect();
        for decision in decisions {
            let crash = self.plan.weather.crash / 4.0;
            if self.befalls(crash) {
                return self.crash();
            }
            self.laws
                .tell(self.now, || format!("    → {}", told(&decision)));
            match decision {
                Decision::Load => self.order(Step::Load),
                Decision::Look(known) => self.order(Step::Look(known)),
                Decision::Save(record, if_generation) => {
                    self.order(Step::Save(record, if_generation));
                }
                Decision::Claim(ttl) => self.order(Step::Claim(ttl)),
                Decision::Release(lease) => self.order(Step::Release(lease)),
                Decision::Refresh(token, right) => self.send(number(&token), right, &notices),
                Decision::Revoke(token, _) => self.order(Step::HandBack(number(&token))),
                Decision::Publish(issued) => self.publish(issued),
                Decision::Withdraw => self.withdraw(),
                Decision::Settle(Ok(settled)) => self.check_settled(&settled),
                Decision::Settle(Err(_)) => {}
                Decision::Refuse(refusal) => self.deny(Some(refusal.until)),
                Decision::Relent => self.deny(None),
                Decision::Notice(notice) => self.notice(notice),
            }
        }
        self.check_rest();
        self.skip_looks();
    }

    fn notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::Imported | Notice::Revoked(_)) {
            // Whatever answer was lost before, it is of no use any more.
            self.laws.expect_no_replay();
        }
        if matches!(notice, Notice::Refreshed(_)) && !self.rough() {
            self.refreshed_in_calm += 1;
            self.check_calm_pace();
            self.joins |= self.refreshed_in_calm == 2;
        }
        self.laws.notices.push(notice);
    }

    fn withdraw(&mut self) {
        if let Some(process) = self.me.process.as_mut() {
            process.shown = None;
        }
    }

    fn deny(&mut self, until: Option<Moment>) {
        if let Some(process) = self.me.process.as_mut() {
            process.denied = until;
        }
    }

    fn send(&mut self, token: usize, right: Option<Right>, notices: &[Notice]) {
        self.check_send(token, notices);
        let sent = Sent {
            token,
            at: self.clocks().wall,
            last_resort: notices.contains(&Notice::LastResort),
        };
        self.order(match right {
            Some(right) => Step::Send(sent, Some(right.not_after)),
            None => Step::Arrive(sent),
        });
    }

    /// The request leaves, unless its right has run out meanwhile.
    fn leave(&mut self, sent: Sent, not_after: Option<Now>) {
        let clocks = self.clocks();
        let late = not_after.is_some_and(|it| clocks.mono > it.mono || clocks.wall > it.wall);
        if late {
            let failure = Failure::new(Class::Later, LEASE_LOST);
            let event = Event::Answered(Answer::Failed(failure), clocks.wall);
            return self.event(event);
        }
        let at = clocks.wall;
        self.order(Step::Arrive(Sent { at, ..sent }));
    }

    fn order(&mut self, step: Step) {
        let slow = self.befalls(self.plan.weather.store / 4.0)
            && !matches!(step, Step::Arrive(..) | Step::Send(..));
        self.laws.troubles += u32::from(slow);
        let delay = if slow {
            Duration::from_millis(self.dice.u64(100..40_000))
        } else {
            Duration::from_millis(self.dice.u64(1..300))
        };
        let at = self.now + delay;
        let process = self.me.process.as_mut().unwrap();
        if process.work.replace(Work { at, step }).is_some() {
            self.laws.break_law("two pieces of work at once");
        }
    }

    pub(super) fn work_on(&mut self, work: Work) {
        let crash = self.plan.weather.crash;
        if self.befalls(crash) {
            self.me.process.as_mut().unwrap().work = Some(work);
            return self.crash();
        }
        let (event, delay) = match work.step {
            Step::Tell(event) => return self.event(event),
            Step::Send(sent, not_after) => return self.leave(sent, not_after),
            Step::Load => (trouble::load(self), Duration::ZERO),
            Step::Look(known) => (self.look(known), Duration::ZERO),
            Step::Claim(ttl) => (self.claim(ttl), Duration::ZERO),
            Step::Release(lease) => (self.release(&lease), Duration::ZERO),
            Step::Save(record, generation) => (self.save(&record, generation), Duration::ZERO),
            Step::Arrive(sent) => wire::arrive(self, sent),
            Step::HandBack(token) => (wire::hand_back(self, token), Duration::ZERO),
        };
        let work = Work {
            at: (self.now + delay).max(self.me.stopped_until),
            step: Step::Tell(event),
        };
        self.me.process.as_mut().unwrap().work = Some(work);
    }

    fn save(&mut self, record: &Record, if_generation: Option<u64>) -> Event {
        let store = self.plan.weather.store;
        let (before, after) = (self.befalls(store), self.befalls(store / 4.0));
        let cut = self.store_is_cut();
        let (before, after) = (
            before || cut == Some(Way::There),
            after || cut == Some(Way::Back),
        );
        if before {
            self.laws.troubles += 1;
            return Event::Saved(Err(ErrorKind::Away));
        }
        let saved = self.put(record, if_generation);
        if after {
            self.laws.troubles += 1;
            self.laws.tell(self.now, || {
                String::from("the save arrives and its answer is lost")
            });
            return Event::Saved(Err(ErrorKind::Away));
        }
        Event::Saved(saved)
    }

    fn put(&mut self, record: &Record, if_generation: Option<u64>) -> Result<(), ErrorKind> {
        let saved = self.shelf.save(record, if_generation, &self.server);
        if matches!(saved, Ok(Ok(()))) {
            self.let_others_look();
        }
        saved.unwrap_or_else(|broken| {
            self.laws.break_law(&broken);
            Ok(())
        })
    }

    /// The process ends at once. What was on its way arrives, or does not.
    pub(super) fn crash(&mut self) {
        let Some(process) = self.me.process.take() else {
            return;
        };
        self.laws
            .tell(self.now, || String::from("the process is killed"));
        self.laws.troubles += 1;
        self.me.stopped_until = Time::ZERO;
        self.me.starts_at = self.now + Duration::from_millis(self.dice.u64(1..60_000));
        let arrives = self.dice.bool();
        match process.work.map(|work| work.step) {
            Some(Step::Claim(ttl)) if arrives => {
                let holder = self.me.holder();
                self.ledger.claim(&holder, ttl, self.now);
            }
            Some(Step::Release(lease)) if arrives => self.ledger.release(&lease),
            Some(Step::Arrive(sent)) if arrives => {
                self.check_arrival(sent);
                let pair = self.server.redeem(sent.token, self.now);
                let now = self.now;
                self.laws
                    .tell(now, || format!("its request arrives: {pair:?}"));
            }
            Some(Step::HandBack(token)) if arrives => {
                self.server.revoke(token);
                self.laws.revoked.insert(self.server.family(token));
            }
            Some(Step::Save(record, generation)) if arrives => {
                let saved = self.put(&record, generation);
                self.laws
                    .tell(self.now, || format!("its save arrives: {saved:?}"));
            }
            _ => {}
        }
    }

    fn publish(&mut self, issued: Issued) {
        self.check_published(&issued);
        let Some(process) = self.me.process.as_mut() else {
            return;
        };
        let generation = issued.generation;
        let same = process
            .shown
            .take()
            .filter(|shown| shown.issued.generation == generation);
        process.shown = Some(Shown {
            access: number(&issued.value),
            issued,
            proven: same.as_ref().is_some_and(|shown| shown.proven),
            rejected: same.is_some_and(|shown| shown.rejected),
        });
        process.denied = None;
    }

    /// The service calls: with the token that lives, or it waits for one.
    pub(super) fn call(&mut self) {
        let gap = self.plan.calls.mul_f64(0.2 + 1.6 * self.dice.f64());
        let gap = if self.rough() {
            gap
        } else {
            gap * 20 + seconds(60)
        };
        self.me.calls_at = self.now + gap;
        let mono = self.clocks().mono;
        let refuses = self.befalls(self.plan.weather.refusal);
        let Some(process) = self.me.process.as_mut() else {
            return;
        };
        let living = process.shown.as_mut().filter(|shown| shown.lives(mono));
        let Some(shown) = living else {
            process.waits = Some(0);
            return self.event(Event::Wanted);
        };
        if !refuses && self.server.accepts(shown.access, self.now) {
            shown.proven = true;
        } else if mono >= shown.issued.renewable_from {
            let standing = if shown.proven {
                Standing::Proven
            } else {
                Standing::Unproven
            };
            let generation = shown.issued.generation;
            shown.rejected = true;
            process.waits = Some(generation);
            self.event(Event::Rejected(generation, standing));
        }
    }
}
