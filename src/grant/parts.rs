//! What a keeper works with, and the machine that it begins with.

use std::sync::Arc;

use super::chores::log_store;
use super::event::Settings;
use super::state::Machine;
use crate::config;
use crate::issuer::Issuer;
use crate::store::{Error, ErrorKind, Holder, Sharing, Store};

/// What a keeper works with; on a reload it is given other parts and goes on.
#[derive(Debug)]
pub struct Parts {
    /// The grant's section.
    pub settings: config::Grant,
    /// The authorization server.
    pub issuer: Arc<Issuer>,
    /// Where the record is kept.
    pub store: Arc<dyn Store>,
    /// The name of this one keeper, by which it leases and writes intents; it stays on a reload.
    pub holder: Holder,
}

impl Parts {
    pub(super) fn settings(&self) -> Settings {
        Settings::of(&self.settings, self.store.sharing(), &self.holder)
    }

    /// A machine for what the store holds. Where others share the store, one that is away does
    /// not stop a start: it is read when it can be.
    pub(super) async fn machine(&self) -> Result<Machine, Error> {
        let (settings, dice) = (self.settings(), fastrand::u64(..));
        match self.store.load().await {
            Ok(record) => Ok(Machine::new(settings, record, dice)),
            Err(error) if error.kind == ErrorKind::Away && settings.sharing == Sharing::Shared => {
                log_store(error);
                Ok(Machine::unread_yet(settings, dice))
            }
            Err(error) => Err(error),
        }
    }
}
