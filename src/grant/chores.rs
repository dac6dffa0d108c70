//! What a keeper does at its store, each as one piece of work that ends in an event, and the
//! renewing of a lease while a call runs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::time::sleep;

use super::event::Event;
use crate::store::{Claim, Error, ErrorKind, Holder, Lease, Record, Store};
use crate::telemetry::chain;

pub(super) async fn load(store: Arc<dyn Store>) -> Event {
    Event::Loaded(store.load().await.map_err(log_store))
}

/// Reads the record where the stored generation is not the known one.
pub(super) async fn look(store: Arc<dyn Store>, known: u64) -> Event {
    match store.generation().await {
        Ok(Some(found)) if found == known => Event::Unchanged,
        Ok(_) => load(store).await,
        Err(error) => Event::Loaded(Err(log_store(error))),
    }
}

pub(super) async fn save(
    store: Arc<dyn Store>,
    record: Box<Record>,
    if_generation: Option<u64>,
) -> Event {
    let saved = store.save(&record, if_generation).await;
    Event::Saved(saved.map_err(|error| match error.kind {
        // Among replicas that is no trouble; whoever finds it so says it.
        ErrorKind::Conflict => error.kind,
        _ => log_store(error),
    }))
}

pub(super) async fn claim(store: Arc<dyn Store>, holder: Holder, ttl: Duration) -> Event {
    Event::Claimed(store.claim(&holder, ttl).await.map_err(log_store))
}

/// A lease that cannot be given back ends by itself.
pub(super) async fn release(store: Arc<dyn Store>, lease: Lease) -> Event {
    if let Err(error) = store.release(&lease).await {
        tracing::debug!(error = %chain(&error), "the lease was not given back");
    }
    Event::Released
}

/// A lease that is renewed while a call runs.
pub(super) struct Renewing {
    pub(super) store: Arc<dyn Store>,
    pub(super) lease: Lease,
    pub(super) lost: IntCounter,
}

impl Renewing {
    /// Drives `call` to its end, and renews meanwhile. The answer counts also where the lease is
    /// lost: it is saved if nobody else has saved since.
    pub(super) async fn beside<T>(self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            () = self.renew() => {}
        }
        call.await
    }

    /// Ends when the lease is somebody else's.
    async fn renew(&self) {
        let Lease { holder, fence, ttl } = &self.lease;
        loop {
            sleep(*ttl / 3).await;
            match self.store.claim(holder, *ttl).await {
                Ok(Claim::Taken(lease)) if lease.fence == *fence => {}
                Ok(_) => {
                    self.lost.inc();
                    tracing::info!("the lease was lost while a token request was under way");
                    return;
                }
                // It may last until the next try.
                Err(error) => {
                    log_store(error);
                }
            }
        }
    }
}

/// The machine decides on the kind; the words go to the log.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the end of an error's way"
)]
pub(super) fn log_store(error: Error) -> ErrorKind {
    tracing::warn!(error = %chain(&error), "store failed");
    error.kind
}
