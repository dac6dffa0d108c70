//! Stories of a machine that shares its store: its peers are played by hand.

use super::*;
use crate::issuer::LEASE_LOST;
use crate::store::{Claim, Setback};

/// What a lease lasts in these stories: the call's 30 s, and 15 more.
const TTL: u64 = 35;

impl Story {
    fn shared(stored: Option<Record>, seed: Option<&str>) -> Self {
        Self::sharing(Lifetime::default(), stored, seed)
    }

    fn sharing(lifetime: Lifetime, stored: Option<Record>, seed: Option<&str>) -> Self {
        let mut story = Self::new(Machine::new(shared(lifetime), stored.clone(), 7), stored);
        story.starts(seed);
        story
    }

    fn starts(&mut self, seed: Option<&str>) {
        let decisions = self.machine.begin(seed.map(secret), self.now);
        self.follow(decisions);
    }

    fn peer_claims(&mut self) -> Claim {
        let ttl = Duration::from_secs(TTL);
        self.ledger.claim(&peer(), ttl, self.now.mono)
    }

    fn peer_releases(&mut self) {
        let Claim::Taken(lease) = self.peer_claims() else {
            panic!("the peer has no lease")
        };
        self.ledger.release(&lease);
    }

    /// A peer writes its intent to spend what is stored.
    fn peer_intends(&mut self) {
        let stored = self.stored().clone();
        let generation = stored.generation + 1;
        let intent = Intent {
            refresh_token: stored.refresh_token.hash(),
            by: peer().as_str().to_owned(),
            since: self.now.wall,
            tries: 1,
        };
        self.stored = Some(Record {
            generation,
            intent: Some(intent),
            ..stored
        });
    }

    /// A peer's refresh: a successor with a token that lives for 600 s.
    fn peer_refreshes(&mut self, refresh_token: &str) {
        let stored = self.stored().clone();
        self.stored = Some(successor(&stored, refresh_token, self.now.wall));
    }

    fn took(&mut self, steps: &[&str]) {
        assert_eq!(self.steps, steps);
        self.steps.clear();
    }

    fn lease_is_free(&mut self) -> bool {
        let free = matches!(self.peer_claims(), Claim::Taken(_));
        self.peer_releases();
        free
    }
}

fn shared(lifetime: Lifetime) -> Settings {
    Settings {
        sharing: Sharing::Shared,
        lifetime,
        ..settings()
    }
}

fn peer() -> Holder {
    Holder::named("peer")
}

fn successor(stored: &Record, refresh_token: &str, wall: Timestamp) -> Record {
    let generation = stored.generation + 2;
    Record {
        generation,
        previous_refresh_token: Some(stored.refresh_token.clone()),
        refresh_token: secret(refresh_token),
        access_token: Some(AccessToken {
            value: secret("at-peer"),
            generation,
            issued_at: wall,
            expires_at: Some(wall + SignedDuration::from_secs(600)),
        }),
        intent: None,
        setback: None,
        ..stored.clone()
    }
}

#[test]
fn a_round_looks_leases_reads_again_intends_sends_saves_and_gives_back() {
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.took(&["look", "claim", "load", "save", "send"]);
    assert_eq!(story.stored().intent.as_ref().unwrap().by, "story");
    let right = story.right.clone().unwrap();
    assert_eq!(right.not_after.mono.as_secs(), TTL - 30);
    assert_eq!(
        right.not_after.wall,
        start().wall + SignedDuration::from_secs(5)
    );
    story.answer(tokens("at-1", Some("rt-2"), 600));
    story.took(&["save", "release"]);
    assert_eq!(story.served(), "at-1");
    assert!(story.lease_is_free());
}

#[test]
fn what_a_peer_has_refreshed_is_taken_without_a_lease() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.let_pass(555);
    story.peer_refreshes("rt-2");
    story.steps.clear();
    story.on(Event::Tick);
    story.took(&["look", "load"]);
    assert_eq!(story.served(), "at-peer");
    assert_eq!(story.notices, [Notice::Adopted]);
}

#[test]
fn a_rejected_token_is_looked_for_in_the_store_first() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.pass(40);
    story.peer_refreshes("rt-2");
    story.on(Event::Rejected(1, Standing::Proven));
    assert!(story.asked.is_none());
    assert_eq!(story.served(), "at-peer");
}

#[test]
fn a_peers_token_is_as_old_as_it_is() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.let_pass(50);
    story.peer_refreshes("rt-2");
    // It is found only when it has grown older than what was obtained for a rejection may be.
    story.let_pass(70);
    story.on(Event::Rejected(1, Standing::Proven));
    assert_eq!(story.served(), "at-peer");
    let generation = story.published.last().unwrap().generation;
    story.on(Event::Rejected(generation, Standing::Unproven));
    story.answer(tokens("at-2", Some("rt-3"), 600));
    assert_eq!(story.served(), "at-2");
}

#[test]
fn a_lease_that_somebody_has_is_waited_for_and_its_fruit_adopted() {
    let mut story = Story::new(
        Machine::new(shared(Lifetime::default()), Some(record("rt-1")), 7),
        Some(record("rt-1")),
    );
    story.peer_claims();
    story.starts(None);
    story.took(&["look", "claim"]);
    assert_eq!(story.notices, [Notice::LeaseHeld(String::from("peer"))]);
    assert_eq!(story.machine.lease_holder(), Some("peer"));
    assert_eq!(story.refusal(), None, "no trouble");
    story.on(Event::Wanted);
    story.took(&[]);
    story.pass(1);
    story.took(&["look", "claim"]);
    story.peer_refreshes("rt-2");
    story.peer_releases();
    story.pass(1);
    story.took(&["look", "load"]);
    assert_eq!(story.served(), "at-peer");
}

#[test]
fn a_peer_that_took_over_during_the_claim_is_seen_by_reading_again() {
    let stored = record("rt-1");
    let mut story = Story::new(
        Machine::new(shared(Lifetime::default()), Some(stored.clone()), 7),
        Some(stored.clone()),
    );
    story.slow = vec![("claim", 1)];
    story.meddler = Some(successor(&stored, "rt-2", start().wall));
    story.starts(None);
    story.took(&["look", "claim", "load", "release"]);
    assert_eq!(story.served(), "at-peer");
    assert!(story.asked.is_none());
}

#[test]
fn a_process_that_was_stopped_before_it_sent_does_not_believe_its_lease() {
    // Nobody was at it meanwhile: the intent is known again, and means nothing.
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.let_pass(555);
    story.steps.clear();
    story.slow = vec![("save", 100)];
    story.on(Event::Tick);
    story.took(&[
        "look", "claim", "load", "save", "claim", "load", "save", "send",
    ]);
    assert_eq!(story.notices, [Notice::LeaseLost]);
    assert_eq!(story.stored().intent.as_ref().unwrap().tries, 1);
    // A peer was, and is done.
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.let_pass(555);
    let wall = story.now.wall + SignedDuration::from_secs(50);
    story.meddler = Some(Record {
        generation: 9,
        ..successor(story.stored(), "rt-2", wall)
    });
    story.steps.clear();
    story.slow = vec![("save", 100)];
    story.on(Event::Tick);
    assert!(story.asked.is_none());
    assert_eq!(story.served(), "at-peer");
    assert!(story.lease_is_free());
}

#[test]
fn a_lease_that_became_too_short_is_renewed_before_it_sends() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.let_pass(555);
    story.steps.clear();
    story.slow = vec![("save", 20)];
    story.on(Event::Tick);
    story.took(&["look", "claim", "load", "save", "claim", "send"]);
    let until = story.right.clone().unwrap().not_after.mono;
    assert_eq!(until.as_secs(), story.now.mono.as_secs() + TTL - 30);
}

#[test]
fn a_renewal_that_fails_sends_nothing_and_leaves_no_doubt() {
    for held in [true, false] {
        let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
        story.let_pass(555);
        story.steps.clear();
        story.slow = vec![("save", 50)];
        story.fail_renewal = Some(held);
        story.on(Event::Tick);
        assert!(story.asked.is_none(), "held: {held}");
        if held {
            story.peer_releases();
        }
        story.pass(2);
        assert_eq!(story.asked.as_deref(), Some("rt-1"), "held: {held}");
        let doubt = |notice: &Notice| matches!(notice, Notice::IntentOpen(_) | Notice::LastResort);
        assert!(!story.notices.iter().any(doubt), "{:?}", story.notices);
    }
}

#[test]
fn what_was_not_sent_for_want_of_a_lease_is_no_failure() {
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.answer(failure(Class::Later, LEASE_LOST));
    assert_eq!(story.notices, [Notice::Withheld]);
    assert_eq!(story.refusal(), None);
    assert!(story.stored().intent.is_none() && story.stored().setback.is_none());
    assert!(story.lease_is_free());
    story.pass(1);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
}

#[test]
fn without_the_lease_nothing_is_sent_and_what_lives_is_served() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.claims = vec![ErrorKind::Away];
    story.pass(555);
    assert!(story.asked.is_none());
    assert!(matches!(
        story.refusal(),
        Some((Reason::StoreUnavailable, _))
    ));
    assert_eq!(story.notices, [Notice::StoreTrouble(ErrorKind::Away)]);
    assert_eq!(story.served(), "at-stored");
    story.pass(2);
    assert_eq!(story.asked.as_deref(), Some("rt-1"));
}

#[test]
fn the_lease_is_given_back_on_every_way_out() {
    for answer in [
        tokens("at-1", Some("rt-2"), 600),
        failure(Class::Later, "slow_down"),
        failure(Class::Ambiguous, "cut"),
        failure(Class::Dead, "invalid_grant"),
        failure(Class::ClientBroken, "invalid_client"),
        failure(Class::Configuration, "invalid_scope"),
        failure(Class::Unknown, "odd"),
        failure(Class::Later, LEASE_LOST),
    ] {
        let mut story = Story::shared(Some(record("rt-1")), None);
        story.answer(answer);
        assert_eq!(story.steps.last(), Some(&"release"), "{:?}", story.notices);
        assert!(story.lease_is_free());
    }
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.answer(tokens("at-1", Some("rt-2"), 600));
    story.steps.clear();
    story.saves = vec![ErrorKind::Away];
    story.pass(555);
    assert_eq!(
        story.steps.last(),
        Some(&"release"),
        "the intent could not be saved"
    );
}

#[test]
fn the_lease_is_kept_until_what_was_rotated_is_saved() {
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.saves = vec![ErrorKind::Away];
    story.answer(tokens("at-1", Some("rt-2"), 600));
    assert_eq!(story.served(), "at-1");
    assert!(matches!(story.peer_claims(), Claim::Held { .. }));
    story.steps.clear();
    story.pass(2);
    story.took(&["load", "save", "release"]);
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
}

#[test]
fn a_late_answer_is_saved_over_what_its_predecessor_was_given() {
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.let_pass(100);
    story.peer_claims();
    story.peer_intends();
    story.answer(tokens("at-1", Some("rt-2"), 600));
    assert_eq!(story.stored().refresh_token, secret("rt-2"));
    assert!(story.stored().intent.is_none());
    assert!(story.notices.contains(&Notice::Overtaken));
    assert!(!story.machine.unsaved());
    assert_eq!(story.served(), "at-1");
}

#[test]
fn a_late_answer_gives_way_to_another_successor() {
    for answer in [
        tokens("at-1", Some("rt-late"), 600),
        failure(Class::Ambiguous, "cut"),
        failure(Class::Dead, "invalid_grant"),
    ] {
        let mut story = Story::shared(Some(record("rt-1")), None);
        story.let_pass(100);
        story.peer_refreshes("rt-2");
        story.answer(answer);
        assert_eq!(story.stored().refresh_token, secret("rt-2"));
        assert_eq!(story.stored().state, State::Live);
        assert!(!story.machine.unsaved());
        assert!(story.notices.contains(&Notice::Adopted));
    }
}

#[test]
fn a_late_failure_does_not_close_the_intent_of_a_peer() {
    for code in ["connect_refused", LEASE_LOST] {
        let mut story = Story::shared(Some(record("rt-1")), None);
        story.let_pass(100);
        story.peer_claims();
        story.peer_intends();
        story.answer(failure(Class::Later, code));
        assert_eq!(story.stored().intent.as_ref().unwrap().by, "peer");
    }
}

#[test]
fn an_intent_of_a_peer_is_no_doubt_while_its_call_may_run() {
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.answer(tokens("at-1", Some("rt-2"), 600));
    story.notices.clear();
    story.peer_intends();
    story.pass(20);
    assert_eq!(story.notices, []);
    story.pass(20);
    assert_eq!(story.notices, []);
    story.pass(30);
    let by = String::from("peer");
    assert_eq!(story.notices, [Notice::IntentOpen(by), Notice::Held]);
    assert!(story.asked.is_none());
    story.pass(560);
    assert_eq!(story.asked.as_deref(), Some("rt-2"));
    assert!(story.notices.contains(&Notice::LastResort));
}

#[test]
fn a_last_resort_waits_for_the_call_of_a_peer_whose_lease_was_lost() {
    let mut story = Story::shared(Some(record("rt-1")), None);
    story.answer(tokens("at-1", Some("rt-2"), 20));
    story.peer_intends();
    story.pass(16);
    story.on(Event::Wanted);
    assert!(story.asked.is_none());
    for _ in 1..TTL {
        story.pass(1);
        assert!(story.asked.is_none());
    }
    story.pass(1);
    assert_eq!(story.asked.as_deref(), Some("rt-2"));
}

#[test]
fn inside_the_window_an_intent_of_a_peer_is_taken_up_under_the_lease() {
    let mut story = Story::sharing(window(600), Some(record("rt-1")), None);
    story.answer(tokens("at-1", Some("rt-2"), 600));
    story.peer_claims();
    story.peer_intends();
    story.pass(20);
    assert!(story.asked.is_none());
    story.pass(TTL);
    assert_eq!(story.asked.as_deref(), Some("rt-2"));
    assert!(story.notices.contains(&Notice::Resent));
}

#[test]
fn a_setback_is_shared() {
    let mut one = Story::shared(Some(record("rt-1")), None);
    let mut slow = Failure::new(Class::Later, "slow_down");
    slow.retry_after = Some(Duration::from_secs(120));
    one.answer(Answer::Failed(slow));
    let setback = one.stored().setback.clone().unwrap();
    assert_eq!(setback.until, start().wall + SignedDuration::from_secs(120));
    let two = Story::shared(one.stored.clone(), None);
    assert_eq!(two.refusal(), Some((Reason::IssuerUnavailable, 120)));
    assert!(two.asked.is_none());
    let mut three = Story::shared(Some(record_with_token("rt-1", 600)), None);
    three.stored = one.stored.clone();
    three.pass(60);
    assert_eq!(three.refusal(), Some((Reason::IssuerUnavailable, 60)));
    // A success ends it for all.
    one.pass(121);
    one.answer(tokens("at-1", Some("rt-2"), 600));
    assert_eq!(one.stored().setback, None);
    three.stored = one.stored.clone();
    three.pass(20);
    assert_eq!(three.refusal(), None);
    assert_eq!(three.served(), "at-1");
}

#[test]
fn a_setback_by_a_clock_that_is_wrong_ends() {
    for (reason, most) in [("issuer_unavailable", 3600), ("grant_dead", 6 * 3600)] {
        let setback = Setback {
            reason: reason.to_owned(),
            code: String::from("status_500"),
            until: start().wall + SignedDuration::from_hours(48),
            failures: 3,
        };
        let stored = Record {
            setback: Some(setback),
            ..record("rt-1")
        };
        let story = Story::shared(Some(stored), None);
        assert_eq!(story.refusal().map(|(_, wait)| wait), Some(most));
    }
}

#[test]
fn a_store_that_is_away_at_the_start_is_read_when_it_is_back() {
    let stored = record_with_token("rt-1", 600);
    let machine = Machine::unread_yet(shared(Lifetime::default()), 7);
    let mut story = Story::new(machine, Some(stored));
    story.starts(Some("seed"));
    assert!(matches!(
        story.refusal(),
        Some((Reason::StoreUnavailable, _))
    ));
    assert!(story.steps.is_empty());
    story.pass(2);
    assert_eq!(story.served(), "at-stored");
    assert_eq!(story.refusal(), None);
    assert_eq!(story.stored().refresh_token, secret("rt-1"));
}

#[test]
fn one_seed_is_planted_once_by_many() {
    let mut one = Story::shared(None, Some("seed"));
    one.took(&["load", "claim", "load", "save", "look", "save", "send"]);
    let mut two = Story::new(
        Machine::new(shared(Lifetime::default()), None, 8),
        one.stored.clone(),
    );
    two.peer_claims();
    two.starts(Some("seed"));
    assert!(two.asked.is_none());
    one.answer(tokens("at-1", Some("rt-2"), 600));
    two.stored = one.stored.clone();
    two.peer_releases();
    two.pass(5);
    assert_eq!(two.served(), "at-1");
    two.pass(10);
    assert_eq!(two.stored, one.stored, "the same seed is no news");
    assert!(!two.notices.contains(&Notice::Seeded));
}

#[test]
fn what_others_do_is_found_without_need() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.stored = Some(story.stored().tombstone(start().wall));
    story.pass(19);
    assert!(story.published.is_empty());
    assert_eq!(
        story.refusal().map(|(reason, _)| reason),
        Some(Reason::NoGrant)
    );
}

#[test]
fn an_errand_takes_its_turn() {
    let mut story = Story::shared(Some(record_with_token("rt-1", 600)), None);
    story.peer_claims();
    story.on(Event::Disowned(Means::Forget));
    assert!(story.settled.is_empty());
    story.peer_refreshes("rt-2");
    story.peer_releases();
    story.pass(1);
    story.pass(1);
    assert!(matches!(story.outcome(), Ok(Settled::Revoked(_))));
    assert!(story.stored().is_tombstone());
    assert!(story.lease_is_free());
}
