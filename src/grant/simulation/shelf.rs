//! A model of a store: one record, and a law that every save is held against.

use super::server::Server;
use super::world::numbered;
use crate::store::{ErrorKind, Record};

/// One record on a shelf.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) record: Option<Record>,
}

impl Shelf {
    pub(super) fn generation(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.generation)
    }

    /// Saves as every store does. The outer error is a law that was broken.
    pub(super) fn save(
        &mut self,
        record: &Record,
        if_generation: Option<u64>,
        server: &Server,
    ) -> Result<Result<(), ErrorKind>, String> {
        if self.record.as_ref() == Some(record) {
            return Ok(Ok(()));
        }
        if self.generation() != if_generation {
            return Ok(Err(ErrorKind::Conflict));
        }
        if let Some(stored) = &self.record {
            if record.generation <= stored.generation {
                return Err(format!(
                    "the generation falls from {} to {}",
                    stored.generation, record.generation
                ));
            }
            let (Some(new), Some(old)) = (numbered(record), numbered(stored)) else {
                // A grant that was taken back, or one that begins after it: see `check_send`.
                self.record = Some(record.clone());
                return Ok(Ok(()));
            };
            let (new_family, old_family) = (server.family(new), server.family(old));
            let late = new_family != old_family && server.is_enrolled(new_family);
            if (new_family, new) < (old_family, old) && !late {
                return Err(format!(
                    "refresh token {old} (family {old_family}) is overwritten by the older {new} (family {new_family})"
                ));
            }
        }
        self.record = Some(record.clone());
        Ok(Ok(()))
    }
}
