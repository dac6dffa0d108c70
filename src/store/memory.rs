//! A store in memory whose troubles are scripted, for tests of the rooms above.
//!
//! What always holds: every handle sees the same record, as the replicas of a deployment would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use super::{Answer, Error, ErrorKind, Record, Store, admit};

/// A store in memory. Cloning gives another handle to the same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    gate: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct State {
    record: Option<Record>,
    saved: Vec<Record>,
    loads: VecDeque<ErrorKind>,
    saves: VecDeque<Trouble>,
}

/// What befalls a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing is saved.
    Before(ErrorKind),
    /// The record is saved and the answer is lost.
    After(ErrorKind),
}

impl Memory {
    /// What is stored now.
    pub(crate) fn record(&self) -> Option<Record> {
        self.state().record.clone()
    }

    /// Every record that was saved, in order.
    pub(crate) fn saved(&self) -> Vec<Record> {
        self.state().saved.clone()
    }

    /// Puts a record there behind everybody's back, as a peer would.
    pub(crate) fn put(&self, record: Record) {
        self.state().record = Some(record);
    }

    /// Lets one more of the coming loads fail.
    pub(crate) fn fail_load(&self, kind: ErrorKind) {
        self.state().loads.push_back(kind);
    }

    /// Lets one more of the coming saves fail.
    pub(crate) fn fail_save(&self, trouble: Trouble) {
        self.state().saves.push_back(trouble);
    }

    /// Lets saves wait until the guard is dropped.
    pub(crate) async fn hold_saves(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn load(&self) -> Answer<'_, Option<Record>> {
        Box::pin(async move {
            let mut state = self.state();
            state
                .loads
                .pop_front()
                .map_or(Ok(state.record.clone()), |kind| Err(scripted(kind)))
        })
    }

    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()> {
        Box::pin(async move {
            let _open = self.gate.read().await;
            let mut state = self.state();
            let trouble = state.saves.pop_front();
            if let Some(Trouble::Before(kind)) = trouble {
                return Err(scripted(kind));
            }
            admit(state.record.as_ref(), record, if_generation)?;
            state.record = Some(record.clone());
            state.saved.push(record.clone());
            match trouble {
                Some(Trouble::After(kind)) => Err(scripted(kind)),
                _ => Ok(()),
            }
        })
    }
}

fn scripted(kind: ErrorKind) -> Error {
    Error::new(kind, "the test wants it so")
}
