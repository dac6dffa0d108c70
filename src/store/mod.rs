//! Where a grant's record is kept.
//!
//! What always holds: a save either happened wholly and durably or not at all; a record that
//! cannot be read is an error and is never treated as empty, nor overwritten; of those who share
//! a record at most one has its lease; no error, log line or `Debug` text shows a secret.
//!
//! [`open()`] is the door: it gives the store that the configuration names, measured, and where it
//! is not shared held by this process alone. [`peek`] reads a record without holding it, for those who only look.
//! Every store passes the one suite in `contract.rs`.

mod error;
mod handed;
mod key;
mod lease;
mod metrics;
mod record;

mod envelope;
mod file;
mod lock;
mod place;

mod kubernetes;
mod redis;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use error::{Error, ErrorKind};
pub use file::FileStore;
pub use handed::{NotARecord, NotAToken, RefreshToken};
pub use key::{Key, MalformedKey};
pub use kubernetes::KubernetesStore;
pub use lease::{Claim, Holder, Lease, Sharing};
pub use metrics::{Measured, Metrics};
pub use record::{AccessToken, Death, Intent, Record, Setback, State, Unknown};
pub use redis::RedisStore;

use crate::config::{self, GrantName};

/// A future of a store's answer; boxed, because stores are chosen at run time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// One grant's record in some engine, and the lease on the right to spend its refresh token.
///
/// An answer is [`ErrorKind::Away`] when the engine is: what was asked may have happened all the
/// same, and can simply be asked again. That somebody else has the lease is no error.
pub trait Store: Send + Sync + fmt::Debug {
    /// The record, or nothing when none was ever saved.
    fn load(&self) -> Answer<'_, Option<Record>>;

    /// The generation of the stored record: the cheap look of whoever waits for others' saves.
    /// It may pass over a record that [`load`](Self::load) would find unreadable.
    fn generation(&self) -> Answer<'_, Option<u64>> {
        Box::pin(async { Ok(self.load().await?.map(|record| record.generation)) })
    }

    /// Saves `record` durably, provided that the stored generation is still `if_generation`
    /// (nothing: no record is stored); otherwise it is an [`ErrorKind::Conflict`].
    ///
    /// The record brings its new generation with it, higher than the stored one. Saving what is
    /// stored already succeeds, so a save whose outcome is unknown (it failed late, or its
    /// future was dropped) can simply be repeated. No lease is needed for it: what compares
    /// generations keeps a holder who was passed over from undoing anything.
    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()>;

    /// Takes the lease on the right to spend this grant's refresh token, or renews it where
    /// `holder` has it already: renewed, it keeps its fence and lasts `ttl` from now on.
    fn claim<'a>(&'a self, holder: &'a Holder, ttl: Duration) -> Answer<'a, Claim>;

    /// Gives the lease back; releasing what is no longer held, or is held by somebody else since,
    /// does nothing and is no error.
    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()>;

    /// Whether other processes may write the same record, so that leases are to be taken and
    /// others' saves to be looked for.
    fn sharing(&self) -> Sharing;
}

/// Opens the store that `settings` name for `grant`: a file is held against other processes until
/// the last handle is dropped; an engine is not even called yet, and may be away.
pub async fn open(
    settings: &config::Store,
    grant: &GrantName,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, Error> {
    match settings {
        config::Store::File(settings) => {
            let (settings, name) = (settings.clone(), grant.clone());
            let store = file::blocking(move || FileStore::open(&settings, &name)).await?;
            Ok(Arc::new(Measured::new(store, grant, metrics)))
        }
        config::Store::Kubernetes(settings) => {
            let store = open_kubernetes(settings, grant).await?;
            Ok(Arc::new(Measured::new(store, grant, metrics)))
        }
        config::Store::Redis(settings) => {
            let store = open_redis(settings, grant).await?;
            Ok(Arc::new(Measured::new(store, grant, metrics)))
        }
    }
}

/// Reads the record without holding it, also while another process does: what `status` shows.
///
/// It is whole, because a store replaces a record in one step, but may be outdated at once.
pub async fn peek(settings: &config::Store, grant: &GrantName) -> Result<Option<Record>, Error> {
    match settings {
        config::Store::File(settings) => {
            let (settings, grant) = (settings.clone(), grant.clone());
            file::blocking(move || file::peek(&settings, &grant)).await
        }
        config::Store::Kubernetes(settings) => open_kubernetes(settings, grant).await?.load().await,
        config::Store::Redis(settings) => open_redis(settings, grant).await?.load().await,
    }
}

async fn open_kubernetes(
    settings: &config::KubernetesStore,
    grant: &GrantName,
) -> Result<KubernetesStore, Error> {
    let (settings, name) = (settings.clone(), grant.clone());
    file::blocking(move || KubernetesStore::open(&settings, &name)).await
}

async fn open_redis(settings: &config::RedisStore, grant: &GrantName) -> Result<RedisStore, Error> {
    let (settings, name) = (settings.clone(), grant.clone());
    file::blocking(move || RedisStore::open(&settings, &name)).await
}

/// Whether `record` may take the place of `stored`: the rule of [`Store::save`], for every store.
fn admit(
    stored: Option<&Record>,
    record: &Record,
    if_generation: Option<u64>,
) -> Result<(), Error> {
    let found = stored.map(|stored| stored.generation);
    if stored == Some(record) {
        return Ok(());
    }
    if found != if_generation {
        let message = format!(
            "{} was expected in the store and {} was found",
            generation(if_generation),
            generation(found)
        );
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_hint("somebody else saved in between: load the record again"));
    }
    if found.is_some_and(|found| record.generation <= found) {
        // It would make two different records look the same to whoever compares next.
        let message = format!(
            "the record to save has {}, which is not above the stored one",
            generation(Some(record.generation))
        );
        return Err(Error::new(ErrorKind::Refused, message));
    }
    Ok(())
}

fn generation(number: Option<u64>) -> String {
    number.map_or_else(
        || String::from("no record"),
        |number| format!("generation {number}"),
    )
}
