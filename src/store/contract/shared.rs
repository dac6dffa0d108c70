//! What a store that several processes share must do beyond: be seen by all, and lease.

use std::task::{Context, Waker};
use std::time::Duration;

use super::{BRIEF, LONG, Shelf, full, kind, marked, one, taken};
use crate::store::{Claim, ErrorKind, Holder, Lease, Sharing, Store};

/// A place that several handles use at once.
pub(in crate::store) trait SharedShelf: Shelf {
    /// Lets this time pass for the engine, which ends leases.
    async fn pass(&self, time: Duration);
}

/// Runs every promise of a shared store, those of all stores included.
macro_rules! shared_contract {
    ($name:ident, $shelf:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may need none of them")]
            use super::*;
            $crate::store::contract::contract!(alone, $shelf);
            $crate::store::contract::contract!(@each together, $shelf, [$crate::store::contract::shared]
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
pub(in crate::store) use shared_contract;

pub(in crate::store) async fn a_handle_sees_what_another_saves(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    assert_eq!(here.sharing(), Sharing::Shared);
    assert_eq!(there.load().await.unwrap(), None);
    here.save(&full(0), None).await.unwrap();
    assert_eq!(there.load().await.unwrap(), Some(full(0)));
    there.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(here.generation().await.unwrap(), Some(1));
    assert_eq!(here.load().await.unwrap(), Some(full(1)));
}

pub(in crate::store) async fn a_save_needs_the_generation_that_another_saved(
    shelf: &impl SharedShelf,
) {
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

pub(in crate::store) async fn of_many_savers_with_handles_of_their_own_one_wins(
    shelf: &impl SharedShelf,
) {
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

pub(in crate::store) async fn a_lease_has_one_holder(shelf: &impl SharedShelf) {
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

pub(in crate::store) async fn a_renewal_keeps_the_fence(shelf: &impl SharedShelf) {
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

pub(in crate::store) async fn an_ended_lease_goes_to_another_with_a_higher_fence(
    shelf: &impl SharedShelf,
) {
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

pub(in crate::store) async fn a_released_lease_can_be_taken_at_once(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    let first = taken(&*here, &one(), LONG).await;
    here.release(&first).await.unwrap();
    let second = taken(&*there, &two(), LONG).await;
    assert!(second.fence > first.fence);
    there.release(&second).await.unwrap();
    assert!(taken(&*here, &one(), LONG).await.fence > second.fence);
}

pub(in crate::store) async fn whoever_was_passed_over_cannot_renew(shelf: &impl SharedShelf) {
    let (here, there) = (shelf.open(), shelf.open());
    taken(&*here, &one(), BRIEF).await;
    shelf.pass(BRIEF * 2).await;
    taken(&*there, &two(), LONG).await;
    assert!(is_held(&*here, &one()).await);
}

pub(in crate::store) async fn only_the_lease_that_is_held_can_be_released(
    shelf: &impl SharedShelf,
) {
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

pub(in crate::store) async fn of_many_claimants_one_wins(shelf: &impl SharedShelf) {
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

pub(in crate::store) async fn a_claim_nobody_waits_for_can_be_repeated(shelf: &impl SharedShelf) {
    let store = shelf.open();
    let holder = one();
    let mut claim = store.claim(&holder, LONG);
    let _ = claim.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(claim);
    taken(&*store, &holder, LONG).await;
    assert!(is_held(&*shelf.open(), &two()).await);
}

pub(in crate::store) async fn a_lease_and_the_record_leave_each_other_alone(
    shelf: &impl SharedShelf,
) {
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

fn two() -> Holder {
    Holder::named("pod-2/17/98fc1c14")
}

/// True if `holder`, who asks for it, is told that somebody else has the lease.
async fn is_held(store: &dyn Store, holder: &Holder) -> bool {
    matches!(store.claim(holder, LONG).await.unwrap(), Claim::Held { .. })
}
