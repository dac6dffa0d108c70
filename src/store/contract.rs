//! What every store must do, whatever its engine. [`contract!`] makes one test per promise, and
//! [`shared_contract!`] one more for each promise of the stores that several processes share.

use std::fmt::Write;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Claim, Error, ErrorKind, Holder, Lease, Record, Sharing, Store};
use crate::secret::Secret;

/// A place for one grant's record, empty at first.
pub(super) trait Shelf {
    /// Opens the store there. Whoever opened it before has dropped it, unless it is shared.
    fn open(&self) -> Arc<dyn Store>;
}

/// A place that several handles use at once.
pub(super) trait SharedShelf: Shelf {
    /// Lets this time pass for the engine, which ends leases.
    async fn pass(&self, time: Duration);
}

/// Runs every promise over the stores of the shelves that `$shelf` makes.
macro_rules! contract {
    ($name:ident, $shelf:expr) => {
        $crate::store::contract::contract!(@each $name, $shelf,
            nothing_is_there_before_the_first_save
            a_record_comes_back_as_it_went
            a_first_save_needs_an_empty_place
            a_later_save_needs_a_record
            a_save_needs_the_generation_it_expects
            a_save_raises_the_generation
            a_save_can_be_repeated
            of_many_savers_one_wins
            a_long_chain_keeps_its_last_link
            a_save_nobody_waits_for_can_be_repeated
            nothing_shows_a_secret
            the_generation_can_be_had_alone
            whoever_is_alone_has_the_lease
        );
    };
    (@each $name:ident, $shelf:expr, $($promise:ident)+) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may need none of them")]
            use super::*;
            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::store::contract::$promise(&$shelf).await;
                }
            )+
        }
    };
}
pub(super) use contract;

/// Runs every promise of a shared store, those of all stores included.
macro_rules! shared_contract {
    ($name:ident, $shelf:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may need none of them")]
            use super::*;
            $crate::store::contract::contract!(alone, $shelf);
            $crate::store::contract::contract!(@each together, $shelf,
                a_handle_sees_what_another_saves
                a_save_needs_the_generation_that_another_saved
                of_many_savers_with_handles_of_their_own_one_wins
                a_lease_has_one_holder
                a_renewal_keeps_the_fence
                an_ended_lease_goes_to_another_with_a_higher_fence
                a_released_lease_can_be_taken_at_once
                whoever_was_passed_over_cannot_renew
                only_the_lease_that_is_held_can_be_released
                of_many_claimants_one_wins
                a_claim_nobody_waits_for_can_be_repeated
                a_lease_and_the_record_leave_each_other_alone
            );
        }
    };
}
pub(super) use shared_contract;

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for in a real engine. It may be over at once on a busy machine, so no
/// test needs it to last.
const BRIEF: Duration = Duration::from_millis(60);

/// A text that no error, log line or `Debug` may show.
pub(super) const TOKEN: &str = "rt-0f9c-\u{7f}\"never shown\\\u{1F43B}";

/// A record in which every member is set, members that nobody knows included.
pub(super) fn full(generation: u64) -> Record {
    let at = "2026-11-23T05:00:00.123456789Z";
    let record = json!({
        "schema": 1,
        "generation": generation,
        "refresh_token": TOKEN,
        "previous_refresh_token": format!("{TOKEN} before"),
        "access_token": { "value": format!("{TOKEN} access"), "generation": 3, "issued_at": at, "expires_at": at },
        "scope": "offline_access crm.read",
        "subject": "248289761001",
        "enrolled_at": "2026-11-01T08:00:00Z",
        "obtained_at": at,
        "rotated_at": at,
        "refreshed_at": at,
        "refresh_expires_at": at,
        "refresh_lives_from": at,
        "intent": { "refresh_token": "ba7816bf", "by": "host/17", "since": at, "tries": 2 },
        "state": { "suspect": { "reason": "invalid_grant", "since": at } },
        "seed": "e3b0c442",
        "captured": { "instance_url": "https://eu1.example.com", "deep": { "list": [1, 2.5, null] } },
        "from_a_later_version": { "kept": [true, TOKEN, 18_446_744_073_709_551_615_u64] },
    });
    serde_json::from_value(record).unwrap()
}

/// The same record with something to tell it by.
fn marked(generation: u64, mark: impl Into<Value>) -> Record {
    let mut record = full(generation);
    record.captured.insert(String::from("mark"), mark.into());
    record
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind
}

pub(super) async fn nothing_is_there_before_the_first_save(shelf: &impl Shelf) {
    assert_eq!(shelf.open().load().await.unwrap(), None);
    assert_eq!(shelf.open().load().await.unwrap(), None);
}

pub(super) async fn a_record_comes_back_as_it_went(shelf: &impl Shelf) {
    let store = shelf.open();
    let mut record = marked(0, "x".repeat(300_000));
    store.save(&record, None).await.unwrap();
    assert_eq!(store.load().await.unwrap().as_ref(), Some(&record));
    drop(store);
    let store = shelf.open();
    assert_eq!(store.load().await.unwrap().as_ref(), Some(&record));

    record = Record::new(Secret::new(String::new()), record.obtained_at);
    record.generation = 1;
    store.save(&record, Some(0)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record));
}

pub(super) async fn a_first_save_needs_an_empty_place(shelf: &impl Shelf) {
    let store = shelf.open();
    store.save(&full(4), None).await.unwrap();
    assert_eq!(kind(store.save(&full(5), None).await), ErrorKind::Conflict);
    assert_eq!(store.load().await.unwrap(), Some(full(4)));
}

pub(super) async fn a_later_save_needs_a_record(shelf: &impl Shelf) {
    let store = shelf.open();
    let result = store.save(&full(5), Some(4)).await;
    assert_eq!(kind(result), ErrorKind::Conflict);
    assert_eq!(store.load().await.unwrap(), None);
}

pub(super) async fn a_save_needs_the_generation_it_expects(shelf: &impl Shelf) {
    let store = shelf.open();
    store.save(&full(4), None).await.unwrap();
    for expected in [0, 3, 5, u64::MAX] {
        let result = store.save(&full(9), Some(expected)).await;
        assert_eq!(kind(result), ErrorKind::Conflict, "{expected}");
    }
    assert_eq!(store.load().await.unwrap(), Some(full(4)));
    store.save(&full(9), Some(4)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(9)));
}

pub(super) async fn a_save_raises_the_generation(shelf: &impl Shelf) {
    let store = shelf.open();
    store.save(&full(4), None).await.unwrap();
    for generation in [0, 3, 4] {
        let result = store.save(&marked(generation, "other"), Some(4)).await;
        assert_eq!(kind(result), ErrorKind::Refused, "{generation}");
    }
    assert_eq!(store.load().await.unwrap(), Some(full(4)));
}

pub(super) async fn a_save_can_be_repeated(shelf: &impl Shelf) {
    let store = shelf.open();
    store.save(&full(0), None).await.unwrap();
    store.save(&full(0), None).await.unwrap();
    store.save(&full(1), Some(0)).await.unwrap();
    store.save(&full(1), Some(0)).await.unwrap();
    let other = marked(1, "another record of this generation");
    assert_eq!(kind(store.save(&other, Some(0)).await), ErrorKind::Conflict);
    assert_eq!(store.load().await.unwrap(), Some(full(1)));
}

pub(super) async fn of_many_savers_one_wins(shelf: &impl Shelf) {
    let store = shelf.open();
    store.save(&full(0), None).await.unwrap();
    let savers = (0..8).map(|saver| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let record = marked(1, saver);
            let result = store.save(&record, Some(0)).await;
            (record, result.map_err(|error| error.kind))
        })
    });
    let savers: Vec<_> = savers.collect();
    let mut winners = Vec::new();
    for saver in savers {
        match saver.await.unwrap() {
            (record, Ok(())) => winners.push(record),
            (_, Err(kind)) => assert_eq!(kind, ErrorKind::Conflict),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.load().await.unwrap(), winners.pop());
}

pub(super) async fn a_long_chain_keeps_its_last_link(shelf: &impl Shelf) {
    let store = shelf.open();
    let mut stored = None;
    for generation in 0..20 {
        store.save(&full(generation), stored).await.unwrap();
        stored = Some(generation);
    }
    assert_eq!(store.load().await.unwrap(), Some(full(19)));
}

pub(super) async fn a_save_nobody_waits_for_can_be_repeated(shelf: &impl Shelf) {
    let store = shelf.open();
    let record = full(0);
    let mut save = store.save(&record, None);
    let _ = save.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(save);
    store.save(&record, None).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record));
}

pub(super) async fn nothing_shows_a_secret(shelf: &impl Shelf) {
    let store = shelf.open();
    let record = full(0);
    store.save(&record, None).await.unwrap();
    let error = store.save(&full(7), Some(6)).await.unwrap_err();
    let loaded = store.load().await.unwrap();
    for shown in [
        format!("{store:?}"),
        format!("{record:?}"),
        format!("{loaded:?}"),
        chain(&error),
    ] {
        assert!(!shown.contains("never shown"), "{shown}");
        assert!(!shown.contains("rt-0f9c"), "{shown}");
    }
}

pub(super) async fn the_generation_can_be_had_alone(shelf: &impl Shelf) {
    let store = shelf.open();
    assert_eq!(store.generation().await.unwrap(), None);
    store.save(&full(4), None).await.unwrap();
    assert_eq!(store.generation().await.unwrap(), Some(4));
    store.save(&full(u64::MAX), Some(4)).await.unwrap();
    assert_eq!(store.generation().await.unwrap(), Some(u64::MAX));
}

pub(super) async fn whoever_is_alone_has_the_lease(shelf: &impl Shelf) {
    let store = shelf.open();
    let lease = taken(&*store, &one(), LONG).await;
    assert_eq!((&lease.holder, lease.ttl), (&one(), LONG));
    assert_eq!(taken(&*store, &one(), BRIEF).await.fence, lease.fence);
    store.release(&lease).await.unwrap();
    store.release(&lease).await.unwrap();
    assert!(taken(&*store, &one(), LONG).await.fence >= lease.fence);
}

pub(super) async fn a_handle_sees_what_another_saves(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    assert_eq!(here.sharing(), Sharing::Shared);
    assert_eq!(there.load().await.unwrap(), None);
    here.save(&full(0), None).await.unwrap();
    assert_eq!(there.load().await.unwrap(), Some(full(0)));
    there.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(here.generation().await.unwrap(), Some(1));
    assert_eq!(here.load().await.unwrap(), Some(full(1)));
}

pub(super) async fn a_save_needs_the_generation_that_another_saved(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    here.save(&full(0), None).await.unwrap();
    let result = there.save(&marked(0, "other"), None).await;
    assert_eq!(kind(result), ErrorKind::Conflict);
    there.save(&marked(1, "other"), Some(0)).await.unwrap();
    let result = here.save(&full(1), Some(0)).await;
    assert_eq!(kind(result), ErrorKind::Conflict);
    here.save(&marked(1, "other"), Some(0)).await.unwrap();
    here.save(&full(2), Some(1)).await.unwrap();
    assert_eq!(there.load().await.unwrap(), Some(full(2)));
}

pub(super) async fn of_many_savers_with_handles_of_their_own_one_wins(shelf: &impl SharedShelf) {
    shelf.open().save(&full(0), None).await.unwrap();
    let savers = (0..8).map(|saver| {
        let store = shelf.open();
        tokio::spawn(async move {
            let result = store.save(&marked(1, saver), Some(0)).await;
            result.map(|()| saver).map_err(|error| error.kind)
        })
    });
    let mut winners = Vec::new();
    for saver in savers.collect::<Vec<_>>() {
        match saver.await.unwrap() {
            Ok(saver) => winners.push(marked(1, saver)),
            Err(kind) => assert_eq!(kind, ErrorKind::Conflict),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(shelf.open().load().await.unwrap(), winners.pop());
}

pub(super) async fn a_lease_has_one_holder(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    let lease = taken(&*here, &one(), LONG).await;
    for store in [&here, &there] {
        let Claim::Held { by, remaining } = store.claim(&two(), LONG).await.unwrap() else {
            panic!("two holders have it");
        };
        assert_eq!(by, one().as_str());
        assert!(remaining.is_none_or(|left| left <= LONG), "{remaining:?}");
    }
    // It is the holder's, not the handle's.
    assert_eq!(taken(&*there, &one(), LONG).await.fence, lease.fence);
}

pub(super) async fn a_renewal_keeps_the_fence(shelf: &impl SharedShelf) {
    let store = shelf.open();
    let lease = taken(&*store, &one(), Duration::from_secs(1)).await;
    let renewed = taken(&*store, &one(), LONG).await;
    assert_eq!((renewed.fence, renewed.ttl), (lease.fence, LONG));
    shelf.pass(Duration::from_millis(1100)).await;
    assert!(
        is_held(&*store, &two()).await,
        "the renewal was for nothing"
    );
}

pub(super) async fn an_ended_lease_goes_to_another_with_a_higher_fence(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    let mut last = 0;
    for _ in 0..3 {
        for (store, holder) in [(&here, one()), (&there, two())] {
            let lease = taken(&**store, &holder, BRIEF).await;
            assert!(lease.fence > last, "{} after {last}", lease.fence);
            last = lease.fence;
            shelf.pass(BRIEF * 2).await;
        }
    }
}

pub(super) async fn a_released_lease_can_be_taken_at_once(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    let first = taken(&*here, &one(), LONG).await;
    here.release(&first).await.unwrap();
    let second = taken(&*there, &two(), LONG).await;
    assert!(second.fence > first.fence);
    there.release(&second).await.unwrap();
    assert!(taken(&*here, &one(), LONG).await.fence > second.fence);
}

pub(super) async fn whoever_was_passed_over_cannot_renew(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    taken(&*here, &one(), BRIEF).await;
    shelf.pass(BRIEF * 2).await;
    taken(&*there, &two(), LONG).await;
    assert!(is_held(&*here, &one()).await);
}

pub(super) async fn only_the_lease_that_is_held_can_be_released(shelf: &impl SharedShelf) {
    let store = shelf.open();
    let before = taken(&*store, &one(), LONG).await;
    store.release(&before).await.unwrap();
    taken(&*store, &two(), BRIEF).await;
    shelf.pass(BRIEF * 2).await;
    let held = taken(&*store, &one(), LONG).await;
    let stranger = Lease {
        holder: two(),
        ..held.clone()
    };
    for other in [&stranger, &before] {
        store.release(other).await.unwrap();
        assert!(is_held(&*store, &two()).await, "{other:?} released it");
    }
    store.release(&held).await.unwrap();
    taken(&*store, &two(), LONG).await;
}

pub(super) async fn of_many_claimants_one_wins(shelf: &impl SharedShelf) {
    let claimants = (0..8).map(|number| {
        let store = shelf.open();
        tokio::spawn(async move {
            let holder = Holder::named(&format!("claimant {number}"));
            (store.claim(&holder, LONG).await.unwrap(), holder)
        })
    });
    let (mut winner, mut named) = (None, Vec::new());
    for claimant in claimants.collect::<Vec<_>>() {
        match claimant.await.unwrap() {
            (Claim::Taken(lease), holder) => {
                assert_eq!(lease.holder, holder);
                assert_eq!(winner.replace(holder), None);
            }
            (Claim::Held { by, .. }, _) => named.push(by),
        }
    }
    let winner = winner.unwrap();
    assert_eq!(named, vec![winner.as_str(); 7]);
}

pub(super) async fn a_claim_nobody_waits_for_can_be_repeated(shelf: &impl SharedShelf) {
    let store = shelf.open();
    let holder = one();
    let mut claim = store.claim(&holder, LONG);
    let _ = claim.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(claim);
    taken(&*store, &holder, LONG).await;
    assert!(is_held(&*shelf.open(), &two()).await);
}

pub(super) async fn a_lease_and_the_record_leave_each_other_alone(shelf: &impl SharedShelf) {
    let store = shelf.open();
    let lease = taken(&*store, &one(), LONG).await;
    assert_eq!(store.load().await.unwrap(), None);
    // Whoever has no lease may save: generations are compared, leases are not.
    store.save(&full(0), None).await.unwrap();
    store.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(taken(&*store, &one(), LONG).await.fence, lease.fence);
    assert!(is_held(&*store, &two()).await);
    store.release(&lease).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(1)));
}

fn one() -> Holder {
    Holder::named("pod-1/17/e3b0c442")
}

fn two() -> Holder {
    Holder::named("pod-2/17/98fc1c14")
}

async fn taken(store: &dyn Store, holder: &Holder, ttl: Duration) -> Lease {
    match store.claim(holder, ttl).await.unwrap() {
        Claim::Taken(lease) => lease,
        Claim::Held { by, remaining } => panic!("{by} has it, for {remaining:?}"),
    }
}

/// True if `holder`, who asks for it, is told that somebody else has the lease.
async fn is_held(store: &dyn Store, holder: &Holder) -> bool {
    matches!(store.claim(holder, LONG).await.unwrap(), Claim::Held { .. })
}

/// An error with everything that it could show.
pub(super) fn chain(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{:?}", error.hint());
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        let _ = write!(text, "\n{cause}\n{cause:?}");
        below = cause.source();
    }
    text
}
