//! The browsers that came back, each with the page it is shown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::watch;

use crate::login::page::Page;

/// Browsers that are remembered, so that their pages can be loaded again.
const MOST: usize = 32;

/// The browsers that came back, by age. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<Mutex<VecDeque<Arc<Slot>>>>);

impl Slots {
    /// The one whose page has this name.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Slot>> {
        let slots = self.lock();
        let found = slots.iter().find(|slot| slot.name == name);
        found.map(Arc::clone)
    }

    /// The one that came with this query: a page that is loaded again, a second tab.
    pub(super) fn with_query(&self, hash: &str) -> Option<Arc<Slot>> {
        let slots = self.lock();
        let found = slots.iter().find(|slot| slot.query == hash);
        found.map(Arc::clone)
    }

    /// Remembers one more, and forgets the oldest that needs nothing any more; false when all of
    /// them still do.
    pub(super) fn remember(&self, slot: &Arc<Slot>) -> bool {
        let mut slots = self.lock();
        if slots.len() >= MOST {
            let Some(place) = slots.iter().position(|slot| slot.is_over()) else {
                return false;
            };
            slots.remove(place);
        }
        slots.push_back(Arc::clone(slot));
        true
    }

    /// Ends when no browser has an ending yet to fetch.
    pub(super) async fn fetched(&self) {
        let all: Vec<Arc<Slot>> = self.lock().iter().map(Arc::clone).collect();
        for slot in all {
            slot.fetched().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One browser that came back.
#[derive(Debug)]
pub(super) struct Slot {
    /// The last part of its page's path; nobody can guess it.
    name: String,
    /// The hash of its query: the query itself is not kept.
    query: String,
    page: watch::Sender<Shown>,
}

/// What its page is.
#[derive(Debug)]
enum Shown {
    /// Not known yet.
    Waits,
    /// Known, and not fetched yet.
    Given(Page),
    /// Fetched at least once.
    Fetched(Page),
    /// Nobody will ever say.
    Abandoned,
}

impl Slot {
    /// One that came with the query of this hash.
    pub(super) fn new(hash: String) -> Self {
        let mut bytes = [0; 16];
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            // The page shows no secret; its name only has to be another each time.
            fastrand::fill(&mut bytes);
        }
        Self {
            name: URL_SAFE_NO_PAD.encode(bytes),
            query: hash,
            page: watch::Sender::new(Shown::Waits),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Says what its page is.
    pub(super) fn give(&self, page: Page) {
        self.page.send_replace(Shown::Given(page));
    }

    /// Says that nobody will, unless somebody has.
    pub(super) fn abandon(&self) {
        self.page.send_if_modified(|shown| {
            let waits = matches!(shown, Shown::Waits);
            if waits {
                *shown = Shown::Abandoned;
            }
            waits
        });
    }

    /// Its page once it is known, which is then fetched; nothing when nobody says. Cancel-safe.
    pub(super) async fn fetch(&self) -> Option<Page> {
        self.until(|shown| !matches!(shown, Shown::Waits)).await;
        let mut found = None;
        self.page.send_modify(|shown| {
            if let Shown::Given(page) | Shown::Fetched(page) = shown {
                found = Some(page.clone());
                *shown = Shown::Fetched(page.clone());
            }
        });
        found
    }

    async fn fetched(&self) {
        self.until(|shown| !matches!(shown, Shown::Given(_))).await;
    }

    async fn until(&self, enough: impl Fn(&Shown) -> bool) {
        let mut page = self.page.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = page.wait_for(|shown| enough(shown)).await;
    }

    fn is_over(&self) -> bool {
        matches!(*self.page.borrow(), Shown::Fetched(_) | Shown::Abandoned)
    }
}
