//! What a token endpoint's answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::oauth::class::Class;
use crate::oauth::code;
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
    /// The new access token: 1 to 64 KiB of visible ASCII and spaces (RFC 6749 §A.12), so that a
    /// header can carry it.
    pub access_token: Secret<String>,
    /// The new refresh token; nothing means: keep the one you have (absent, null or empty).
    pub refresh_token: Option<Secret<String>>,
    /// When the access token ends.
    pub expires: Expires,
    /// The refresh token's own lifetime, where the server tells one.
    pub refresh_expires_in: Option<Duration>,
    /// The scope granted, where told.
    pub scope: Option<String>,
    /// The ID token (OpenID Connect Core §3.1.3.3) as it came, up to 64 KiB; nothing of it is
    /// checked yet.
    pub id_token: Option<Secret<String>>,
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
    /// How long the server asks to be left alone; at most an hour.
    pub retry_after: Option<Duration>,
    /// A new refresh token that came although no usable access token did. The server has rotated:
    /// the one that was sent is spent, so this one is to be saved, whatever the class.
    ///
    /// It never stands beside [`Class::Ambiguous`]: nothing is ambiguous any more once it is known.
    pub rotated: Option<Secret<String>>,
}

impl Failure {
    /// A failure of this class, told in one of our own words.
    pub fn new(class: Class, code: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            retry_after: None,
            rotated: None,
        }
    }

    /// The same failure; its code is replaced where it shows a part of `secret`, for a server
    /// may quote what was sent to it.
    #[must_use]
    pub fn without(mut self, secret: &Secret<String>) -> Self {
        if code::shows(&self.code, secret.expose()) {
            code::CONCEALED.clone_into(&mut self.code);
        }
        self
    }
}
