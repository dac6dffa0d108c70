//! An error as a server tells it to a person who logs in: code, words, page.
//!
//! What always holds: all of it comes from afar, so it is short, on one line and without control
//! characters, and shows none of the secrets of the request that it answers.

use std::fmt;

use serde_json::Value;

use crate::oauth::bearable::bearable;
use crate::oauth::code;
use crate::secret::Secret;

/// What a server says went wrong (RFC 6749 §4.1.2.1, §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The error code.
    pub error: String,
    /// The server's own words, where it has any.
    pub description: Option<String>,
}

impl Complaint {
    /// An error code with the server's own words.
    pub fn new(error: &str, description: Option<&str>) -> Self {
        let description = description
            .map(bearable)
            .filter(|description| !description.is_empty());
        Self {
            error: code::shown(error).map_or_else(|| code::CONCEALED.to_owned(), str::to_owned),
            description,
        }
    }

    /// Reads the JSON error of a reply; a reply without one is told by its status.
    pub fn read(status: http::StatusCode, body: &[u8]) -> Self {
        let members: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        match text("error") {
            Some(error) => Self::new(error, text("error_description").or(text("message"))),
            None => Self::new(&format!("http_{}", status.as_u16()), text("message")),
        }
    }

    /// The same complaint; its words are left out where they show `secret`.
    #[must_use]
    pub fn without(mut self, secret: &Secret<String>) -> Self {
        let secret = secret.expose();
        let quotes = |text: &str| secret.len() >= 4 && text.contains(secret);
        if self.description.as_deref().is_some_and(quotes) {
            self.description = None;
        }
        if code::shows(&self.error, secret) {
            code::CONCEALED.clone_into(&mut self.error);
        }
        self
    }

    /// What the code means, for a person, with what can be done; nothing for a code that nobody
    /// has described.
    pub fn words(&self) -> Option<&'static str> {
        WORDS
            .iter()
            .find(|(code, _)| *code == self.error)
            .map(|(_, words)| *words)
    }
}

/// RFC 6749 §4.1.2.1 and §5.2, OpenID Connect Core §3.1.2.6, RFC 8628 §3.5, RFC 8707 §2.
const WORDS: [(&str, &str); 16] = [
    (
        "access_denied",
        "consent was refused, by the person or by a rule of the server",
    ),
    (
        "invalid_scope",
        "the server does not know a scope that was asked for; compare `scope` with what the client may ask",
    ),
    (
        "unauthorized_client",
        "this client may not log in this way; allow it in the server's console",
    ),
    (
        "unsupported_response_type",
        "the server has no authorization code flow for this client",
    ),
    (
        "invalid_request",
        "the server misses or refuses a parameter; `redirect_uri` must be registered exactly as it is sent",
    ),
    (
        "invalid_request_uri",
        "the pushed request has expired or is unknown; log in once more",
    ),
    ("server_error", "the server failed; try again in a moment"),
    (
        "temporarily_unavailable",
        "the server is busy; try again in a moment",
    ),
    (
        "invalid_client",
        "the server does not accept the client's own credential; check `client_id`, `client_secret` and `client_auth`",
    ),
    (
        "invalid_grant",
        "the code was not accepted: it was used already, has expired, or belongs to another redirect or verifier",
    ),
    (
        "unsupported_grant_type",
        "the server does not offer this way of logging in to this client",
    ),
    (
        "login_required",
        "the server wants the person to sign in, which `prompt=none` forbids",
    ),
    (
        "consent_required",
        "the server wants the person's consent, which a parameter of `authorize.params` forbids",
    ),
    (
        "interaction_required",
        "the server wants to ask the person something, which a parameter forbids",
    ),
    (
        "expired_token",
        "the code has expired before anybody answered; log in once more",
    ),
    (
        "invalid_target",
        "the server does not know a `resource` that was asked for",
    ),
];

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        match &self.description {
            Some(description) => write!(f, " (\"{description}\")"),
            None => Ok(()),
        }
    }
}
