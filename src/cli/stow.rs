//! Putting a grant where it is kept: into its store, or through the process that holds it.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Failure, ask, grant};
use crate::config::{self, Config, GrantName};
use crate::grant::Status;
use crate::store::{self, Claim, ErrorKind, Holder, Lease, Record, Sharing, Store};

/// How often a save is tried that others get ahead of.
const MOST_TRIES: u32 = 8;

/// How long a command has a lease, and waits for one at most: longer than any token request.
const LEASE: Duration = Duration::from_secs(60);

/// Between two tries to get a lease.
const PAUSE: Duration = Duration::from_millis(250);

/// Who puts a record into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// This command: no process holds the store.
    Store,
    /// The running process that holds it.
    Process,
}

/// What is known before a record is put in.
#[derive(Debug)]
pub(super) struct Reached {
    /// Who will do it.
    pub(super) way: Way,
    /// The fingerprint of the refresh token that is stored now.
    pub(super) refresh_token: Option<String>,
    /// The account that the stored grant is of, where that is known.
    pub(super) subject: Option<String>,
}

/// What became of a record; in each case it is stored.
#[derive(Debug)]
pub(super) enum Stowed {
    /// No process runs that could serve it.
    Stored,
    /// In an engine that replicas share; those that run find it there.
    Shared,
    /// The process that holds the store serves it.
    Serves,
    /// The process holds it but has no access token of it, for this reason.
    Kept(String),
}

/// Finds out whether a record could be stored, before a person is asked for one.
pub(super) async fn reach(config: &Config, name: &GrantName) -> Result<Reached, Failure> {
    let section = grant(config, name)?;
    let held = match open(section, name).await? {
        Opened::Free(store) => {
            let record = store.load().await?;
            let status = Status::of(name, record.as_ref(), Timestamp::now());
            return Ok(Reached {
                way: Way::Store,
                refresh_token: status.refresh_token,
                subject: status.subject,
            });
        }
        Opened::Held(error) => error,
    };
    let Ok(report) = ask::status(&config.admin.listen).await else {
        return Err(held.into());
    };
    let grants = report.get("grants").and_then(Value::as_array);
    let status = grants.into_iter().flatten().find(|status| {
        let known = status.get("grant").and_then(Value::as_str);
        known == Some(name.as_str())
    });
    // It is another process that answers there.
    let Some(status) = status else {
        return Err(held.into());
    };
    if report.get("actions") != Some(&Value::Bool(true)) {
        let message = format!("the process that keeps grant `{name}` takes no grant in");
        let hint = "set `admin.actions = true` and start it again, or stop it";
        return Err(Failure::new(message).hint(Some(hint)));
    }
    let text = |key: &str| status.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(Reached {
        way: Way::Process,
        refresh_token: text("refresh_token"),
        subject: text("subject"),
    })
}

/// Stores `record` as the beginning of a new chain, or has the process do it that holds the store.
pub(super) async fn stow(
    config: &Config,
    name: &GrantName,
    record: Record,
) -> Result<Stowed, Failure> {
    let section = grant(config, name)?;
    let held = match open(section, name).await? {
        Opened::Free(store) => {
            put(store.as_ref(), record, seed(section)).await?;
            return Ok(match store.sharing() {
                Sharing::Exclusive => Stowed::Stored,
                Sharing::Shared => Stowed::Shared,
            });
        }
        Opened::Held(error) => error,
    };
    let json = serde_json::to_vec(&record)
        .map_err(|error| Failure::new(format!("the record has no JSON form: {error}")))?;
    let path = format!("/grants/{name}/import");
    let content = ask::Content::Record(Bytes::from(json));
    let asked = ask::act(&config.admin.listen, &path, content).await;
    let (status, told) = asked.map_err(|_| Failure::from(held))?;
    if !status.is_success() {
        let what = format!("the process that keeps grant `{name}` does not take it");
        return Err(ask::refused(&what, &told));
    }
    match told.get("refreshed") {
        Some(Value::Bool(true)) => Ok(Stowed::Serves),
        _ => Ok(Stowed::Kept(ask::why(&told))),
    }
}

/// Saves the record over whatever is stored. Where replicas save in between, it is what they have
/// saved that is replaced: a person wants the new chain.
async fn put(store: &dyn Store, record: Record, seed: Option<String>) -> Result<(), store::Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let stored = store.load().await?;
        let generation = stored.as_ref().map(|stored| stored.generation);
        let record = record.clone().in_place_of(stored, seed.clone());
        match store.save(&record, generation).await {
            Err(error) if error.kind == ErrorKind::Conflict && tries < MOST_TRIES => {}
            saved => return saved,
        }
    }
}

/// The lease on the grant, so that no replica spends the refresh token meanwhile. Whoever has it
/// now is waited for.
pub(super) async fn lease(store: &dyn Store, name: &GrantName) -> Result<Lease, Failure> {
    let holder = Holder::generate()?;
    let deadline = Instant::now() + LEASE;
    loop {
        let by = match store.claim(&holder, LEASE).await? {
            Claim::Taken(lease) => return Ok(lease),
            Claim::Held { by, .. } => by,
        };
        if Instant::now() > deadline {
            let message =
                format!("`{by}` has the lease on grant `{name}` and does not give it back");
            return Err(Failure::new(message).hint(Some("try again in a minute")));
        }
        sleep(PAUSE).await;
    }
}

/// A store, for this command alone; or for a running process, which is to be asked.
pub(super) enum Opened {
    /// It is ours.
    Free(std::sync::Arc<dyn Store>),
    /// A running process holds it, or may: this is the error where none answers.
    Held(store::Error),
}

pub(super) async fn open(section: &config::Grant, name: &GrantName) -> Result<Opened, Failure> {
    let metrics = store::Metrics::register(&prometheus::Registry::new())
        .map_err(|error| Failure::new(error.to_string()))?;
    match store::open(&section.store, name, &metrics).await {
        Ok(store) => Ok(Opened::Free(store)),
        Err(error) if may_be_held(&error, &section.store) => Ok(Opened::Held(error)),
        Err(error) => Err(error.into()),
    }
}

/// A file that is another user's is not found to be locked: that user's process may hold it, as
/// a unit's with a user of its own does.
fn may_be_held(error: &store::Error, store: &config::Store) -> bool {
    match error.kind {
        ErrorKind::Held => true,
        ErrorKind::Refused | ErrorKind::Away => matches!(store, config::Store::File(_)),
        ErrorKind::Unreadable | ErrorKind::Conflict => false,
    }
}

/// The hash of the configured seed, so that it does not count as changed and take the place of
/// what is stored.
pub(super) fn seed(section: &config::Grant) -> Option<String> {
    let seed = section.seed.as_ref()?.refresh_token.read().ok()?;
    Some(seed.hash())
}
