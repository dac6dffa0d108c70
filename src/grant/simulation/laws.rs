//! What must hold at every step of every schedule, and the story that is told when it does not.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use super::plan::{DAY, seconds};
use super::server::Time;
use super::trouble::PROMPT;
use super::world::{World, number, numbered};
use crate::grant::event::{Issued, Notice, Settled};
use crate::oauth::Class;
use crate::store::{Record, State};

/// What is remembered in order to judge.
#[derive(Default)]
pub(super) struct Laws {
    pub(super) broken: Option<String>,
    story: Option<String>,
    /// Whose turn it is.
    pub(super) who: usize,
    pub(super) notices: Vec<Notice>,
    pub(super) steps: u32,
    pub(super) starts: usize,
    pub(super) logins: usize,
    pub(super) upheavals: usize,
    /// Everything that went wrong so far.
    pub(super) troubles: u32,
    /// The wall clock was set back while no process ran: then nobody can know how old an intent is.
    pub(super) clock_lied: bool,
    /// Which refresh token came with which access token.
    pub(super) handed: HashMap<usize, usize>,
    /// The families that the server was asked to revoke, and did.
    pub(super) revoked: HashSet<usize>,
    /// The families of which a process has seen, or left, a tombstone.
    buried: HashSet<usize>,
    /// The family of the grant that was on the shelf last.
    last: Option<usize>,
    sends: Vec<Time>,
    /// The last refresh in calm weather.
    pub(super) refreshed_at: Option<Time>,
    /// The families that a last resort has ended.
    pub(super) resorted: HashSet<usize>,
    /// The access tokens that were handed out before.
    published: HashSet<usize>,
    replay: Option<Replay>,
}

/// A lost answer that must be asked for again inside the window, unless more goes wrong.
struct Replay {
    until: Time,
    troubles: u32,
}

impl Laws {
    pub(super) fn break_law(&mut self, law: &str) {
        self.broken.get_or_insert_with(|| law.to_owned());
    }

    pub(super) fn record_story(&mut self) {
        self.story = Some(String::new());
    }

    pub(super) fn story(&self) -> &str {
        self.story.as_deref().unwrap_or_default()
    }

    pub(super) fn tell(&mut self, now: Time, what: impl FnOnce() -> String) {
        if let Some(story) = self.story.as_mut() {
            let (now, who) = (now.as_secs_f64(), self.who);
            let _ = writeln!(story, "{now:>12.3} {who}: {}", what());
        }
    }

    pub(super) fn expect_no_replay(&mut self) {
        self.replay = None;
    }

    fn saw(&self, like: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(like)
    }
}

impl World {
    /// No token is sent outside its window after it was spent, save as the counted last resort;
    /// token requests are few.
    pub(super) fn check_send(&mut self, token: usize, notices: &[Notice]) {
        let mono = self.clocks().mono;
        let last_resort = notices.contains(&Notice::LastResort);
        let serves = self
            .me
            .process
            .as_ref()
            .and_then(|process| process.shown.as_ref())
            .is_some_and(|shown| shown.lives(mono) && !shown.rejected);
        if last_resort && serves {
            self.laws
                .break_law("a last resort while an access token lives");
        }
        let spent = self.server.is_spent(token, self.now) && !self.laws.clock_lied;
        if spent && !last_resort && !self.is_fleet() {
            self.laws
                .break_law("a spent refresh token is sent outside its window");
        }
        self.laws.replay = None;
        let buried = self.laws.buried.contains(&self.server.family(token));
        if buried && !self.is_fleet() {
            self.laws.break_law("a grant is sent that was taken back");
        }
        let durable = self
            .shelf
            .record
            .as_ref()
            .is_some_and(|record| numbered(record) != Some(token) || record.intent.is_some());
        if !durable {
            self.laws
                .break_law("a refresh token is sent without a durable intent");
        }
        if self.is_fleet() && self.now < self.me.serves_until {
            self.laws
                .break_law("a replica that found a token asks for another");
        }
        self.check_rate();
    }

    fn check_rate(&mut self) {
        let hour_ago = self.now.saturating_sub(seconds(3600));
        let now = self.now;
        let laws = &mut self.laws;
        laws.sends.retain(|at| *at >= hour_ago);
        laws.sends.push(now);
        let told = self.plan.nature.told.unwrap_or(seconds(3600)).as_secs_f64();
        let by_expiry = 3600.0 / (told / 2.0).max(1.0);
        let restless = (laws.starts + laws.upheavals + laws.logins) * 4;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (sends, restless) = (laws.sends.len() as f64, restless as f64);
        if sends > 150.0 + by_expiry + restless {
            laws.break_law("too many token requests in an hour");
        }
    }

    /// A process sees what is on the shelf: of what is buried there nothing is sent any more.
    pub(super) fn note_burial(&mut self) {
        let Some(stored) = &self.shelf.record else {
            return;
        };
        match numbered(stored) {
            Some(token) => self.laws.last = Some(self.server.family(token)),
            None => self.laws.buried.extend(self.laws.last),
        }
    }

    /// What is told to be done is durable.
    pub(super) fn check_settled(&mut self, settled: &Settled) {
        let stored = self.shelf.record.as_ref();
        let kept = match settled {
            Settled::Imported(begun) => stored.is_some_and(|stored| stored.generation >= *begun),
            // A person may have put another grant there meanwhile.
            Settled::Revoked(_) => stored.is_some_and(|stored| {
                let process = self.me.process.as_ref();
                let ours = process.and_then(|process| process.machine.record());
                stored.is_tombstone() || ours.is_none_or(|it| it.generation < stored.generation)
            }),
        };
        if !kept {
            self.laws
                .break_law("a person is told of something that is not stored");
        }
        self.note_burial();
    }

    /// No access token is handed out before the refresh token that came with it is durable.
    pub(super) fn check_published(&mut self, issued: &Issued) {
        let unsaved = self
            .me
            .process
            .as_ref()
            .is_some_and(|process| process.machine.unsaved());
        let stored = self.shelf.record.as_ref();
        let access = number(&issued.value);
        if self.is_fleet() && !self.laws.published.insert(access) {
            return;
        }
        let family_differs =
            |stored: usize, handed: usize| self.server.family(stored) != self.server.family(handed);
        let durable = self.laws.handed.get(&access).is_none_or(|handed| {
            // A tombstone by another is newer than anything.
            stored.is_some_and(|stored| {
                numbered(stored)
                    .is_none_or(|stored| stored >= *handed || family_differs(stored, *handed))
            })
        });
        if !unsaved && !durable {
            self.laws
                .break_law("an access token is published before its refresh token is durable");
        }
    }

    /// The server has rotated and the answer is lost at once: it is to be asked for again.
    pub(super) fn expect_replay(&mut self) {
        let window = self.plan.settings.lifetime.replay_window.duration();
        let record = self.shelf.record.as_ref();
        let first = record
            .and_then(|record| record.intent.as_ref())
            .is_some_and(|open| open.tries == 1);
        if first && !self.me.jumped && window >= seconds(10) {
            self.laws.replay = Some(Replay {
                until: self.now + window / 2,
                troubles: self.laws.troubles,
            });
        }
    }

    /// At rest: whoever waits knows until when, and what was handed over is in the store.
    pub(super) fn check_rest(&mut self) {
        self.check_replay();
        let mono = self.clocks().mono;
        let Some(process) = self.me.process.as_mut() else {
            return;
        };
        let shown = process.shown.as_ref().filter(|shown| shown.lives(mono));
        let found = shown.is_some_and(|shown| {
            process
                .waits
                .is_none_or(|rejected| shown.issued.generation > rejected)
        });
        let denied = process.denied.is_some_and(|until| mono < until);
        if found || denied {
            process.waits = None;
        }
        let machine = &process.machine;
        let idle = machine.resting() && machine.next_at().is_none_or(|next| next > mono + PROMPT);
        if process.waits.is_some() && idle {
            self.laws
                .break_law("somebody waits and nothing is under way");
        }
        self.check_kept();
    }

    fn check_kept(&mut self) {
        let Some(process) = &self.me.process else {
            return;
        };
        let machine = &process.machine;
        if !machine.resting() || machine.unsaved() {
            return;
        }
        if let (Some(ours), Some(stored)) = (machine.record(), &self.shelf.record) {
            let (Some(ours), Some(stored)) = (numbered(ours), numbered(stored)) else {
                return;
            };
            if ours > stored && self.server.family(ours) == self.server.family(stored) {
                self.laws
                    .break_law("a refresh token that was handed over is not in the store");
            }
        }
    }

    fn check_replay(&mut self) {
        let laws = &mut self.laws;
        let missed = laws
            .replay
            .as_ref()
            .is_some_and(|replay| self.now > replay.until && laws.troubles == replay.troubles);
        if missed {
            laws.break_law("a lost answer was not asked for again inside the window");
        }
    }

    /// At the end: the grant lives, or it could not and everybody could see why.
    pub(super) fn judge(&mut self) {
        self.judge_agreement();
        let Some(record) = self.shelf.record.clone() else {
            return self.laws.break_law("nothing is stored at the end");
        };
        let Some(token) = numbered(&record) else {
            return self.judge_buried();
        };
        let family = self.server.family(token);
        if self.server.is_good(token, self.now) {
            if matches!(record.state, State::Dead(_)) {
                self.laws
                    .break_law("a living grant is called dead at the end");
            }
            return;
        }
        if self.server.was_lost(token) {
            let told = self.laws.saw(|notice| {
                matches!(
                    notice,
                    Notice::IntentOpen(_)
                        | Notice::Unsaved(_)
                        | Notice::Failed(Class::Ambiguous, _)
                        | Notice::StoreTrouble(_)
                )
            });
            if !told && !matches!(record.state, State::Dead(_)) && record.intent.is_none() {
                self.laws
                    .break_law("an answer was lost and nobody was told");
            }
            return;
        }
        if self.now > self.server.ends(family) {
            return self.judge_absolute(family);
        }
        // A token that may be spent is held back while the access token lives, be it for months;
        // the record says so.
        if self.plan.nature.idle.is_some() && record.intent.is_some() {
            return;
        }
        if self.laws.resorted.contains(&family) {
            return;
        }
        // It was revoked for a person, and the process died before it could note that.
        if self.laws.revoked.contains(&family) {
            return;
        }
        self.laws.break_law("the grant died by our fault");
    }

    /// The grant was taken back, and nothing of it is served.
    fn judge_buried(&mut self) {
        let mono = self.clocks().mono;
        let process = self.me.process.as_ref();
        let knows = process.and_then(|process| process.machine.record());
        let shown = process.and_then(|process| process.shown.as_ref());
        if knows.is_some_and(Record::is_tombstone) && shown.is_some_and(|shown| shown.lives(mono)) {
            self.laws
                .break_law("an access token of a grant that was taken back is served");
        }
    }

    /// The grant reached the end that no refresh puts off: it was warned of.
    fn judge_absolute(&mut self, family: usize) {
        let warned = self
            .laws
            .saw(|notice| matches!(notice, Notice::Ending(1, _)));
        let whole = self.plan.nature.absolute.unwrap_or(Duration::ZERO);
        let calm = self
            .calm_since()
            .is_some_and(|since| since + DAY < self.server.ends(family));
        if calm && whole >= DAY * 2 && !warned {
            self.laws.break_law("the grant ended and nobody was warned");
        }
    }
}
