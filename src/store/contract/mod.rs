//! What every store must do, whatever its engine. [`contract!`] makes one test per promise, and
//! [`shared_contract!`](shared) more for the stores that several processes share.

pub(super) mod shared;

use std::fmt::Write;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Claim, Error, ErrorKind, Holder, Lease, Record, Store};
use crate::secret::Secret;

/// A place for one grant's record, empty at first.
pub(super) trait Shelf {
    /// Opens the store there. Whoever opened it before has dropped it, unless it is shared.
    fn open(&self) -> Arc<dyn Store>;
}

/// Runs every promise over the stores of the shelves that `$shelf` makes.
macro_rules! contract {
    ($name:ident, $shelf:expr) => {
        $crate::store::contract::contract!(@each $name, $shelf, [$crate::store::contract]
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
    (@each $name:ident, $shelf:expr, [$($room:tt)+] $($promise:ident)+) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may need none of them")]
            use super::*;
            use $($room)+ as promises;
            $(
                #[tokio::test]
                async fn $promise() {
                    promises::$promise(&$shelf).await;
                }
            )+
        }
    };
}
pub(super) use contract;

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

fn one() -> Holder {
    Holder::named("pod-1/17/e3b0c442")
}

async fn taken(store: &dyn Store, holder: &Holder, ttl: Duration) -> Lease {
    match store.claim(holder, ttl).await.unwrap() {
        Claim::Taken(lease) => lease,
        Claim::Held { by, remaining } => panic!("{by} has it, for {remaining:?}"),
    }
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
