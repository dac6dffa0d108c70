//! Where a grant's record is kept.
//!
//! What always holds: a save either happened wholly and durably or not at all; a record that
//! cannot be read is an error and is never treated as empty, nor overwritten.

mod record;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use record::{AccessToken, Death, Intent, Record, State};

/// A future of a store's answer; boxed, because stores are chosen at run time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// One grant's record in some engine.
pub trait Store: Send + Sync + fmt::Debug {
    /// The record, or nothing when none was ever saved.
    fn load(&self) -> Answer<'_, Option<Record>>;

    /// Saves `record` durably, provided that the stored generation is still `if_generation`
    /// (nothing: no record is stored).
    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()>;
}

/// Why a store could not load or save.
#[derive(Debug)]
pub struct Error {
    /// What kind of trouble it is.
    pub kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kind of trouble a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another process holds it.
    Held,
    /// What is stored cannot be read: truncated, foreign, or sealed with another key.
    Unreadable,
    /// Somebody else saved in between.
    Conflict,
    /// The engine is away or refuses: disk full, permission, network.
    Away,
}

impl ErrorKind {
    /// Its name in logs, metrics and replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "store_held",
            Self::Unreadable => "store_unreadable",
            Self::Conflict => "store_conflict",
            Self::Away => "store_away",
        }
    }
}

impl Error {
    /// An error of this kind, in words, with what lies below.
    pub fn new(
        kind: ErrorKind,
        message: impl Into<String>,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
