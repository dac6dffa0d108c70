//! The state machine's stories: a clock that is handed in, a store and a server that obey.

mod opening;
mod shared;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::event::{
    Decision, Event, Issued, Means, Notice, Now, Reason, Refusal, Right, Rotation, Settings,
    Settled, Standing,
};
use super::state::Machine;
use crate::config::{Lifetime, Margin, Period, RotationRule};
use crate::issuer::{AccessFate, Revoked};
use crate::oauth::{Answer, Class, Expires, Failure, Tokens};
use crate::secret::Secret;
use crate::store::memory::Ledger;
use crate::store::{AccessToken, ErrorKind, Holder, Intent, Record, Sharing, State};

/// A machine with a clock, a store that obeys, and a list of what it told.
struct Story {
    machine: Machine,
    now: Now,
    stored: Option<Record>,
    /// What the next saves come to; then they succeed.
    saves: Vec<ErrorKind>,
    /// What the next claims come to; then the ledger says.
    claims: Vec<ErrorKind>,
    ledger: Ledger,
    /// The second claim fails: for another has the lease, or for the store is away.
    fail_renewal: Option<bool>,
    /// How long the next steps of these names take, in seconds.
    slow: Vec<(&'static str, u64)>,
    /// What another stores during the next slow step.
    meddler: Option<Record>,
    /// The steps at the store and towards the server so far.
    steps: Vec<&'static str>,
    asked: Option<String>,
    right: Option<Right>,
    published: Vec<Issued>,
    notices: Vec<Notice>,
    /// The tokens that the server is asked to revoke.
    revoking: Option<[Option<String>; 2]>,
    settled: Vec<Result<Settled, Refusal>>,
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn days(count: u64) -> Period {
    Period::seconds(count * 86_400)
}

fn settings() -> Settings {
    Settings {
        refresh_before: Margin::Percent(10),
        default_expires_in: Some(Duration::from_secs(3600)),
        renew_floor: Duration::from_secs(30),
        lifetime: Lifetime::default(),
        call: Duration::from_secs(30),
        sharing: Sharing::Exclusive,
        identity: String::from("story"),
    }
}

fn start() -> Now {
    Now {
        wall: Timestamp::from_second(1_800_000_000).unwrap(),
        mono: Duration::ZERO,
    }
}

fn record(refresh_token: &str) -> Record {
    Record {
        generation: 1,
        ..Record::new(secret(refresh_token), start().wall)
    }
}

/// A record whose access token lives for so many seconds more.
fn record_with_token(refresh_token: &str, seconds: i64) -> Record {
    let wall = start().wall;
    let access = AccessToken {
        value: secret("at-stored"),
        generation: 1,
        issued_at: wall,
        expires_at: Some(wall + SignedDuration::from_secs(seconds)),
    };
    Record {
        access_token: Some(access),
        ..record(refresh_token)
    }
}

fn tokens(access: &str, refresh: Option<&str>, lifetime: u64) -> Answer {
    Answer::Success(Box::new(Tokens {
        access_token: secret(access),
        refresh_token: refresh.map(secret),
        expires: Expires::In(Duration::from_secs(lifetime)),
        refresh_expires_in: None,
        scope: None,
        id_token: None,
        captured: std::collections::BTreeMap::new(),
    }))
}

fn failure(class: Class, code: &str) -> Answer {
    Answer::Failed(Failure::new(class, code))
}

impl Story {
    fn begin(stored: Option<Record>, seed: Option<&str>) -> Self {
        Self::of(Lifetime::default(), stored, seed)
    }

    fn of(lifetime: Lifetime, stored: Option<Record>, seed: Option<&str>) -> Self {
        let settings = Settings {
            lifetime,
            ..settings()
        };
        let mut story = Self::new(Machine::new(settings, stored.clone(), 7), stored);
        let decisions = story.machine.begin(seed.map(secret), story.now);
        story.follow(decisions);
        story
    }

    fn new(machine: Machine, stored: Option<Record>) -> Self {
        let (saves, published, notices) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            machine,
            now: start(),
            stored,
            saves,
            claims: Vec::new(),
            ledger: Ledger::default(),
            fail_renewal: None,
            slow: Vec::new(),
            meddler: None,
            steps: Vec::new(),
            asked: None,
            right: None,
            published,
            notices,
            revoking: None,
            settled: Vec::new(),
        }
    }

    fn follow(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Load => self.load(),
                Decision::Look(known) => self.look(known),
                Decision::Claim(ttl) => self.claim(ttl),
                Decision::Release(lease) => {
                    self.step("release");
                    self.ledger.release(&lease);
                    self.on(Event::Released);
                }
                Decision::Save(record, if_generation) => self.save(*record, if_generation),
                Decision::Refresh(token, right) => {
                    assert!(self.asked.is_none(), "two requests at once");
                    self.step("send");
                    self.asked = Some(token.expose().clone());
                    self.right = right;
                }
                Decision::Revoke(refresh, access) => {
                    assert!(self.asked.is_none(), "beside a refresh");
                    let text = |token: Secret<String>| token.expose().clone();
                    self.revoking = Some([Some(text(refresh)), access.map(text)]);
                }
                Decision::Publish(issued) => self.published.push(issued),
                Decision::Withdraw => self.published.clear(),
                Decision::Settle(settled) => self.settled.push(settled),
                Decision::Refuse(_) | Decision::Relent => {}
                Decision::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// A step takes as long as the story wants, and others act before it as it wants.
    fn step(&mut self, name: &'static str) {
        if let Some((_, seconds)) = self.slow.pop_if(|(slow, _)| *slow == name) {
            self.let_pass(seconds);
            self.stored = self.meddler.take().or(self.stored.take());
        }
        self.steps.push(name);
    }

    fn load(&mut self) {
        self.step("load");
        self.on(Event::Loaded(Ok(self.stored.clone())));
    }

    fn look(&mut self, known: u64) {
        self.step("look");
        let found = self.stored.as_ref().map(|stored| stored.generation);
        if found == Some(known) {
            self.on(Event::Unchanged);
        } else {
            self.load();
        }
    }

    fn claim(&mut self, ttl: Duration) {
        let again = self.steps.contains(&"claim");
        self.step("claim");
        match self.fail_renewal.take_if(|_| again) {
            Some(true) => drop(
                self.ledger
                    .claim(&Holder::named("peer"), ttl, self.now.mono),
            ),
            Some(false) => self.claims.push(ErrorKind::Away),
            None => {}
        }
        let claim = match self.claims.pop() {
            Some(kind) => Err(kind),
            None => Ok(self
                .ledger
                .claim(&Holder::named("story"), ttl, self.now.mono)),
        };
        self.on(Event::Claimed(claim));
    }

    fn save(&mut self, record: Record, if_generation: Option<u64>) {
        self.step("save");
        if let Some(kind) = self.saves.pop() {
            return self.on(Event::Saved(Err(kind)));
        }
        let found = self.stored.as_ref().map(|stored| stored.generation);
        if found != if_generation && self.is_shared() {
            return self.on(Event::Saved(Err(ErrorKind::Conflict)));
        }
        assert_eq!(found, if_generation, "compare-and-swap");
        assert!(Some(record.generation) > found, "the generation grows");
        self.stored = Some(record);
        self.on(Event::Saved(Ok(())));
    }

    fn on(&mut self, event: Event) {
        let decisions = self.machine.on(event, self.now);
        self.follow(decisions);
    }

    fn answer(&mut self, answer: Answer) {
        assert!(self.asked.take().is_some(), "nobody asked");
        self.on(Event::Answered(answer, self.now.wall));
    }

    fn pass(&mut self, seconds: u64) {
        self.let_pass(seconds);
        self.on(Event::Tick);
    }

    fn let_pass(&mut self, seconds: u64) {
        self.now.mono += Duration::from_secs(seconds);
        self.now.wall += SignedDuration::from_secs(i64::try_from(seconds).unwrap());
    }

    /// The server answers a revocation.
    fn hands_back(&mut self, answer: Result<AccessFate, Failure>) {
        assert!(self.revoking.take().is_some(), "nobody asked");
        let revoked = answer.map(|access_token| Revoked { access_token });
        self.on(Event::Revoked(revoked));
    }

    /// What came of the last errand: done, or why not.
    fn outcome(&mut self) -> Result<Settled, (Reason, String)> {
        let settled = self.settled.pop().expect("it is settled");
        settled.map_err(|refusal| (refusal.reason, refusal.code))
    }

    fn is_shared(&self) -> bool {
        self.machine.settings.sharing == Sharing::Shared
    }

    fn refusal(&self) -> Option<(Reason, u64)> {
        let refusal = self.machine.refusal()?;
        Some((
            refusal.reason,
            refusal.until.saturating_sub(self.now.mono).as_secs(),
        ))
    }

    fn stored(&self) -> &Record {
        self.stored.as_ref().unwrap()
    }

    fn served(&self) -> &str {
        self.published.last().unwrap().value.expose()
    }
}

#[test]
fn a_round_writes_the_intent_asks_saves_and_publishes() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
    let intent = story.stored().intent.as_ref().unwrap();
    assert_eq!(
        intent.refresh_token,
        secret("rt-1").hash(),
        "durable before it is sent"
    );
    story.answer(tokens("at-1", Some("rt-2"), 600));
    assert_eq!(story.served(), "at-1");
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
    assert_eq!(story.stored().previous_refresh_token, Some(secret("rt-1")));
    assert!(story.stored().intent.is_none());
    assert_eq!(story.notices, [Notice::Refreshed(Rotation::Rotated)]);
}

#[test]
fn the_successor_is_fetched_before_the_end() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-1", None, 600));
    story.pass(539);
    assert!(story.asked.is_none());
    story.pass(14);
    assert_eq!(
        story.asked.as_deref(),
        Some("rt-1"),
        "an absent refresh token keeps the old one"
    );
}

#[test]
fn a_token_that_lives_is_taken_up_without_a_request() {
    let story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    assert_eq!(story.served(), "at-stored");
    assert!(story.asked.is_none());
}

#[test]
fn a_token_shorter_than_the_margin_makes_no_refresh_per_request() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-1", None, 4));
    for _ in 0..100 {
        story.on(Event::Wanted);
    }
    assert!(story.asked.is_none());
    story.pass(3);
    assert!(story.asked.is_some());
}

#[test]
fn many_who_want_it_are_one_request() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    for _ in 0..1000 {
        story.on(Event::Wanted);
    }
    story.answer(failure(Class::Later, "connect_refused"));
    for _ in 0..1000 {
        story.on(Event::Wanted);
    }
    assert!(story.asked.is_none(), "none within the back-off");
    assert!(matches!(
        story.refusal(),
        Some((Reason::IssuerUnavailable, 0..=1))
    ));
    story.pass(2);
    assert!(story.asked.is_some());
}

#[test]
fn retry_after_is_honoured_up_to_an_hour() {
    for (asked, waits) in [(120, 120), (7 * 86_400, 3600)] {
        let mut story = Story::begin(Some(record("rt-1")), None);
        let mut slow = Failure::new(Class::Later, "slow_down");
        slow.retry_after = Some(Duration::from_secs(asked));
        story.answer(Answer::Failed(slow));
        assert_eq!(story.refusal(), Some((Reason::IssuerUnavailable, waits)));
    }
}

#[test]
fn a_failure_that_spent_nothing_closes_the_intent() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(failure(Class::Later, "connect_refused"));
    assert!(story.stored().intent.is_none());
}

#[test]
fn an_ambiguous_answer_is_not_repeated_while_the_token_lives() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    story.pass(560);
    story.answer(failure(Class::Ambiguous, "cut"));
    assert!(
        story.stored().intent.is_some(),
        "the question stays open, durably"
    );
    story.pass(39);
    assert!(story.asked.is_none());
    story.pass(2);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
    assert!(story.notices.contains(&Notice::LastResort));
}

#[test]
fn where_the_server_does_not_rotate_an_ambiguous_answer_is_repeated_soon() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-1", None, 600));
    story.pass(560);
    story.answer(failure(Class::Ambiguous, "cut"));
    story.pass(2);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
    assert!(!story.notices.contains(&Notice::LastResort));
}

#[test]
fn an_open_intent_at_the_start_waits_for_the_end_of_the_token() {
    let by = String::from("a process that was killed");
    let intent = Intent {
        refresh_token: secret("rt-1").hash(),
        by,
        since: start().wall,
        tries: 1,
    };
    let stored = Record {
        intent: Some(intent),
        ..record_with_token("rt-1", 20)
    };
    let mut story = Story::begin(Some(stored), None);
    assert_eq!(story.notices, [intent_open(), Notice::Held]);
    assert_eq!(story.machine.refusal(), None, "the token serves");
    let trouble = story.machine.trouble().unwrap();
    assert_eq!(trouble.code, "answer_lost", "but its end draws near");
    assert_eq!(trouble.until, story.now.mono + Duration::from_secs(20));
    story.pass(19);
    assert!(story.asked.is_none());
    story.pass(2);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
}

#[test]
fn dead_is_confirmed_once_and_then_probed_rarely() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(failure(Class::Dead, "invalid_grant"));
    assert!(matches!(story.stored().state, State::Suspect(_)));
    story.pass(6);
    story.answer(failure(Class::Dead, "invalid_grant"));
    assert!(matches!(story.stored().state, State::Dead(_)));
    assert_eq!(
        story.stored().refresh_token,
        secret("rt-1"),
        "dead is not deleted"
    );
    assert!(
        story
            .notices
            .contains(&Notice::Died(String::from("invalid_grant")))
    );
    assert!(matches!(story.refusal(), Some((Reason::GrantDead, 300..))));
    story.pass(60);
    assert!(story.asked.is_none());
}

#[test]
fn a_false_death_sentence_is_survived() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(failure(Class::Dead, "invalid_grant"));
    story.pass(6);
    story.answer(tokens("at-1", Some("rt-2"), 600));
    assert_eq!(story.stored().state, State::Live);
    assert_eq!(story.served(), "at-1");
}

#[test]
fn a_newer_record_in_the_store_is_taken_instead_of_asking() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(failure(Class::Dead, "invalid_grant"));
    let mut peer = record_with_token("rt-peer", 600);
    peer.generation = 40;
    peer.access_token.as_mut().unwrap().generation = 40;
    story.stored = Some(peer);
    story.pass(6);
    assert!(story.asked.is_none());
    assert_eq!(story.served(), "at-stored");
    assert!(story.notices.contains(&Notice::Adopted));
}

#[test]
fn a_broken_client_leaves_the_grant_and_waits_for_a_new_secret() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(failure(Class::ClientBroken, "invalid_client"));
    assert_eq!(story.stored().state, State::Live);
    assert!(matches!(
        story.refusal(),
        Some((Reason::ClientRefused, 15..))
    ));
    story.on(Event::SecretChanged);
    assert_eq!(story.refusal(), None);
    story.pass(1);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
}

#[test]
fn without_the_store_nothing_is_sent() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    story.saves = vec![ErrorKind::Away];
    story.pass(560);
    assert!(story.asked.is_none());
    assert!(matches!(
        story.refusal(),
        Some((Reason::StoreUnavailable, _))
    ));
    assert!(story.stored().intent.is_none());
    story.pass(2);
    assert_eq!(story.asked.as_deref(), Some("rt-1"), "it works again");
}

#[test]
fn what_cannot_be_saved_is_served_and_not_rotated_again() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.saves = vec![ErrorKind::Away, ErrorKind::Away];
    story.answer(tokens("at-1", Some("rt-2"), 5));
    assert_eq!(story.served(), "at-1");
    assert!(story.machine.unsaved());
    story.pass(10);
    assert!(
        story.asked.is_none(),
        "no second rotation before the first is durable"
    );
    assert!(story.machine.unsaved());
    story.pass(10);
    assert!(!story.machine.unsaved());
    assert!(story.notices.contains(&Notice::SavedAtLast));
    assert_eq!(story.asked.as_deref(), Some("rt-2"));
}

#[test]
fn a_save_that_failed_but_arrived_is_found_again() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.saves = vec![ErrorKind::Away];
    story.answer(tokens("at-1", Some("rt-2"), 600));
    // It did arrive: only its acknowledgement failed.
    story.stored = story.machine.record().cloned();
    story.pass(2);
    assert!(!story.machine.unsaved());
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
}

#[test]
fn what_is_owed_is_saved_before_the_end() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.saves = vec![ErrorKind::Away];
    story.answer(tokens("at-1", Some("rt-2"), 600));
    let decisions = story.machine.flush();
    story.follow(decisions);
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
}

#[test]
fn a_rotation_without_an_access_token_is_kept() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    let mut odd = Failure::new(Class::Unknown, "unusable_token");
    odd.rotated = Some(secret("rt-2"));
    story.answer(Answer::Failed(odd));
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
}

#[test]
fn a_rejected_token_is_replaced_once_it_is_old_enough() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-1", None, 3600));
    let generation = story.published[0].generation;
    story.on(Event::Rejected(generation, Standing::Proven));
    assert!(story.asked.is_none(), "younger than the floor");
    story.pass(31);
    story.on(Event::Rejected(generation, Standing::Proven));
    story.answer(tokens("at-2", None, 3600));
    assert_eq!(story.served(), "at-2");
    story.on(Event::Rejected(generation, Standing::Proven));
    assert!(
        story.asked.is_none(),
        "an older token's rejection is no news"
    );
}

#[test]
fn a_token_whose_successor_is_due_is_never_too_young_to_be_replaced() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-1", None, 20));
    let renewable = story.published[0].renewable_from;
    while story.asked.is_none() {
        story.pass(1);
    }
    assert!(renewable <= story.now.mono, "{renewable:?}");
}

#[test]
fn renewing_in_vain_is_done_ever_more_rarely() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-0", None, 30 * 86_400));
    let mut requests = 0;
    for _ in 0..3600 {
        let generation = story.published.last().unwrap().generation;
        story.on(Event::Rejected(generation, Standing::Unproven));
        if story.asked.is_some() {
            requests += 1;
            story.answer(tokens("at-n", None, 30 * 86_400));
        }
        story.pass(1);
    }
    assert!(
        (4..=7).contains(&requests),
        "{requests} requests in an hour of nothing but 401"
    );
}

#[test]
fn the_stored_chain_wins_over_the_seed_it_began_with() {
    let mut story = Story::begin(None, Some("seed-1"));
    assert_eq!(story.asked.as_deref(), Some("seed-1"));
    story.answer(tokens("at-1", Some("rt-2"), 600));
    let again = Story::begin(story.stored.clone(), Some("seed-1"));
    assert_eq!(again.stored().refresh_token, secret("rt-2"));
    let changed = Story::begin(story.stored.clone(), Some("seed-2"));
    assert_eq!(changed.asked.as_deref(), Some("seed-2"));
    assert_eq!(
        changed.stored().previous_refresh_token,
        Some(secret("rt-2"))
    );
}

#[test]
fn an_imported_grant_is_not_replaced_by_a_seed_that_was_there() {
    let story = Story::begin(Some(record_with_token("imported", 600)), Some("seed-1"));
    assert_eq!(story.stored().refresh_token, secret("imported"));
    assert_eq!(story.served(), "at-stored");
}

#[test]
fn an_empty_store_is_looked_at_again() {
    let mut story = Story::begin(None, None);
    assert!(matches!(story.refusal(), Some((Reason::NoGrant, 5))));
    story.pass(11);
    let missing = Notice::Missing(String::from("store_empty"));
    assert_eq!(story.notices, [missing], "once, not at each look");
    story.stored = Some(record("put-in-later"));
    story.pass(6);
    assert_eq!(story.asked.as_deref(), Some("put-in-later"));
}

#[test]
fn a_clock_that_was_set_back_keeps_no_token_alive_for_longer_than_its_life() {
    let mut stored = record_with_token("rt-1", 600);
    let access = stored.access_token.as_mut().unwrap();
    access.issued_at += SignedDuration::from_hours(5);
    access.expires_at = Some(access.issued_at + SignedDuration::from_secs(600));
    let story = Story::begin(Some(stored), None);
    let ends = story.published[0].ends.unwrap();
    assert_eq!(ends, Duration::from_secs(600));
}

fn window(seconds: u64) -> Lifetime {
    Lifetime {
        replay_window: Period::seconds(seconds),
        ..Lifetime::default()
    }
}

fn intent_open() -> Notice {
    Notice::IntentOpen(String::from("a process that was killed"))
}

/// A record whose refresh token was about to be spent so many seconds ago.
fn with_intent(record: Record, ago: i64) -> Record {
    let intent = Intent {
        refresh_token: record.refresh_token.hash(),
        by: String::from("a process that was killed"),
        since: start().wall - SignedDuration::from_secs(ago),
        tries: 1,
    };
    Record {
        intent: Some(intent),
        ..record
    }
}

#[test]
fn inside_the_window_a_lost_answer_is_asked_for_again_at_once() {
    let mut story = Story::of(window(60), Some(record_with_token("rt-1", 600)), None);
    story.pass(560);
    story.answer(failure(Class::Ambiguous, "cut"));
    story.pass(1);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
    assert!(story.notices.contains(&Notice::Resent));
}

#[test]
fn after_the_window_the_token_is_held_back() {
    let mut story = Story::of(window(60), Some(record_with_token("rt-1", 600)), None);
    story.pass(552);
    for _ in 0..80 {
        if story.asked.is_some() {
            story.answer(failure(Class::Ambiguous, "cut"));
        }
        story.pass(1);
    }
    let resent = story.notices.iter().filter(|it| **it == Notice::Resent);
    assert!((2..10).contains(&resent.count()));
    assert!(story.notices.contains(&Notice::Held));
    assert!(
        story.notices.contains(&Notice::LastResort),
        "the token has ended"
    );
}

#[test]
fn an_open_intent_at_the_start_is_judged_by_its_age() {
    for (ago, notice) in [
        (5, Notice::Resent),
        (50, Notice::LastResort),
        (-5, Notice::LastResort),
    ] {
        let stored = with_intent(record("rt-1"), ago);
        let story = Story::of(window(60), Some(stored), None);
        assert_eq!(story.asked.as_deref(), Some("rt-1"));
        assert_eq!(story.notices, [intent_open(), notice], "{ago} s ago");
    }
}

#[test]
fn a_crash_loop_sends_no_spent_token_at_each_start() {
    let mut stored = with_intent(record("rt-1"), 50);
    stored.intent.as_mut().unwrap().tries = 4;
    let mut story = Story::begin(Some(stored), None);
    assert!(story.asked.is_none());
    assert!(matches!(
        story.refusal(),
        Some((Reason::IssuerUnavailable, 30..))
    ));
    story.pass(600);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
}

#[test]
fn where_the_token_never_changes_nothing_is_held_back() {
    let never = Lifetime {
        rotation: RotationRule::Never,
        ..Lifetime::default()
    };
    let story = Story::of(
        never,
        Some(with_intent(record_with_token("rt-1", 20), 5)),
        None,
    );
    assert_eq!(story.notices, [intent_open()]);
    let mut story = Story::of(never, Some(record_with_token("rt-1", 600)), None);
    story.pass(560);
    story.answer(failure(Class::Ambiguous, "cut"));
    story.pass(2);
    assert!(story.asked.is_some());
}

#[test]
fn a_grant_nobody_uses_is_kept_alive() {
    let idle = Lifetime {
        idle: Some(days(7)),
        ..Lifetime::default()
    };
    let mut story = Story::of(idle, Some(record("rt-1")), None);
    story.answer(tokens("at-1", Some("rt-2"), 60 * 86_400));
    story.pass(3 * 86_400);
    assert!(story.asked.is_none());
    story.pass(86_400);
    assert_eq!(story.asked.as_deref(), Some("rt-2"));
}

#[test]
fn a_fixed_end_is_warned_of_at_30_and_7_and_1_days() {
    let absolute = Lifetime {
        absolute: Some(days(90)),
        ..Lifetime::default()
    };
    let mut story = Story::of(absolute, Some(record("rt-1")), None);
    story.answer(tokens("at-1", None, 100 * 86_400));
    let ends = story.machine.refresh_token_ends().unwrap();
    story.notices.clear();
    let from = story.machine.refresh_token_lives_from();
    assert_eq!(from, Some(start().wall), "no refresh puts it off");
    for _ in 0..90 * 24 {
        story.pass(3600);
    }
    let warnings = [30, 7, 1].map(|days| Notice::Ending(days, ends));
    assert_eq!(story.notices, warnings);
}

#[test]
fn a_refresh_token_that_each_refresh_renews_is_no_news() {
    let mut story = Story::begin(Some(record("rt-0")), None);
    for round in 0..100 {
        let Answer::Success(mut new) = tokens("at", Some(&format!("rt-{round}-")), 3600) else {
            unreachable!("tokens are a success");
        };
        new.refresh_expires_in = Some(Duration::from_secs(26 * 3600));
        story.answer(Answer::Success(new));
        let from = story.machine.refresh_token_lives_from();
        assert_eq!(from, Some(story.now.wall), "its life begins anew");
        story.pass(3600);
    }
    let warned = |notice: &Notice| matches!(notice, Notice::Ending(..));
    assert!(!story.notices.iter().any(warned));
}

#[test]
fn a_machine_that_slept_does_not_serve_what_ended_meanwhile() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    story.now.wall += SignedDuration::from_secs(500);
    story.pass(1);
    assert_eq!(
        story.published.last().unwrap().ends,
        Some(Duration::from_secs(100))
    );
    story.now.wall += SignedDuration::from_secs(500);
    story.pass(1);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
}

#[test]
fn a_clock_that_jumps_to_and_fro_costs_few_requests() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    let mut requests = 0;
    for second in 0..3600 {
        if story.asked.is_some() {
            requests += 1;
            story.answer(tokens("at", None, 3600));
        }
        let hour = SignedDuration::from_hours(if second % 120 < 60 { 1 } else { -1 });
        if second % 60 == 0 {
            story.now.wall += hour;
        }
        story.pass(1);
    }
    assert!(requests <= 32, "{requests} requests for 30 jumps ahead");
}

#[test]
fn an_answer_slower_than_the_token_lives_makes_no_storm() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    let sent = story.now.wall;
    story.pass(20);
    assert!(story.asked.take().is_some());
    story.on(Event::Answered(tokens("at-1", None, 10), sent));
    assert_eq!(story.served(), "at-1");
    story.on(Event::Wanted);
    assert!(story.asked.is_none());
}

#[test]
fn one_resource_that_refuses_does_not_rotate_for_all() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(tokens("at-0", None, 30 * 86_400));
    let mut requests = 0;
    for _ in 0..3600 {
        let generation = story.published.last().unwrap().generation;
        story.on(Event::Rejected(generation, Standing::Proven));
        if story.asked.is_some() {
            requests += 1;
            story.answer(tokens("at-n", None, 30 * 86_400));
        }
        story.pass(1);
    }
    assert!((4..=11).contains(&requests), "{requests} in an hour");
}

#[test]
fn a_token_that_dies_early_is_replaced_each_time() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    for _ in 0..20 {
        story.answer(tokens("at", None, 3600));
        let generation = story.published.last().unwrap().generation;
        story.pass(300);
        story.on(Event::Rejected(generation, Standing::Proven));
        assert!(story.asked.is_some());
    }
}

#[test]
fn a_dead_grant_wakes_when_a_new_one_is_put_into_the_store() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.answer(failure(Class::Dead, "invalid_grant"));
    story.pass(6);
    story.answer(failure(Class::Dead, "invalid_grant"));
    let generation = story.stored().generation + 1;
    story.stored = Some(Record {
        generation,
        ..record("imported")
    });
    story.pass(6);
    assert_eq!(story.asked.as_deref(), Some("imported"));
    assert_eq!(story.refusal(), None, "whoever asks may wait again");
}

#[test]
fn a_grant_that_is_held_back_wakes_when_a_new_one_is_put_into_the_store() {
    let stored = with_intent(record_with_token("rt-1", 86_400), 5);
    let mut story = Story::begin(Some(stored), None);
    assert_eq!(story.notices, [intent_open(), Notice::Held]);
    let generation = story.stored().generation + 1;
    story.stored = Some(Record {
        generation,
        ..record("imported")
    });
    story.pass(61);
    assert_eq!(story.asked.as_deref(), Some("imported"));
}

#[test]
fn a_dead_grant_wakes_when_the_seed_changes() {
    let mut story = Story::begin(None, Some("seed-1"));
    story.answer(failure(Class::Dead, "invalid_grant"));
    story.pass(6);
    story.answer(failure(Class::Dead, "invalid_grant"));
    story.on(Event::SeedChanged(secret("seed-1")));
    story.pass(1);
    assert!(story.asked.is_none(), "the same seed is no news");
    story.on(Event::SeedChanged(secret("seed-2")));
    story.pass(1);
    assert_eq!(story.asked.as_deref(), Some("seed-2"));
}

#[test]
fn what_another_has_stored_is_not_overwritten_by_a_save_that_is_owed() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.saves = vec![ErrorKind::Away];
    story.answer(tokens("at-1", Some("rt-2"), 600));
    let generation = story.stored().generation + 1;
    story.stored = Some(Record {
        generation,
        ..record("imported")
    });
    story.pass(2);
    assert_eq!(story.stored().refresh_token, secret("imported"));
    assert_eq!(story.asked.as_deref(), Some("imported"));
}

#[test]
fn a_process_that_ends_begins_nothing() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.saves = vec![ErrorKind::Away];
    story.answer(tokens("at-1", Some("rt-2"), 2));
    story.now.mono += Duration::from_secs(10);
    let decisions = story.machine.flush();
    story.follow(decisions);
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
    assert!(story.asked.is_none());
}

// What a person asks for.

/// A grant that was just given, with an access token that lives for so many seconds.
fn enrolled(refresh_token: &str, seconds: i64) -> Box<Record> {
    Box::new(Record {
        subject: Some(String::from("account")),
        ..record_with_token(refresh_token, seconds)
    })
}

fn no_grant(code: &str) -> Result<Settled, (Reason, String)> {
    Err((Reason::NoGrant, code.to_owned()))
}

#[test]
fn an_imported_access_token_is_served_without_a_request() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    let generation = story.stored().generation;
    story.on(Event::Imported(enrolled("rt-2", 300), None));
    assert!(story.asked.is_none());
    assert_eq!(story.outcome(), Ok(Settled::Imported(generation + 1)));
    assert_eq!(story.published.last().unwrap().generation, generation + 1);
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
    assert_eq!(story.stored().previous_refresh_token, Some(secret("rt-1")));
    assert_eq!(story.stored().subject.as_deref(), Some("account"));
    assert_eq!(story.notices, [Notice::Imported]);
}

#[test]
fn an_imported_token_waits_for_the_refresh_of_the_old_chain_and_is_told_apart_from_it() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.on(Event::Imported(Box::new(record("rt-new")), None));
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
    story.answer(tokens("at-1", Some("rt-2"), 600));
    let Ok(Settled::Imported(begun)) = story.outcome() else {
        panic!("it is stored");
    };
    assert!(
        story.published.last().unwrap().generation < begun,
        "the old chain's"
    );
    assert_eq!(story.stored().previous_refresh_token, Some(secret("rt-2")));
    story.pass(2);
    assert_eq!(story.asked.as_deref(), Some("rt-new"));
    story.answer(tokens("at-new", None, 600));
    assert!(story.published.last().unwrap().generation >= begun);
}

#[test]
fn an_import_that_the_store_refuses_is_told_and_tried_again() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    story.saves = vec![ErrorKind::Away];
    story.on(Event::Imported(enrolled("rt-2", 300), None));
    let away = (Reason::StoreUnavailable, String::from("away"));
    assert_eq!(story.outcome(), Err(away.clone()));
    story.pass(2);
    assert_eq!(story.stored().refresh_token, secret("rt-2"));

    let mut unread = Story::begin(Some(record_with_token("rt-1", 600)), None);
    let decisions = unread
        .machine
        .on(Event::Imported(enrolled("rt-2", 300), None), unread.now);
    assert_eq!(decisions, [Decision::Load]);
    unread.on(Event::Loaded(Err(ErrorKind::Away)));
    assert_eq!(unread.outcome(), Err(away));
    unread.pass(60);
    assert_eq!(
        unread.stored().refresh_token,
        secret("rt-1"),
        "nothing was done"
    );
}

#[test]
fn an_imported_grant_keeps_the_seed_away_and_a_changed_seed_comes() {
    let mut story = Story::begin(None, Some("seed-1"));
    story.answer(tokens("at-1", None, 600));
    let mark = Some(secret("seed-1").hash());
    story.on(Event::Imported(enrolled("rt-2", 300), mark));
    let mut again = Story::begin(story.stored.clone(), Some("seed-1"));
    assert_eq!(again.stored().refresh_token, secret("rt-2"));
    again.on(Event::SeedChanged(secret("seed-2")));
    assert_eq!(again.stored().refresh_token, secret("seed-2"));
}

#[test]
fn a_revoked_grant_leaves_a_tombstone_of_which_nothing_is_served_or_sent() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    assert_eq!(story.served(), "at-stored");
    story.on(Event::Disowned(Means::Revoke));
    let tokens = [Some("rt-1".to_owned()), Some("at-stored".to_owned())];
    assert_eq!(story.revoking, Some(tokens));
    assert_eq!(story.served(), "at-stored", "until the server has done it");
    story.hands_back(Ok(AccessFate::Revoked));
    assert!(story.published.is_empty());
    assert!(story.stored().is_tombstone());
    let Ok(Settled::Revoked(farewell)) = story.outcome() else {
        panic!("it is revoked");
    };
    assert_eq!(farewell.refresh_token, secret("rt-1").fingerprint());
    assert_eq!(farewell.means, Means::Revoke);
    for _ in 0..500 {
        story.on(Event::Wanted);
        story.on(Event::Demanded);
        story.on(Event::Rejected(1, Standing::Proven));
        story.on(Event::SecretChanged);
        assert!(matches!(story.refusal(), Some((Reason::NoGrant, _))));
        story.pass(7);
    }
    assert_eq!(story.machine.refusal().unwrap().code, "revoked");
    assert!(story.asked.is_none() && story.published.is_empty());
    assert_eq!(story.machine.refresh_token_ends(), None);

    story.on(Event::Disowned(Means::Revoke));
    assert_eq!(story.outcome(), no_grant("revoked"));
    story.on(Event::Imported(enrolled("rt-2", 86_400), None));
    assert_eq!(story.served(), "at-stored");
    assert_eq!(story.stored().previous_refresh_token, None);
    assert_eq!(story.machine.refusal(), None);
}

#[test]
fn a_tombstone_outlives_a_restart_with_the_same_seed_and_not_a_changed_one() {
    let mut story = Story::begin(None, Some("seed-1"));
    story.answer(tokens("at-1", None, 600));
    story.on(Event::Disowned(Means::Forget));
    assert!(story.revoking.is_none(), "the server is not asked");
    let tombstone = story.stored.clone();
    let mut same = Story::begin(tombstone.clone(), Some("seed-1"));
    same.pass(3600);
    assert!(same.asked.is_none() && same.stored().is_tombstone());
    assert!(matches!(same.refusal(), Some((Reason::NoGrant, _))));
    same.on(Event::SeedChanged(secret("seed-1")));
    assert!(same.stored().is_tombstone(), "the same seed is no news");
    let changed = Story::begin(tombstone, Some("seed-2"));
    assert_eq!(changed.asked.as_deref(), Some("seed-2"));
    // A seed that was put beside a tombstone of an imported grant is meant.
    let unseeded = record("rt-1").tombstone(start().wall);
    let seeded = Story::begin(Some(unseeded), Some("seed-1"));
    assert_eq!(seeded.asked.as_deref(), Some("seed-1"));
}

#[test]
fn what_the_server_does_not_revoke_stays_and_is_told() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    for (class, code, reason) in [
        (Class::Later, "connect_refused", Reason::IssuerUnavailable),
        (Class::ClientBroken, "invalid_client", Reason::ClientRefused),
        (
            Class::Configuration,
            "no_revocation_endpoint",
            Reason::ConfigurationRefused,
        ),
    ] {
        story.on(Event::Disowned(Means::Revoke));
        story.hands_back(Err(Failure::new(class, code)));
        assert_eq!(story.outcome(), Err((reason, code.to_owned())));
    }
    assert_eq!(story.served(), "at-stored");
    assert_eq!(story.stored().state, State::Live);
    assert_eq!(
        story.machine.refusal(),
        None,
        "requests are served as before"
    );
    let mut empty = Story::begin(None, None);
    empty.on(Event::Disowned(Means::Forget));
    assert_eq!(empty.outcome(), no_grant("store_empty"));
}

#[test]
fn a_revocation_waits_for_the_refresh_and_revokes_what_came_of_it() {
    let mut story = Story::begin(Some(record("rt-1")), None);
    story.on(Event::Disowned(Means::Revoke));
    assert!(story.revoking.is_none());
    story.answer(tokens("at-1", Some("rt-2"), 600));
    let tokens = [Some("rt-2".to_owned()), Some("at-1".to_owned())];
    assert_eq!(story.revoking, Some(tokens));
}

#[test]
fn a_tombstone_that_cannot_be_saved_is_told_and_saved_later() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    story.on(Event::Disowned(Means::Revoke));
    story.saves = vec![ErrorKind::Away];
    story.hands_back(Ok(AccessFate::Absent));
    let code = String::from("revoked_but_not_saved");
    assert_eq!(story.outcome(), Err((Reason::StoreUnavailable, code)));
    assert!(story.published.is_empty(), "it is served no more");
    story.pass(2);
    assert!(story.stored().is_tombstone());
    assert!(story.asked.is_none());
}

#[test]
fn a_tombstone_by_another_stops_the_token_in_use() {
    let mut story = Story::begin(Some(record_with_token("rt-1", 600)), None);
    story.stored = Some(story.stored().tombstone(start().wall));
    story.pass(560);
    assert!(story.published.is_empty() && story.asked.is_none());
    assert!(story.notices.contains(&Notice::Adopted));
    assert!(matches!(story.refusal(), Some((Reason::NoGrant, _))));
}
