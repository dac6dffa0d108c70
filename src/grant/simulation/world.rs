//! The world of one schedule: two clocks, a process that can die, its one piece of work, a
//! service that calls, and what befalls them. Time goes from event to event.

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::fleet::{self, Replica};
use super::laws::Laws;
use super::plan::{DAY, Plan, seconds};
use super::server::{Server, Time};
use super::shelf::Shelf;
use super::trouble;
use crate::grant::event::{Event, Moment, Now};
use crate::secret::Secret;
use crate::store::memory::Ledger;
use crate::store::{Record, Sharing, State};

/// More steps than any schedule needs; a busy loop does not end at all.
const ENDLESS: u32 = 20_000;

/// Sets the person's dice apart from all others.
const PERSON: u64 = 0x5eed_0fa9_e115;

/// Everything there is.
pub(super) struct World {
    pub(super) dice: Rng,
    /// The dice of a person who puts grants in and takes them back, in some of the worlds.
    pub(super) person: Option<Rng>,
    pub(super) plan: Plan,
    pub(super) server: Server,
    pub(super) shelf: Shelf,
    pub(super) laws: Laws,
    pub(super) now: Time,
    /// Whoever's turn it is; where there is no fleet, the one process there is.
    pub(super) me: Replica,
    pub(super) others: Vec<Replica>,
    /// The dice of a fleet, where there is one.
    pub(super) fleet: Option<Rng>,
    pub(super) ledger: Ledger,
    pub(super) saved_at: Time,
    /// One more replica is to come.
    pub(super) joins: bool,
    pub(super) seed_file: Option<usize>,
    pub(super) rough_left: u32,
    calm_since: Option<Time>,
    pub(super) refreshed_in_calm: u32,
}

/// The number in `rt-17` or `at-17`.
pub(super) fn number(token: &Secret<String>) -> usize {
    token.expose()[3..].parse().unwrap()
}

/// The number of a record's refresh token; a tombstone has none.
pub(super) fn numbered(record: &Record) -> Option<usize> {
    (!record.is_tombstone()).then(|| number(&record.refresh_token))
}

pub(super) fn token(kind: &str, number: usize) -> Secret<String> {
    Secret::new(format!("{kind}-{number}"))
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let mut person = Rng::with_seed(seed ^ PERSON);
        let mut plan = Plan::draw(&mut dice);
        let fleet = fleet::draw(seed);
        if let Some((_, count)) = &fleet {
            plan.settings.sharing = Sharing::Shared;
            plan.rough *= 1 + u32::try_from(*count).unwrap_or(0);
        }
        let mut server = Server::new(plan.nature.clone());
        let first = server.login(Time::ZERO);
        let mut world = Self {
            person: (person.u8(..4) == 0).then_some(person),
            server,
            shelf: Shelf::default(),
            laws: Laws::default(),
            now: Time::ZERO,
            me: Replica {
                calls_at: seconds(1),
                ..Replica::default()
            },
            others: Vec::new(),
            fleet: None,
            ledger: Ledger::default(),
            saved_at: Time::ZERO,
            joins: false,
            seed_file: None,
            rough_left: plan.rough,
            calm_since: None,
            refreshed_in_calm: 0,
            plan,
            dice,
        };
        world.laws.logins += 1;
        if world.dice.bool() {
            world.seed_file = Some(first);
        } else {
            let record = Record::new(token("rt", first), world.clocks().wall);
            world.shelf.record = Some(Record {
                generation: 1,
                ..record
            });
        }
        if let Some((mut dice, count)) = fleet {
            let replica = |name| Replica::new(name, Time::ZERO, &mut dice);
            world.others = (1..count).map(replica).collect();
            world.fleet = Some(dice);
        }
        world
    }

    /// Lives through the whole schedule.
    pub(super) fn run(&mut self) {
        while self.laws.broken.is_none() && self.step() {
            self.laws.steps += 1;
            let each = 1 + u32::from(self.is_fleet()) * 5;
            if self.laws.steps > ENDLESS * each {
                self.laws.break_law("the schedule has no end");
            }
        }
        if self.laws.broken.is_none() {
            self.judge();
        }
    }

    pub(super) fn clocks(&self) -> Now {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let passed = SignedDuration::try_from(self.now).unwrap();
        Now {
            wall: start + passed + self.me.wall_is_off,
            mono: self.mono(),
        }
    }

    pub(super) fn mono(&self) -> Moment {
        self.me.mono(self.now)
    }

    pub(super) fn calm_since(&self) -> Option<Time> {
        self.calm_since
    }

    /// What the server says to everything at present.
    pub(super) fn outage(&self) -> Option<usize> {
        let hour = |since: Time| since + seconds(3600);
        let over = self.calm_since.is_some_and(|since| self.now > hour(since));
        self.plan.outage.filter(|_| !over)
    }

    pub(super) fn rough(&self) -> bool {
        self.rough_left > 0
    }

    /// True with this chance, while the weather is rough.
    pub(super) fn befalls(&mut self, chance: f64) -> bool {
        self.rough() && chance > 0.0 && self.dice.f64() < chance
    }

    /// The next event, whatever it is; false at the end.
    fn step(&mut self) -> bool {
        self.rough_left = self.rough_left.saturating_sub(1);
        if !self.rough() && self.calm_since.is_none() {
            self.calm_since = Some(self.now);
            self.calm_down();
        }
        self.take_turns();
        let next = self.next_of(&self.me);
        if self
            .calm_since
            .is_some_and(|since| self.is_over(since, next))
        {
            return false;
        }
        self.now = self.now.max(next);
        let chance = self.plan.weather.upheaval;
        if self.me.is_stopped(self.now) {
            if let Some(work) = self.take_work() {
                self.work_on(work);
            }
        } else if self.joins && self.me.process.as_ref().is_none_or(|it| it.work.is_none()) {
            self.joins = false;
            self.join();
        } else if self.see_seed() || self.see_off() {
            return true;
        } else if self.fleet_suffers() {
            self.strike_fleet();
        } else if self.befalls(chance) {
            trouble::strike(self);
        } else if self.person_comes() {
            trouble::visit(self);
        } else if self.me.process.is_none() {
            self.start();
        } else if let Some(work) = self.take_work() {
            self.work_on(work);
        } else if self.me.calls_at <= self.now {
            self.call();
        } else {
            self.event(Event::Tick);
        }
        true
    }

    fn person_comes(&mut self) -> bool {
        let rough = self.rough();
        let person = self.person.as_mut().filter(|_| rough);
        person.is_some_and(|dice| dice.u8(..16) == 0)
    }

    fn is_over(&self, since: Time, next: Time) -> bool {
        let lasts = self.lasts();
        let lost = self.shelf.record.as_ref().is_some_and(|record| {
            numbered(record).is_none_or(|token| !self.server.is_good(token, self.now))
        });
        if self.is_fleet() && !lost && !lasts {
            // Everybody is to refresh, look, and come to rest.
            let still = self.saved_at + seconds(60) < next;
            let much = self.refreshed_in_calm >= 12;
            let enough = much || (self.refreshed_in_calm >= 3 && still);
            return enough || next > since + seconds(15 * 3600);
        }
        let end = match (lasts, lost) {
            (_, true) => since + seconds(3 * 3600),
            (true, false) => since + DAY * 45,
            (false, false) => since + seconds(15 * 3600),
        };
        next > end || (!lasts && self.refreshed_in_calm >= 2)
    }

    /// True where time itself can end the grant, so that the calm must be long.
    fn lasts(&self) -> bool {
        let nature = &self.plan.nature;
        nature.idle.is_some() || nature.absolute.is_some()
    }

    /// When something happens to a replica next.
    pub(super) fn next_of(&self, replica: &Replica) -> Time {
        let Some(process) = &replica.process else {
            return replica.starts_at;
        };
        let stopped = replica.is_stopped(self.now);
        if let Some(work) = &process.work {
            let other = if stopped {
                replica.stopped_until
            } else {
                replica.calls_at
            };
            return work.at.min(other);
        }
        if stopped {
            return replica.stopped_until;
        }
        let machine = &process.machine;
        let mut tick = if replica.jumped {
            machine.wakes_at()
        } else {
            machine.next_at()
        };
        // What others saved is looked for, in calm weather too.
        let alone = !self.is_fleet() || machine.stored == self.shelf.generation();
        if !self.rough() && alone {
            // Nobody imports a grant in calm weather, so looks at the store find nothing.
            let refused = machine.refusal().map(|refusal| refusal.until);
            let record = machine.record();
            let dead = record.is_some_and(|record| {
                matches!(record.state, State::Dead(_) | State::Revoked { .. })
            });
            let idle = (dead || machine.held).then(|| replica.mono(self.now) + seconds(3600));
            tick = tick.map(|tick| tick.max(refused.max(idle).unwrap_or_default()));
        }
        let tick = tick.map_or(Time::MAX, |tick| tick + replica.asleep);
        let look = if self.lasts() {
            self.now + seconds(12 * 3600)
        } else {
            Time::MAX
        };
        tick.min(replica.calls_at).min(look)
    }
}
