//! Several replicas of one deployment on one store: who they are, and what befalls them beside
//! what befalls a process that is alone.

use std::time::Duration;

use fastrand::Rng;
use jiff::SignedDuration;

use super::plan::seconds;
use super::process::{Process, Step};
use super::server::Time;
use super::world::{World, number, token};
use crate::grant::event::{Event, Moment};
use crate::store::{Holder, Lease};

/// Sets the fleet's dice apart from all others.
const FLEET: u64 = 0xf1ee_7000_0001;

/// How far the wall clocks of replicas are from the truth, at most; two of them differ by twice
/// as much, which is less than the machine allows for.
const SKEW: i64 = 2_000;

/// One of the deployment's processes, which is started again when it dies, and its machine.
#[derive(Default)]
pub(super) struct Replica {
    pub(super) name: usize,
    pub(super) process: Option<Process>,
    pub(super) starts_at: Time,
    /// How often it was started.
    pub(super) starts: u32,
    /// How long the machine has slept in all; the monotonic clock stood meanwhile.
    pub(super) asleep: Duration,
    /// How far the wall clock is from the truth.
    pub(super) wall_is_off: SignedDuration,
    /// The clocks disagree and the process may not know it yet.
    pub(super) jumped: bool,
    pub(super) calls_at: Time,
    /// The seed that its process knows.
    pub(super) seed_seen: Option<usize>,
    /// Nothing of it runs until then.
    pub(super) stopped_until: Time,
    /// It is parted from the store until then, and from the server.
    pub(super) store_cut: Option<(Way, Time)>,
    pub(super) server_cut: Option<(Way, Time)>,
    /// It goes away when it has nothing under way.
    pub(super) retiring: bool,
    /// It came in calm weather: until then it needs no token request.
    pub(super) serves_until: Time,
}

/// Which way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

impl Replica {
    pub(super) fn new(name: usize, starts_at: Time, dice: &mut Rng) -> Self {
        Self {
            name,
            starts_at,
            calls_at: starts_at + seconds(1),
            wall_is_off: SignedDuration::from_millis(dice.i64(-SKEW..SKEW)),
            ..Self::default()
        }
    }

    pub(super) fn mono(&self, now: Time) -> Moment {
        now.saturating_sub(self.asleep)
    }

    pub(super) fn is_stopped(&self, now: Time) -> bool {
        self.stopped_until > now
    }

    /// True where the way to the store is open, and has been for long enough to try again.
    pub(super) fn reaches_store(&self, now: Time) -> bool {
        let cut = self.store_cut;
        cut.is_none_or(|(_, until)| until + seconds(15) < now)
    }

    pub(super) fn holder(&self) -> Holder {
        Holder::named(&format!("pod {}, start {}", self.name, self.starts))
    }
}

/// The fleet's dice and how many replicas it has; nothing: one process, alone on its store.
pub(super) fn draw(seed: u64) -> Option<(Rng, usize)> {
    let mut dice = Rng::with_seed(seed ^ FLEET);
    let count = [2, 3, 3, 4, 1][dice.usize(..5)];
    (dice.u8(..8) == 0).then_some((dice, count))
}

impl World {
    pub(super) fn is_fleet(&self) -> bool {
        self.fleet.is_some()
    }

    /// Everybody, whoever's turn it is first.
    pub(super) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        std::iter::once(&self.me).chain(&self.others)
    }

    /// Lets the replica act whose next event comes first.
    pub(super) fn take_turns(&mut self) {
        let mine = self.next_of(&self.me);
        let others = self.others.iter().enumerate();
        let others = others.map(|(at, replica)| (self.next_of(replica), at));
        if let Some((_, at)) = others.min().filter(|(next, _)| *next < mine) {
            std::mem::swap(&mut self.me, &mut self.others[at]);
        }
        self.laws.who = self.me.name;
    }

    /// True where the fleet's dice say so, while the weather is rough.
    pub(super) fn fleet_suffers(&mut self) -> bool {
        let rough = self.rough();
        let dice = self.fleet.as_mut().filter(|_| rough);
        dice.is_some_and(|dice| dice.u8(..12) == 0)
    }

    /// One of the misfortunes of fleets.
    pub(super) fn strike_fleet(&mut self) {
        self.laws.troubles += 1;
        self.laws.upheavals += 1;
        let dice = self.fleet.as_mut().unwrap();
        let lasts = Duration::from_millis(dice.u64(100..150_000));
        let way = if dice.bool() { Way::There } else { Way::Back };
        let until = self.now + lasts;
        let kind = dice.u8(..9);
        let name = self.me.name;
        self.laws.tell(self.now, || {
            format!("pod {name} suffers trouble {kind} for {lasts:?}, {way:?}")
        });
        match kind {
            0..=2 => self.stop(until),
            3 if self.me.process.is_some() => {
                self.me.asleep += lasts;
                self.me.jumped = true;
                self.stop(until);
            }
            4 => self.me.store_cut = Some((way, until)),
            5 => self.me.server_cut = Some((way, until)),
            6 => self.ledger.lose(),
            7 => {
                self.me.store_cut = Some((way, until));
                for other in &mut self.others {
                    other.store_cut = Some((way, until));
                }
            }
            _ => self.roll(),
        }
    }

    /// Stops the process (SIGSTOP). What has left it goes on or not; it learns late.
    fn stop(&mut self, until: Time) {
        let left = self.fleet.as_mut().is_some_and(Rng::bool);
        let Some(process) = self.me.process.as_mut() else {
            return;
        };
        self.me.stopped_until = until;
        if let Some(work) = process.work.as_mut()
            && !matches!(work.step, Step::Arrive(_))
            && (!left || matches!(work.step, Step::Send(..) | Step::Tell(_)))
        {
            work.at = work.at.max(until);
        }
    }

    /// A rolling update: one more comes, and another goes when it may.
    fn roll(&mut self) {
        if self.replicas().count() > 4 {
            return;
        }
        let name = self
            .replicas()
            .map(|replica| replica.name)
            .max()
            .unwrap_or(0)
            + 1;
        let now = self.now;
        let dice = self.fleet.as_mut().unwrap();
        let replica = Replica::new(name, now, dice);
        self.others.push(replica);
        self.me.retiring = true;
    }

    /// Everybody sees a changed seed as soon as it runs.
    pub(super) fn see_seed(&mut self) -> bool {
        let running = self.me.process.is_some();
        let seed = self.seed_file.filter(|_| running && self.is_fleet());
        let news = seed.filter(|_| self.me.seed_seen != seed);
        if let Some(seed) = news {
            self.me.seed_seen = Some(seed);
            self.event(Event::SeedChanged(token("rt", seed)));
        }
        news.is_some()
    }

    /// Takes a replica out that may go; true where it went.
    pub(super) fn see_off(&mut self) -> bool {
        let process = self.me.process.as_ref();
        let idle = process.is_none_or(|it| it.work.is_none() && !it.machine.unsaved());
        if !self.me.retiring || !idle || self.others.is_empty() {
            return false;
        }
        let name = self.me.name;
        self.laws
            .tell(self.now, || format!("pod {name} is retired"));
        self.me = self.others.remove(0);
        true
    }

    /// Calm begins: what was cut is whole, what was stopped goes on.
    pub(super) fn calm_down(&mut self) {
        for replica in std::iter::once(&mut self.me).chain(&mut self.others) {
            let cuts = [&mut replica.store_cut, &mut replica.server_cut];
            for (_, until) in cuts.into_iter().flatten() {
                *until = self.now.min(*until);
            }
        }
    }

    /// One more comes in calm weather, and finds a token there.
    pub(super) fn join(&mut self) {
        let told = self.plan.nature.told.unwrap_or_default();
        let stored = self.shelf.record.as_ref();
        let fresh = stored.filter(|record| record.intent.is_none() && !record.is_tombstone());
        let access = fresh.and_then(|record| record.access_token.as_ref());
        let access = access.map(|access| number(&access.value));
        let good = access.is_some_and(|it| self.server.accepts(it, self.now));
        let fresh = self.now < self.saved_at + seconds(30) && !self.laws.clock_lied;
        let good = good && fresh;
        let Some(dice) = self.fleet.as_mut().filter(|_| good && told >= seconds(60)) else {
            return;
        };
        let name = 90 + self.others.len();
        let mut replica = Replica::new(name, self.now, dice);
        replica.serves_until = self.now + self.plan.nature.idle.unwrap_or(told).min(told) / 4;
        self.others.push(replica);
    }

    /// How the way to the store is cut now.
    pub(super) fn store_is_cut(&self) -> Option<Way> {
        let cut = self.me.store_cut.filter(|(_, until)| *until > self.now);
        cut.map(|(way, _)| way)
    }

    /// How the way to the server is cut now.
    pub(super) fn server_is_cut(&self) -> Option<Way> {
        let cut = self.me.server_cut.filter(|(_, until)| *until > self.now);
        cut.map(|(way, _)| way)
    }

    pub(super) fn claim(&mut self, ttl: Duration) -> Event {
        let cut = self.store_is_cut();
        let weather = self.plan.weather.store;
        if cut == Some(Way::There) || self.befalls(weather) {
            return Event::Claimed(Err(crate::store::ErrorKind::Away));
        }
        let holder = self.me.holder();
        let claim = self.ledger.claim(&holder, ttl, self.now);
        if cut == Some(Way::Back) || self.befalls(weather / 4.0) {
            return Event::Claimed(Err(crate::store::ErrorKind::Away));
        }
        Event::Claimed(Ok(claim))
    }

    pub(super) fn release(&mut self, lease: &Lease) -> Event {
        let weather = self.plan.weather.store;
        let lost = self.store_is_cut() == Some(Way::There) || self.befalls(weather);
        if !lost {
            self.ledger.release(lease);
        }
        Event::Released
    }

    pub(super) fn look(&mut self, known: u64) -> Event {
        if self.shelf.generation() == Some(known) && self.store_is_cut().is_none() {
            let weather = self.plan.weather.store;
            if !self.befalls(weather) {
                return Event::Unchanged;
            }
        }
        super::trouble::load(self)
    }

    /// In calm weather what would find nothing is skipped, until somebody saves.
    pub(super) fn skip_looks(&mut self) {
        if self.rough() || !self.is_fleet() {
            return;
        }
        let (mono, stored) = (self.mono(), self.shelf.generation());
        let process = self.me.process.as_mut();
        if let Some(process) = process.filter(|it| it.machine.stored == stored) {
            process.machine.peers.look_at = mono + seconds(12 * 3600);
        }
    }

    /// Somebody saved: whoever shares the store finds it when it looks.
    pub(super) fn let_others_look(&mut self) {
        let now = self.now;
        self.saved_at = now;
        let Some(dice) = self.fleet.as_mut() else {
            return;
        };
        for other in &mut self.others {
            let soon = other.mono(now) + Duration::from_millis(dice.u64(0..18_000));
            if let Some(process) = other.process.as_mut() {
                let look_at = &mut process.machine.peers.look_at;
                *look_at = (*look_at).min(soon);
            }
        }
    }
}
