//! What happened so far, in order, with a way to wait for what has not happened yet.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;

/// How long anybody waits for an entry: more than any step of a test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A list that only grows. Cloning gives another handle to the same list.
#[derive(Clone, Debug)]
pub struct Journal<T> {
    entries: watch::Sender<Vec<T>>,
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self {
            entries: watch::Sender::new(Vec::new()),
        }
    }
}

impl<T: Clone> Journal<T> {
    /// Appends `entry` and gives its place.
    pub fn push(&self, entry: T) -> usize {
        let mut place = 0;
        self.entries.send_modify(|entries| {
            place = entries.len();
            entries.push(entry);
        });
        place
    }

    /// Changes the entry at `place`, for what becomes known later.
    pub fn update(&self, place: usize, change: impl FnOnce(&mut T)) {
        self.entries.send_modify(|entries| {
            if let Some(entry) = entries.get_mut(place) {
                change(entry);
            }
        });
    }

    /// All entries up to now.
    pub fn all(&self) -> Vec<T> {
        self.entries.borrow().clone()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// True before the first entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries are like this.
    pub fn count(&self, like: impl Fn(&T) -> bool) -> usize {
        self.entries
            .borrow()
            .iter()
            .filter(|entry| like(entry))
            .count()
    }

    /// Waits until `enough` holds of all entries, and gives them.
    pub async fn until(&self, mut enough: impl FnMut(&[T]) -> bool) -> Result<Vec<T>, Overdue> {
        let mut entries = self.entries.subscribe();
        let wait = entries.wait_for(|entries| enough(entries));
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(entries)) => Ok(entries.clone()),
            _ => Err(Overdue),
        }
    }

    /// Waits until there are `count` entries, and gives them.
    pub async fn reaches(&self, count: usize) -> Result<Vec<T>, Overdue> {
        self.until(|entries| entries.len() >= count).await
    }
}

/// What was waited for did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue;

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what was waited for did not happen within {PATIENCE:?}")
    }
}

impl std::error::Error for Overdue {}
