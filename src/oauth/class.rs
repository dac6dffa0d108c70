//! What follows from a failed token request.

/// What follows from a failed token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Nothing was spent, or its successor came along: back off and try again.
    Later,
    /// The request was sent and may have succeeded: the refresh token may be spent.
    Ambiguous,
    /// The server says the grant is dead; to be confirmed once.
    Dead,
    /// The client's own credential is refused; the grant is intact.
    ClientBroken,
    /// The request itself is refused; only a changed configuration helps.
    Configuration,
    /// A refusal nobody has described: back off, never delete.
    Unknown,
}

impl Class {
    /// Its name in logs, metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Later => "later",
            Self::Ambiguous => "ambiguous",
            Self::Dead => "dead",
            Self::ClientBroken => "client_broken",
            Self::Configuration => "configuration",
            Self::Unknown => "unknown",
        }
    }
}
