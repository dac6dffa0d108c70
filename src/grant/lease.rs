//! The lease on a shared store: who of several replicas may spend the refresh token, and what a
//! machine does that has to wait for another.
//!
//! What always holds:
//! - Where the store is shared, nothing is spent, planted or taken back without the lease, and
//!   the record is read again after the lease was taken.
//! - A token request leaves only while the lease outlasts the whole call.
//! - A machine that rests has no lease, save while its newest record could not be saved: nobody
//!   else could do anything with the refresh token that is stored then.
//! - That somebody else has the lease is no trouble: it is waited for, and the store is read
//!   again, for the other may have done what was to be done.
//!
//! The lease orders replicas and spares the server; it is not what keeps a token from being spent
//! twice. An engine may lose its leases, so that is left to the intent: of two who believe, one
//! saves it, and the other finds it open and waits for as long as a call can last.

use std::time::Duration;

use super::event::{Decision, Moment, Notice, Now, Right};
use super::state::{Machine, Phase, seconds};
use crate::backoff::Backoff;
use crate::store::{Claim, ErrorKind, Intent, Lease, Sharing};

/// What a lease lasts beyond the token call: reading, saving, and saving again.
const MARGIN: Duration = seconds(5);

/// How often a lease that somebody has is asked for.
const WAIT: Backoff = Backoff {
    first: Duration::from_millis(250),
    most: seconds(1),
};

/// The least wait, whatever the engine says is left of the lease.
const SHORTEST: Duration = Duration::from_millis(50);

/// How often the store is looked at for what others did, before jitter.
const LOOK_PEERS: Duration = seconds(15);

/// The same while another's call may be under way and nothing is served.
const LOOK_SOON: Duration = seconds(1);

/// Saves in a row that others came before; more are no coincidence.
const OVERTAKEN_MOST: u32 = 3;

/// What a machine knows of those who share its store.
#[derive(Debug, Default)]
pub(super) struct Peers {
    lease: Option<Held>,
    /// When the lease was last asked for; what it lasts counts from there.
    claimed_at: Moment,
    /// Claims in a row that found it taken.
    waits: u32,
    /// Until when a lease that somebody has is not asked for again.
    pub(super) wait_until: Moment,
    /// Who has the lease, as far as is known.
    holder: Option<String>,
    /// When the store was last read.
    read_at: Moment,
    /// When it is looked at for what others did.
    pub(super) look_at: Moment,
    overtaken: u32,
    stranger: Option<Stranger>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    until: Moment,
}

/// Another's intent, and since when it is known here.
#[derive(Debug)]
struct Stranger {
    intent: Intent,
    since: Moment,
    told: bool,
}

impl Machine {
    pub(super) fn is_shared(&self) -> bool {
        self.settings.sharing == Sharing::Shared
    }

    /// Who has the lease as far as is known: this process, or another.
    pub fn lease_holder(&self) -> Option<&str> {
        let ours = self.peers.lease.as_ref();
        let ours = ours.map(|held| held.lease.holder.as_str());
        ours.or(self.peers.holder.as_deref())
    }

    /// How long a lease is asked for.
    fn ttl(&self) -> Duration {
        self.settings.call + MARGIN
    }

    /// Until when a call may begin so that it ends inside the lease.
    fn covers_until(&self) -> Option<Moment> {
        let held = self.peers.lease.as_ref()?;
        held.until.checked_sub(self.settings.call)
    }

    /// True where what comes next takes a lease that is not there, or not for long enough.
    pub(super) fn lacks_lease(&self, now: Now) -> bool {
        self.is_shared() && self.covers_until().is_none_or(|until| until <= now.mono)
    }

    /// The right to send, as it is handed along with a token.
    pub(super) fn right(&self, now: Now) -> Option<Right> {
        let until = self.covers_until()?;
        let left = until.saturating_sub(now.mono);
        Some(Right {
            lease: self.peers.lease.as_ref()?.lease.clone(),
            not_after: Now {
                mono: until,
                wall: now.wall.checked_add(left).unwrap_or(now.wall),
            },
        })
    }

    /// Asks for the lease, in order to begin or ([`Phase::Renewing`]) to go on.
    pub(super) fn claim(&mut self, phase: Phase, now: Now) -> Vec<Decision> {
        self.phase = phase;
        self.peers.claimed_at = now.mono;
        vec![Decision::Claim(self.ttl())]
    }

    pub(super) fn claimed(&mut self, claim: Result<Claim, ErrorKind>, now: Now) -> Vec<Decision> {
        let phase = std::mem::replace(&mut self.phase, Phase::Resting);
        match (claim, phase) {
            (Ok(Claim::Taken(lease)), Phase::Renewing) => self.renewed(lease, now),
            (Ok(Claim::Taken(lease)), _) => {
                self.hold(lease);
                self.read_whole()
            }
            (Ok(Claim::Held { by, remaining }), phase) => {
                let mut decisions = Vec::new();
                if phase == Phase::Renewing {
                    decisions = self.lose_lease();
                }
                decisions.extend(self.wait_for(by, remaining, now));
                decisions
            }
            (Err(kind), phase) => {
                if phase == Phase::Renewing {
                    self.withdraw_intent();
                }
                self.store_trouble(kind, now)
            }
        }
    }

    fn hold(&mut self, lease: Lease) {
        let until = self.peers.claimed_at + lease.ttl.min(self.ttl());
        self.peers.lease = Some(Held { lease, until });
        self.peers.waits = 0;
        self.peers.holder = None;
    }

    /// The lease that had become too short is long again; or another had it in between, and what
    /// is stored must be read before anything is sent.
    fn renewed(&mut self, lease: Lease, now: Now) -> Vec<Decision> {
        let before = self.peers.lease.as_ref().map(|held| held.lease.fence);
        let mut decisions = Vec::new();
        if before == Some(lease.fence) {
            self.hold(lease);
            return self.ask(now);
        }
        decisions.extend(self.lose_lease());
        self.hold(lease);
        decisions.extend(self.read_whole());
        decisions
    }

    /// Nothing was sent yet, so the intent that stands in the store means nothing.
    fn lose_lease(&mut self) -> Vec<Decision> {
        self.peers.lease = None;
        self.withdraw_intent();
        vec![Decision::Notice(Notice::LeaseLost)]
    }

    fn wait_for(&mut self, by: String, remaining: Option<Duration>, now: Now) -> Vec<Decision> {
        self.peers.lease = None;
        self.peers.waits += 1;
        let wait = WAIT.wait(self.peers.waits, self.dice.f64());
        let wait = wait.min(remaining.unwrap_or(wait)).max(SHORTEST);
        self.peers.wait_until = now.mono + wait;
        if self.seed.is_some() {
            self.look_at = self.peers.wait_until;
        }
        let first = self.peers.waits == 1;
        self.peers.holder = Some(by.clone());
        first
            .then(|| Decision::Notice(Notice::LeaseHeld(by)))
            .into_iter()
            .collect()
    }

    /// Gives the lease back where the machine has come to rest. It is given back also where its
    /// end seems to have passed: it may have been renewed while the call ran.
    pub(super) fn give_back(&mut self) -> Vec<Decision> {
        if !self.resting() || self.unsaved() {
            return Vec::new();
        }
        let Some(held) = self.peers.lease.take() else {
            return Vec::new();
        };
        self.phase = Phase::Releasing;
        vec![Decision::Release(held.lease)]
    }

    pub(super) fn released(&mut self, now: Now) -> Vec<Decision> {
        self.phase = Phase::Resting;
        self.advance(now)
    }

    /// Orders a read: where all is as it was left, the cheap look is enough.
    pub(super) fn read(&mut self) -> Vec<Decision> {
        let known = self.record.as_ref().map(|record| record.generation);
        let cheap = self.is_shared() && !self.unsaved() && self.withdrawn.is_none();
        match self.stored.filter(|_| cheap && self.stored == known) {
            Some(generation) => {
                self.phase = Phase::Reading;
                vec![Decision::Look(generation)]
            }
            None => self.read_whole(),
        }
    }

    pub(super) fn read_whole(&mut self) -> Vec<Decision> {
        self.phase = Phase::Reading;
        vec![Decision::Load]
    }

    /// Notes that the store was read.
    pub(super) fn note_read(&mut self, now: Now) {
        self.peers.read_at = now.mono;
        let jittered = LOOK_PEERS.mul_f64(0.8 + 0.4 * self.dice.f64());
        self.peers.look_at = now.mono + jittered;
        self.look_at = self.next_look(now);
    }

    /// Notes that it could not be: when it is looked at again, where somebody waits and else.
    pub(super) fn note_unread(&mut self, soon: Moment, again: Moment) {
        self.peers.read_at = soon;
        self.peers.look_at = again;
    }

    /// When the store is looked at for what others did.
    pub(super) fn peers_look_at(&self) -> Option<Moment> {
        if !self.is_shared() || self.unsaved() || self.closing {
            return None;
        }
        let soon = self.peers.read_at + LOOK_SOON;
        let awaits = self.awaits_stranger();
        Some(if awaits { soon } else { self.peers.look_at })
    }

    /// True while nothing is served and another's call may bring something.
    pub(super) fn awaits_stranger(&self) -> bool {
        let served = self.token.is_some_and(|token| token.serves(self.seen));
        !served && self.stranger_until() > self.seen
    }

    /// Somebody else saved first: true where that is read and taken up before anybody is told.
    pub(super) fn overtaken(&mut self, kind: ErrorKind) -> bool {
        let other = kind == ErrorKind::Conflict && self.is_shared();
        self.peers.overtaken += u32::from(other);
        other && self.peers.overtaken <= OVERTAKEN_MOST
    }

    pub(super) fn forget_overtaken(&mut self) {
        self.peers.overtaken = 0;
    }

    /// Notes whose the open intent of the record is.
    pub(super) fn note_stranger(&mut self, now: Now) {
        let record = self.record.as_ref().filter(|_| self.is_shared());
        let open = record.and_then(|record| record.intent.clone());
        let known = self.peers.stranger.take();
        self.peers.stranger = match (open, known) {
            (Some(open), Some(known)) if known.intent == open => Some(known),
            // Ours was written over another's, which still counts.
            (Some(open), known) if open.by == self.settings.identity => {
                known.filter(|known| known.intent.refresh_token == open.refresh_token)
            }
            (Some(intent), _) => Some(Stranger {
                intent,
                since: now.mono,
                told: false,
            }),
            (None, _) => None,
        };
    }

    /// Until when the call of another who wrote an intent may still be under way, by the time
    /// since it is known here: clocks of others are not believed.
    pub(super) fn stranger_until(&self) -> Moment {
        let stranger = self.peers.stranger.as_ref();
        stranger.map_or(Moment::ZERO, |stranger| stranger.since + self.ttl())
    }

    /// Tells once of another's intent that nobody will close any more.
    pub(super) fn tell_of_stranger(&mut self) -> Vec<Decision> {
        let Some(stranger) = self.peers.stranger.as_mut() else {
            return Vec::new();
        };
        if std::mem::replace(&mut stranger.told, true) {
            return Vec::new();
        }
        let by = stranger.intent.by.clone();
        vec![Decision::Notice(Notice::IntentOpen(by))]
    }

    /// True for an intent that another process wrote.
    pub(super) fn is_strange(&self, open: &Intent) -> bool {
        self.is_shared() && open.by != self.settings.identity
    }

    /// Brings nearer what a sleep has brought nearer.
    pub(super) fn hasten_lease(&mut self, ahead: Duration) {
        let peers = &mut self.peers;
        peers.claimed_at = peers.claimed_at.saturating_sub(ahead);
        if let Some(held) = peers.lease.as_mut() {
            held.until = held.until.saturating_sub(ahead);
        }
    }
}
