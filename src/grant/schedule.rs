//! When something is done: the next round, the next look at the store, and what clocks that do
//! not agree mean.
//!
//! The rule of the clocks: a moment is fixed on the monotonic clock when it is learnt. Where the
//! wall clock runs ahead of it (the machine slept, or was set), moments that count real time come
//! nearer by as much; where it is set back, nothing moves. So a token never lives for longer than
//! it was given, by either clock, and a clock that jumps costs at most a refresh too early.

use std::time::Duration;

use jiff::SignedDuration;

use super::event::{Decision, Moment, Notice, Now, Reason, Refusal};
use super::state::{Machine, seconds};
use crate::store::State;

/// How often the store is looked at while there is no grant, or none that works.
const LOOK: Duration = seconds(5);

/// How often it is looked at while the refresh token is held back and the access token serves.
const LOOK_HELD: Duration = seconds(60);

/// How often the clocks are compared, at least: for so long a machine that slept may not know it.
const HEARTBEAT: Duration = seconds(30);

/// The clocks differ by less from slewing and from being read one after the other.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// The least time between two token requests, whatever happens: short-lived tokens, changing
/// secrets, tokens that arrive dead.
pub(super) const SPACING: Duration = seconds(1);

impl Machine {
    /// When an [`Event::Tick`](super::event::Event::Tick) is due; nothing while work is under way.
    pub fn wakes_at(&self) -> Option<Moment> {
        let heartbeat = self.seen + HEARTBEAT;
        self.resting()
            .then(|| self.next_at().map_or(heartbeat, |at| at.min(heartbeat)))
    }

    /// When there is something to do, if the clocks go on as they went.
    pub(super) fn next_at(&self) -> Option<Moment> {
        let errand = self.errand_waits().then_some(self.peers.wait_until);
        let next = [
            self.work_at(self.seen),
            self.looks_at(),
            self.peers_look_at(),
            errand,
        ];
        next.into_iter().flatten().min()
    }

    /// Begins what is due, if nothing is under way. Each round begins with reading the record.
    pub(super) fn advance(&mut self, now: Now) -> Vec<Decision> {
        if !self.resting() {
            return Vec::new();
        }
        let next = self.next_at();
        if self.due(now) || next.is_some_and(|at| at <= now.mono) {
            return self.read();
        }
        self.tell_of_hold(now)
    }

    /// True when a save or a refresh is due.
    pub(super) fn due(&self, now: Now) -> bool {
        self.work_at(now.mono).is_some_and(|at| at <= now.mono)
    }

    fn work_at(&self, now: Moment) -> Option<Moment> {
        if self.unsaved() {
            return Some(self.save_at);
        }
        if self.closing || self.grant().is_none() {
            return None;
        }
        let spaced = self.asked_at.map_or(Moment::ZERO, |asked| asked + SPACING);
        let soonest = self.retry_at.max(spaced).max(self.peers.wait_until);
        let due = match &self.token {
            _ if self.in_doubt() => self.doubt_ends(soonest.max(now))?,
            Some(token) if !token.rejected => token.due?,
            _ => Moment::ZERO,
        };
        Some(due.max(soonest))
    }

    /// When a token that may be spent is sent again: inside the window at once, after it when the
    /// access token has ended; nothing: not while that one serves, and it has no end.
    fn doubt_ends(&self, soonest: Moment) -> Option<Moment> {
        let serving = self.token.filter(|token| !token.rejected);
        match serving {
            _ if self.replays(soonest) => Some(Moment::ZERO),
            Some(token) => token.ends.map(|ends| ends.max(self.stranger_until())),
            None => Some(self.stranger_until()),
        }
    }

    /// True while a token that may be spent can be sent again without harm.
    pub(super) fn replays(&self, now: Moment) -> bool {
        self.replay_until.is_some_and(|until| now < until)
    }

    /// When the store is looked at although nothing is to be refreshed: a person may have put in
    /// a new grant.
    fn looks_at(&self) -> Option<Moment> {
        let served = self.token.is_some_and(|token| token.serves(self.seen));
        let wanting = self.seed.is_some()
            || (self.refusal.is_some() && !served)
            || (self.held && self.in_doubt())
            || self
                .grant()
                .is_none_or(|record| matches!(record.state, State::Dead(_)));
        (wanting && !self.unsaved() && !self.closing).then_some(self.look_at)
    }

    /// When the store is looked at again after it was read.
    pub(super) fn next_look(&self, now: Now) -> Moment {
        now.mono + if self.held { LOOK_HELD } else { LOOK }
    }

    /// Why there is no newer token, as far as it is to be shown: what the last attempt said; else,
    /// where a process before this one left the refresh token in doubt, that it is held back.
    pub fn trouble(&self) -> Option<Refusal> {
        self.refusal.clone().or_else(|| {
            let holds = self.held && self.in_doubt();
            Some(Refusal {
                reason: Reason::IssuerUnavailable,
                code: String::from("answer_lost"),
                until: self.work_at(self.seen).filter(|_| holds)?,
            })
        })
    }

    fn tell_of_hold(&mut self, now: Now) -> Vec<Decision> {
        let serves = self.token.is_some_and(|token| token.serves(now.mono));
        let asked = self.stranger_until() > now.mono;
        if self.held || !serves || asked || !self.in_doubt() || self.replays(now.mono) {
            return Vec::new();
        }
        self.held = true;
        let mut decisions = self.tell_of_stranger();
        decisions.push(Decision::Notice(Notice::Held));
        decisions
    }

    /// Compares the clocks and brings nearer what a sleep has brought nearer.
    pub(super) fn heed_clocks(&mut self, now: Now) -> Vec<Decision> {
        self.seen = now.mono;
        let before = *self.clocks.get_or_insert(now);
        let stood = SignedDuration::try_from(now.mono.saturating_sub(before.mono));
        let ran = now.wall.duration_since(before.wall);
        let ahead = ran.saturating_sub(stood.unwrap_or(SignedDuration::MAX));
        if ahead.abs() < TOLERANCE {
            return Vec::new();
        }
        self.clocks = Some(now);
        match Duration::try_from(ahead) {
            Ok(ahead) => self.hasten(ahead),
            Err(_) => vec![Decision::Notice(Notice::ClockSetBack)],
        }
    }

    fn hasten(&mut self, ahead: Duration) -> Vec<Decision> {
        let nearer = |at: &mut Moment| *at = at.saturating_sub(ahead);
        self.replay_until.as_mut().map(nearer);
        self.hasten_lease(ahead);
        if let Some(token) = self.token.as_mut() {
            token.ends.as_mut().map(nearer);
            token.due.as_mut().map(nearer);
        }
        let mut decisions = vec![Decision::Notice(Notice::ClockRanAhead(ahead))];
        decisions.extend(self.publish());
        decisions
    }
}
