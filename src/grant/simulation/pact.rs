//! What must hold between the replicas of a fleet, beside the laws that each of them is under.

use std::time::Duration;

use super::fleet::Replica;
use super::plan::seconds;
use super::process::{Process, Sent};
use super::world::{World, number, numbered};
use crate::store::Record;

/// After rough weather tokens of several chains may be in use, which are replaced first.
const PACE_AFTER: Duration = seconds(2 * 3600);

impl World {
    /// In a fleet a request may leave long after it was decided on, if ever.
    pub(super) fn check_arrival(&mut self, sent: Sent) {
        if !self.is_fleet() || !self.server.is_spent(sent.token, self.now) {
            return;
        }
        if !sent.last_resort && !self.laws.clock_lied {
            self.laws
                .break_law("a spent refresh token arrives outside its window");
        }
        let family = self.server.family(sent.token);
        if !self.laws.resorted.contains(&family) {
            self.check_successor_is_lost(sent.token);
        }
        // An answer was lost, an intent tells of it, and it is told and counted: the one way in
        // which a fleet may lose a grant.
        self.laws.resorted.insert(family);
    }

    /// What is sent as a last resort kills where the token is spent: then nobody who can save it
    /// has the successor.
    fn check_successor_is_lost(&mut self, token: usize) {
        if self.plan.weather.store > 0.0 || self.laws.clock_lied {
            return;
        }
        let of_token = |record: &Record| {
            let previous = record.previous_refresh_token.as_ref();
            previous.is_some_and(|previous| number(previous) == token)
        };
        let now = self.now;
        let able = |it: &&Replica| !it.is_stopped(now) && it.reaches_store(now);
        let running = self.others.iter().filter(able);
        let mut machines = running.filter_map(|it| it.process.as_ref());
        let held = machines.any(|it| {
            let hears = it.work.as_ref().is_some_and(|work| work.step.is_success());
            let knows = it.machine.record();
            let asked = knows.is_some_and(|it| numbered(it) == Some(token));
            (hears && asked) || (it.machine.unsaved() && knows.is_some_and(of_token))
        });
        if held {
            self.laws
                .break_law("a last resort while another has the successor and can save it");
        }
    }

    /// In calm weather a fleet refreshes as often as one process.
    pub(super) fn check_calm_pace(&mut self) {
        let now = self.now;
        let before = self.laws.refreshed_at.replace(now);
        let told = self.plan.nature.told.unwrap_or_default();
        let quiet = self
            .calm_since()
            .is_some_and(|since| now > since + PACE_AFTER);
        let period = self.plan.nature.idle.unwrap_or(told).min(told);
        let soon = before.is_some_and(|before| now < before + (period / 8) * 3);
        let judged = self.is_fleet() && !self.laws.clock_lied;
        if judged && told >= seconds(60) && quiet && soon {
            self.laws
                .break_law("a fleet refreshes oftener than one process would");
        }
    }

    /// At the end everybody knows what is stored.
    pub(super) fn judge_agreement(&mut self) {
        let now = self.now;
        let stored = self.shelf.generation();
        let rested = self.saved_at + seconds(30) < now;
        let agrees = |it: &Replica| {
            let at_rest = |process: &&Process| process.work.is_none() && !it.is_stopped(now);
            let process = it.process.as_ref().filter(at_rest);
            process.is_none_or(|process| process.machine.stored == stored)
        };
        let all = self.replicas().all(agrees);
        if self.is_fleet() && rested && !all {
            self.laws.break_law("replicas do not agree in calm weather");
        }
    }
}
