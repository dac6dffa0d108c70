//! Why a store could not do what it was asked.
//!
//! What always holds: the text of an error says this level only and shows no secret; what lies
//! below is its `source()`, and what a person can do about it is its [`hint`](Error::hint).

use std::fmt;

/// Why a store could not load or save.
#[derive(Debug)]
pub struct Error {
    /// What kind of trouble it is.
    pub kind: ErrorKind,
    message: String,
    hint: Option<String>,
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
    /// What was asked will not do and waiting does not help: a folder that others can write, a
    /// key of the wrong form, a record that is too large.
    Refused,
    /// The engine is away: disk full, permission, network. Trying again can help.
    Away,
}

impl ErrorKind {
    /// Every kind, for whoever counts by kind.
    pub const ALL: [Self; 5] = [
        Self::Held,
        Self::Unreadable,
        Self::Conflict,
        Self::Refused,
        Self::Away,
    ];

    /// The kind as one word, for metrics and log fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Unreadable => "unreadable",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Away => "away",
        }
    }
}

impl Error {
    /// An error of this kind, in words that show no secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same error with the way out.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The same error with what lies below it.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
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
