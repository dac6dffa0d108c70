//! A store in memory whose troubles are scripted, for tests of the rooms above.
//!
//! What always holds: every handle sees the same record and the same lease, as the replicas of a
//! deployment would; time passes as the clock says that was handed in.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::time::Instant;

use super::{Answer, Claim, Error, ErrorKind, Holder, Lease, Record, Sharing, Store, admit};

/// A store in memory. Cloning gives another name for the same handle.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    common: Arc<Mutex<Common>>,
    troubles: Arc<Mutex<Troubles>>,
    gate: Arc<RwLock<()>>,
    clock: Clock,
    sharing: Sharing,
}

/// What all handles see.
#[derive(Debug, Default)]
struct Common {
    record: Option<Record>,
    saved: Vec<Record>,
    ledger: Ledger,
}

/// What befalls one handle.
#[derive(Debug, Default)]
struct Troubles {
    loads: VecDeque<ErrorKind>,
    saves: VecDeque<Trouble>,
    claims: VecDeque<Trouble>,
    away: bool,
}

/// What befalls a save or a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing is saved.
    Before(ErrorKind),
    /// The record is saved and the answer is lost.
    After(ErrorKind),
}

/// Who has a lease, as a pure book: the time is handed in with each entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entry: Option<(Lease, Duration)>,
    fence: u64,
}

impl Ledger {
    /// What [`Store::claim`] says at `now`.
    pub(crate) fn claim(&mut self, holder: &Holder, ttl: Duration, now: Duration) -> Claim {
        match self.entry.take().filter(|(_, until)| *until > now) {
            Some((lease, until)) if lease.holder != *holder => {
                let held = Claim::held(lease.holder.as_str(), until.checked_sub(now));
                self.entry = Some((lease, until));
                return held;
            }
            Some(_) => {}
            None => self.fence += 1,
        }
        let (holder, fence) = (holder.clone(), self.fence);
        let lease = Lease { holder, fence, ttl };
        self.entry = Some((lease.clone(), now + ttl));
        Claim::Taken(lease)
    }

    /// The engine is started anew and knows of no lease; its numbers go on.
    pub(crate) fn lose(&mut self) {
        self.entry = None;
    }

    /// What [`Store::release`] does.
    pub(crate) fn release(&mut self, lease: &Lease) {
        let same = |held: &Lease| held.holder == lease.holder && held.fence == lease.fence;
        self.entry.take_if(|(held, _)| same(held));
    }
}

/// Tells the time since some moment.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0().fmt(f)
    }
}

impl Default for Memory {
    /// A store that nobody shares, by tokio's clock, which a test can pause.
    fn default() -> Self {
        let start = Instant::now();
        Self {
            sharing: Sharing::Exclusive,
            ..Self::shared(move || start.elapsed())
        }
    }
}

impl Memory {
    /// A store for several handles, by the clock of the engine.
    pub(crate) fn shared(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            common: Arc::default(),
            troubles: Arc::default(),
            gate: Arc::default(),
            clock: Clock(Arc::new(clock)),
            sharing: Sharing::Shared,
        }
    }

    /// Another handle to the same record and lease, with troubles of its own.
    pub(crate) fn peer(&self) -> Self {
        Self {
            troubles: Arc::default(),
            gate: Arc::default(),
            ..self.clone()
        }
    }

    /// What is stored now.
    pub(crate) fn record(&self) -> Option<Record> {
        self.common().record.clone()
    }

    /// Every record that was saved, in order.
    pub(crate) fn saved(&self) -> Vec<Record> {
        self.common().saved.clone()
    }

    /// Puts a record there behind everybody's back, as a peer would.
    pub(crate) fn put(&self, record: Record) {
        self.common().record = Some(record);
    }

    /// Lets one more of the coming loads fail.
    pub(crate) fn fail_load(&self, kind: ErrorKind) {
        self.troubles().loads.push_back(kind);
    }

    /// Lets one more of the coming saves fail.
    pub(crate) fn fail_save(&self, trouble: Trouble) {
        self.troubles().saves.push_back(trouble);
    }

    /// Lets one more of the coming claims fail.
    pub(crate) fn fail_claim(&self, trouble: Trouble) {
        self.troubles().claims.push_back(trouble);
    }

    /// Cuts this handle off from the store.
    pub(crate) fn part(&self) {
        self.troubles().away = true;
    }

    /// Lets it reach the store again.
    pub(crate) fn join(&self) {
        self.troubles().away = false;
    }

    /// Lets saves wait until the guard is dropped.
    pub(crate) async fn hold_saves(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    /// What befalls the next one of `queue`; an error where the handle is cut off.
    fn next<T>(
        &self,
        queue: impl FnOnce(&mut Troubles) -> &mut VecDeque<T>,
    ) -> Result<Option<T>, Error> {
        let mut troubles = self.troubles();
        if troubles.away {
            return Err(scripted(ErrorKind::Away));
        }
        Ok(queue(&mut troubles).pop_front())
    }

    fn common(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn load(&self) -> Answer<'_, Option<Record>> {
        Box::pin(async move {
            let trouble = self.next(|troubles| &mut troubles.loads)?;
            trouble.map_or(Ok(self.record()), |kind| Err(scripted(kind)))
        })
    }

    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()> {
        Box::pin(async move {
            let _open = self.gate.read().await;
            let trouble = self.next(|troubles| &mut troubles.saves)?;
            before(trouble)?;
            let mut common = self.common();
            admit(common.record.as_ref(), record, if_generation)?;
            common.record = Some(record.clone());
            common.saved.push(record.clone());
            after(trouble)
        })
    }

    fn claim<'a>(&'a self, holder: &'a Holder, ttl: Duration) -> Answer<'a, Claim> {
        Box::pin(async move {
            let trouble = self.next(|troubles| &mut troubles.claims)?;
            before(trouble)?;
            let now = (self.clock.0)();
            let claim = self.common().ledger.claim(holder, ttl, now);
            after(trouble)?;
            Ok(claim)
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.troubles().away {
                return Err(scripted(ErrorKind::Away));
            }
            self.common().ledger.release(lease);
            Ok(())
        })
    }

    fn sharing(&self) -> Sharing {
        self.sharing
    }
}

fn before(trouble: Option<Trouble>) -> Result<(), Error> {
    match trouble {
        Some(Trouble::Before(kind)) => Err(scripted(kind)),
        _ => Ok(()),
    }
}

fn after(trouble: Option<Trouble>) -> Result<(), Error> {
    match trouble {
        Some(Trouble::After(kind)) => Err(scripted(kind)),
        _ => Ok(()),
    }
}

fn scripted(kind: ErrorKind) -> Error {
    Error::new(kind, "the test wants it so")
}
