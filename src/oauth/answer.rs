//! What a token endpoint's answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::secret::Secret;

/// What came of a token request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// New tokens.
    Success(Box<Tokens>),
    /// None, and why.
    Failed(Failure),
}

/// The tokens of a successful answer (RFC 6749 §5.1), told leniently.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// The new access token; never empty, never with a character a header cannot carry.
    pub access_token: Secret<String>,
    /// The new refresh token; nothing means: keep the one you have (absent, null or empty).
    pub refresh_token: Option<Secret<String>>,
    /// When the access token ends.
    pub expires: Expires,
    /// The refresh token's own lifetime, where the server tells one.
    pub refresh_expires_in: Option<Duration>,
    /// The scope granted, where told.
    pub scope: Option<String>,
    /// The members that `capture` asks for, by their path.
    pub captured: BTreeMap<String, Value>,
}

/// When an access token ends, as its answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    /// After this long, from the moment the request was sent.
    In(Duration),
    /// At this moment of the server's clock.
    At(Timestamp),
    /// The answer does not say (absent, 0, negative): a default applies.
    Untold,
}

/// Why a token request brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What follows from it.
    pub class: Class,
    /// A short code for logs, metrics and the caller: the server's error code cut to a safe
    /// alphabet and length, or our own word (`connect_refused`, `html`, `truncated` …). Never free text.
    pub code: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// A new refresh token that came although no usable access token did: it must be kept.
    pub rotated: Option<Secret<String>>,
}

/// What follows from a failed token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Nothing was spent: back off and try again.
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
