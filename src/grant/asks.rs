//! What handles ask of a keeper, on a slate and not in a queue: ten thousand asks take the room
//! of one.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::Denied;
use super::event::{Means, Settled, Standing};
use super::parts::Parts;
use crate::store::Record;

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

/// What a person asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Put this grant in.
    Import(Box<Record>),
    /// Take the grant back.
    Disown(Means),
}

/// Where a person hears what came of it. Dropped unheard: another request took its place.
pub(super) type Reply = oneshot::Sender<Result<Settled, Denied>>;

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) wanted: bool,
    pub(super) demanded: bool,
    pub(super) request: Option<(Request, Reply)>,
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

    /// Has the keeper do what a person asks for; a request that it has not heard yet gives way.
    pub(super) fn request(&self, request: Request) -> oneshot::Receiver<Result<Settled, Denied>> {
        let (reply, answer) = oneshot::channel();
        self.change(|pending| pending.request = Some((request, reply)));
        answer
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
