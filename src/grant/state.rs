//! What the keeper decides: a pure state machine.
//!
//! Events and `now` go in, decisions come out; no I/O, no clock, and no randomness but a seed.
//! One round is: read the record again → write the intent → ask the server → save → publish.
//! The machine orders at most one piece of work at a time and waits for its event. When a round
//! begins stands in `schedule.rs`, reading and saving in `durable.rs`, the spending in `spend.rs`,
//! what follows from the server's answer in `outcome.rs`, the handing out in `publish.rs`, and
//! how long the grant itself lives in `ending.rs`, what a person asks for in `errand.rs`, and how
//! replicas that share a store take turns in `lease.rs`.
//! `simulation/` sweeps all of it.
//!
//! What always holds:
//! - A refresh token is sent only after the intent to spend it is durable.
//! - An access token is published only after the record that came with it is durable; where that
//!   save fails, the token is served, nothing is rotated again, and the save is tried until it works.
//! - A token of a rotating server whose spending has no known end is sent again only inside the
//!   server's replay window, or, counted, when no access token lives any more.
//! - Whoever waits is told something: while no token lives, there is work under way, work that is
//!   about to begin, or a refusal that says until when.
//! - Dead is a state, not a deletion. A grant that a person took back leaves a tombstone, of
//!   which nothing is sent and nothing is handed out, until another grant begins a new chain.

use std::time::Duration;

use super::errand::Errand;
use super::event::{Decision, Event, Moment, Now, Reason, Refusal, Settings, Standing};
use super::lease::Peers;
use super::schedule::SPACING;
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
    /// The server is asked to revoke the grant.
    Revoking,
    /// What came of it is being saved; then the token, if one came, is published.
    Keeping,
    /// The lease is being taken.
    Claiming,
    /// It is being renewed, with the intent written and nothing sent.
    Renewing,
    /// It is being given back.
    Releasing,
}

/// One grant's state.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) dice: fastrand::Rng,
    pub(super) phase: Phase,
    pub(super) record: Option<Record>,
    /// Whether the store was ever read.
    pub(super) begun: bool,
    pub(super) peers: Peers,
    /// The generation that is durable in the store.
    pub(super) stored: Option<u64>,
    /// Saves in a row that failed; until one works nothing is rotated.
    pub(super) unsaved: u32,
    /// When a failed save is tried again.
    pub(super) save_at: Moment,
    /// The intent that was open before the one being written.
    pub(super) prior_intent: Option<Intent>,
    /// An intent that could not be saved: found in the store, it is ours and nothing was sent.
    pub(super) withdrawn: Option<Intent>,
    /// Until when a token that may be spent can be sent again without harm.
    pub(super) replay_until: Option<Moment>,
    /// The operator was told that the refresh token is held back.
    pub(super) held: bool,
    /// When the server was last asked.
    pub(super) asked_at: Option<Moment>,
    pub(super) token: Option<Current>,
    /// Its value; the record may hold another chain's by now.
    pub(super) value: Option<Secret<String>>,
    pub(super) refusal: Option<Refusal>,
    pub(super) failures: u32,
    pub(super) retry_at: Moment,
    /// When the store is looked at without need.
    pub(super) look_at: Moment,
    /// A changed seed that is to begin a new chain.
    pub(super) seed: Option<Planting>,
    /// What a person has asked for and is not settled yet.
    pub(super) errand: Option<Errand>,
    /// Both clocks as they stood together.
    pub(super) clocks: Option<Now>,
    /// The last event.
    pub(super) seen: Moment,
    /// The last warning that was given, in days.
    pub(super) warned: Option<u16>,
    /// The process ends: no round begins any more.
    pub(super) closing: bool,
}

/// A grant that is to begin a new chain.
#[derive(Clone, Debug)]
pub(super) struct Planting {
    pub(super) record: Record,
    /// The hash of the seed that then counts as taken.
    pub(super) mark: Option<String>,
    pub(super) sown: Sown,
}

/// When a grant came that is to begin a new chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sown {
    /// It is the seed that stood there when the process started.
    AtStart,
    /// It came while the process runs: somebody wants it.
    Since,
}

impl Planting {
    pub(super) fn of_seed(seed: Secret<String>, sown: Sown, now: Now) -> Self {
        Self {
            mark: Some(seed.hash()),
            record: Record::new(seed, now.wall),
            sown,
        }
    }
}

/// The token in use, as far as the machine cares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) generation: u64,
    /// When it was asked for, as far as the clocks tell.
    pub(super) obtained: Moment,
    pub(super) ends: Option<Moment>,
    pub(super) due: Option<Moment>,
    /// When it was published first.
    pub(super) since: Moment,
    pub(super) renewable_from: Moment,
    pub(super) rejected: bool,
    /// Renewals in a row that were made for a rejection and helped nobody for long.
    pub(super) strikes: u32,
}

impl Current {
    /// False once it has ended or an upstream refused it.
    pub(super) fn serves(&self, now: Moment) -> bool {
        !self.rejected && self.ends.is_none_or(|ends| now < ends)
    }
}

/// After a failure that should pass: the server is away or busy, a store is.
pub(super) const SOON: Backoff = Backoff {
    first: seconds(1),
    most: seconds(60),
};

/// The most strikes of a token that somebody accepted: one resource refuses what others take, or
/// tokens die early, and then they must still be replaced every few minutes.
const PROVEN_STRIKES: u32 = 3;

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
            begun: true,
            peers: Peers::default(),
            stored,
            unsaved: 0,
            save_at: Moment::ZERO,
            prior_intent: None,
            withdrawn: None,
            replay_until: None,
            held: false,
            asked_at: None,
            token: None,
            value: None,
            refusal: None,
            failures: 0,
            retry_at: Moment::ZERO,
            look_at: Moment::ZERO,
            seed: None,
            errand: None,
            clocks: None,
            seen: Moment::ZERO,
            warned: None,
            closing: false,
        }
    }

    /// A machine for a store that could not be read at the start, and is read when it can be.
    pub fn unread_yet(settings: Settings, seed: u64) -> Self {
        Self {
            begun: false,
            ..Self::new(settings, None, seed)
        }
    }

    /// Takes up what was stored: publishes the token that still lives, takes the seed where the
    /// store is empty or the seed has changed since, and remembers an open intent.
    pub fn begin(&mut self, seed: Option<Secret<String>>, now: Now) -> Vec<Decision> {
        let mut decisions = self.heed_clocks(now);
        self.seed = seed.map(|seed| Planting::of_seed(seed, Sown::AtStart, now));
        decisions.extend(if self.begun {
            self.begin_with_stored(now)
        } else {
            self.unread(ErrorKind::Away, now)
        });
        decisions.extend(self.warn(now));
        decisions
    }

    /// Takes one event.
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Decision> {
        let mut decisions = self.heed_clocks(now);
        decisions.extend(match event {
            Event::Tick | Event::Wanted => self.advance(now),
            Event::Rejected(generation, standing) => self.rejected(generation, standing, now),
            Event::Demanded => self.demanded(now),
            Event::Loaded(read) => self.loaded(read, now),
            Event::Unchanged => self.unchanged(now),
            Event::Claimed(claim) => self.claimed(claim, now),
            Event::Released => self.released(now),
            Event::Saved(saved) => self.saved(saved, now),
            Event::Answered(Answer::Success(tokens), sent) => self.refreshed(*tokens, sent, now),
            Event::Answered(Answer::Failed(failure), _) => self.failed(failure, now),
            Event::SecretChanged => self.secret_changed(now),
            Event::SeedChanged(seed) => self.sow(seed, now),
            Event::Imported(record, mark) => {
                let record = *record;
                let sown = Sown::Since;
                let planting = Box::new(Planting { record, mark, sown });
                self.take_on(Errand::Import(planting), now)
            }
            Event::Disowned(means) => self.take_on(Errand::Disown(means), now),
            Event::Revoked(answer) => self.revoked(answer, now),
        });
        decisions.extend(self.give_back());
        decisions.extend(self.warn(now));
        decisions
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
        self.unsaved > 0
    }

    /// Why there is no new token, if there is none.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// True when no work is under way, so that the process may end without losing any.
    pub fn resting(&self) -> bool {
        self.phase == Phase::Resting
    }

    /// Orders the save that is still owed, if any, before the process ends; no round begins after.
    pub fn flush(&mut self) -> Vec<Decision> {
        self.closing = true;
        if !self.unsaved() || !self.resting() {
            return Vec::new();
        }
        self.read_whole()
    }

    fn rejected(&mut self, generation: u64, standing: Standing, now: Now) -> Vec<Decision> {
        let floor = self.settings.renew_floor;
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
        if standing == Standing::Proven && !token.rejected {
            // Refused as soon as it could be renewed, and yet accepted by others: it is one
            // resource that refuses. Refused much later: it has died, as tokens do.
            let young = token.renewable_from.saturating_sub(token.since);
            let soon = token.since + young.max(floor) * 2;
            token.strikes = if now.mono < soon {
                token.strikes.min(PROVEN_STRIKES)
            } else {
                0
            };
        }
        token.rejected = true;
        self.advance(now)
    }

    /// Makes a successor due. What stands in its way (a back-off, a store that fails, a refresh
    /// token in doubt) is not overruled but told.
    fn demanded(&mut self, now: Now) -> Vec<Decision> {
        if let Some(token) = self.token.as_mut() {
            token.due = Some(Moment::ZERO);
        }
        let mut decisions = self.advance(now);
        // What is due within a moment is waited for.
        let soon = now.mono + SPACING;
        let next = self.next_at().unwrap_or(Moment::MAX);
        if self.resting() && next > soon {
            let (reason, code) = match self.refusal.take() {
                Some(known) => (known.reason, known.code),
                None => (Reason::IssuerUnavailable, String::from("held_back")),
            };
            let until = next.min(now.mono + seconds(60));
            decisions.extend(self.refuse(reason, code, until));
        }
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
        self.retry_at = now.mono + wait;
        self.retry_at
    }

    pub(super) fn refuse(&mut self, reason: Reason, code: String, until: Moment) -> Vec<Decision> {
        let refusal = Refusal {
            reason,
            code,
            until,
        };
        self.refusal = Some(refusal.clone());
        vec![Decision::Refuse(refusal)]
    }

    /// Forgets what went wrong before, for something has changed.
    pub(super) fn relent(&mut self) -> Vec<Decision> {
        self.failures = 0;
        self.retry_at = Moment::ZERO;
        let refused = self.refusal.take();
        refused.map(|_| Decision::Relent).into_iter().collect()
    }

    fn secret_changed(&mut self, now: Now) -> Vec<Decision> {
        let refused = self.refusal.as_ref().map(|refusal| refusal.reason);
        if !matches!(refused, Some(Reason::ClientRefused | Reason::GrantDead)) {
            return Vec::new();
        }
        let mut decisions = Vec::new();
        if self.unsaved() {
            // Whoever waits still waits for the store; what follows may come at once.
            self.failures = 0;
            self.retry_at = Moment::ZERO;
        } else {
            decisions = self.relent();
        }
        decisions.extend(self.advance(now));
        decisions
    }

    fn sow(&mut self, seed: Secret<String>, now: Now) -> Vec<Decision> {
        self.seed = Some(Planting::of_seed(seed, Sown::Since, now));
        self.look_at = Moment::ZERO;
        self.advance(now)
    }
}
