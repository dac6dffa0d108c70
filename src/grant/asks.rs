//! What handles ask of a keeper, on a slate and not in a queue: ten thousand asks take the room
//! of one.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::event::Standing;
use super::keeper::Parts;
use crate::secret::Secret;

/// What handles ask of the keeper; asking many times is asking once.
#[derive(Debug, Default)]
pub(super) struct Asks {
    pending: Mutex<Pending>,
    call: Notify,
}

/// What somebody needs of a keeper.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    /// A token: there is none that lives.
    Token,
    /// Another: an upstream refused the one of this generation.
    Another(u64, Standing),
    /// Another, because an operator says so.
    Refresh,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) wanted: bool,
    pub(super) demanded: bool,
    pub(super) import: Option<Secret<String>>,
    pub(super) rejected: Option<(u64, Standing)>,
    pub(super) parts: Option<Box<Parts>>,
    pub(super) retire: bool,
}

impl Asks {
    pub(super) fn ask(&self, ask: Ask) {
        self.change(|pending| match ask {
            Ask::Token => pending.wanted = true,
            Ask::Refresh => pending.demanded = true,
            Ask::Another(generation, standing) => {
                pending.rejected = pending.rejected.max(Some((generation, standing)));
            }
        });
    }

    pub(super) fn import(&self, refresh_token: Secret<String>) {
        self.change(|pending| pending.import = Some(refresh_token));
    }

    pub(super) fn reconfigure(&self, parts: Parts) {
        self.change(|pending| pending.parts = Some(Box::new(parts)));
    }

    pub(super) fn retire(&self) {
        self.change(|pending| pending.retire = true);
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.call.notify_one();
    }

    pub(super) async fn called(&self) {
        self.call.notified().await;
    }

    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
