//! One grant in one file.
//!
//! What always holds: while a [`FileStore`] lives, no other process writes its file (see
//! `lock.rs`); a save that was begun runs to its end even if its future is dropped; a file that
//! could not be read is never replaced.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::envelope::{Codec, Stored};
use super::key::Keys;
use super::lock::Lock;
use super::place::{self, Place};
use super::{Answer, Claim, Error, ErrorKind, Holder, Lease, Record, Sharing, Store, admit};
use crate::config::{self, GrantName};

/// The name of this engine, to which a sealed record is bound.
const ENGINE: &str = "file";

/// A grant in a file of its own: mode 0600, replaced in one step, sealed if a key is configured.
///
/// Keys are read once, when the store is opened: another key is taken up by opening it again.
/// Purposefully not `Clone`: the lock ends with the one handle and whatever save still runs.
#[derive(Debug)]
pub struct FileStore(Arc<Inner>);

/// What the threads that do the work share. It outlives the store while a save still runs, and
/// the lock with it.
#[derive(Debug)]
struct Inner {
    codec: Codec,
    place: Place,
    /// Held from the comparison of generations until the file is replaced.
    turn: Mutex<()>,
    _lock: Lock,
}

impl FileStore {
    /// Opens the file, or the place for it, and locks it. Blocks the thread.
    ///
    /// It fails if the folder or the file is open to others, if another process holds the lock,
    /// if nothing can be written there, and if there is a record that cannot be read.
    pub fn open(settings: &config::FileStore, grant: &GrantName) -> Result<Self, Error> {
        let codec = codec(settings, grant)?;
        let place = Place::prepare(&settings.path)?;
        let lock = Lock::take(place.lock())?;
        place.try_out()?;
        place.check()?;
        let inner = Inner {
            codec,
            place,
            turn: Mutex::default(),
            _lock: lock,
        };
        if let Some(stored) = inner.read()? {
            inner.codec.announce(&stored);
        }
        Ok(Self(Arc::new(inner)))
    }
}

impl Store for FileStore {
    fn load(&self) -> Answer<'_, Option<Record>> {
        let inner = Arc::clone(&self.0);
        Box::pin(blocking(move || {
            Ok(inner.read()?.map(|stored| stored.record))
        }))
    }

    /// Runs to its end once it is polled, even if the future is dropped.
    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()> {
        let inner = Arc::clone(&self.0);
        let record = record.clone();
        Box::pin(blocking(move || inner.save(&record, if_generation)))
    }

    /// Always taken: the lock on the file is the lease, and it is held from the opening on.
    fn claim<'a>(&'a self, holder: &'a Holder, ttl: Duration) -> Answer<'a, Claim> {
        let (holder, fence) = (holder.clone(), 0);
        Box::pin(async move { Ok(Claim::Taken(Lease { holder, fence, ttl })) })
    }

    fn release<'a>(&'a self, _: &'a Lease) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }
}

impl Inner {
    fn read(&self) -> Result<Option<Stored>, Error> {
        read(&self.codec, self.place.file())
    }

    fn save(&self, record: &Record, if_generation: Option<u64>) -> Result<(), Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Read wholly, not for the generation alone: what cannot be read must not be replaced.
        let stored = self.read()?;
        admit(
            stored.as_ref().map(|stored| &stored.record),
            record,
            if_generation,
        )?;
        let other = stored.map(|stored| stored.other).unwrap_or_default();
        self.place.write(&self.codec.encode(record, &other)?)
    }
}

/// Reads the record without the lock, which `rename` makes safe. Blocks the thread.
///
/// An operator who looks may be another user than the service, and changes nothing: so neither
/// owner nor mode matters here.
pub(super) fn peek(
    settings: &config::FileStore,
    grant: &GrantName,
) -> Result<Option<Record>, Error> {
    let stored = read(&codec(settings, grant)?, &settings.path)?;
    Ok(stored.map(|stored| stored.record))
}

/// Runs `work`, which blocks, beside the runtime; it runs to its end even if nobody waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => {
            let message = "the work on the store was broken off";
            Err(Error::new(ErrorKind::Away, message).because(cause))
        }
    }
}

fn codec(settings: &config::FileStore, grant: &GrantName) -> Result<Codec, Error> {
    Ok(Codec {
        engine: ENGINE,
        grant: grant.clone(),
        keys: Keys::read(settings.key.as_ref(), &settings.old_keys)?,
    })
}

fn read(codec: &Codec, path: &Path) -> Result<Option<Stored>, Error> {
    let Some(bytes) = place::read(path)? else {
        return Ok(None);
    };
    let stored = codec.decode(&bytes).map_err(|fault| {
        let message = format!("the stored grant `{}` cannot be read", path.display());
        Error::new(ErrorKind::Unreadable, message)
            .with_hint(fault.hint())
            .because(fault)
    })?;
    Ok(Some(stored))
}
