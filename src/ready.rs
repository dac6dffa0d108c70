//! Who still blocks readiness: a name per task, released when its guard is dropped.
//!
//! What always holds: the process is ready exactly when no [`Blocker`] is alive, and each
//! reason for not being ready has a name that an operator can read at `/readyz`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The shared list of names that block readiness. Cloning gives another handle to the same list.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    // Counted, because two tasks may block under the same name for a moment.
    names: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Ready {
    /// Blocks readiness under `name` until the guard is dropped.
    pub fn block(&self, name: impl Into<String>) -> Blocker {
        let name = name.into();
        *self.names().entry(name.clone()).or_default() += 1;
        Blocker {
            ready: self.clone(),
            name,
        }
    }

    /// The names that block now, sorted; none means ready.
    pub fn blockers(&self) -> Vec<String> {
        self.names().keys().cloned().collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks readiness for as long as it lives.
#[must_use = "dropping it at once blocks nothing"]
pub struct Blocker {
    ready: Ready,
    name: String,
}

impl fmt::Debug for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocker").field(&self.name).finish()
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        let mut names = self.ready.names();
        if let Some(count) = names.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                names.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_guard_is_gone() {
        let ready = Ready::default();
        let store = ready.block("store crm");
        let token = ready.block("token crm");
        assert_eq!(ready.blockers(), ["store crm", "token crm"]);
        drop(store);
        assert_eq!(ready.blockers(), ["token crm"]);
        drop(token);
        assert!(ready.blockers().is_empty());
    }

    #[test]
    fn the_same_name_twice_needs_two_releases() {
        let ready = Ready::default();
        let (one, two) = (ready.block("listener"), ready.block("listener"));
        drop(one);
        assert_eq!(ready.blockers(), ["listener"]);
        drop(two);
        assert!(ready.blockers().is_empty());
    }
}
