//! What somebody hands in: a refresh token typed by a person, a record posted by a command.
//!
//! What always holds: a [`RefreshToken`] that exists is one token of visible ASCII, and nobody
//! checks it again; a refusal shows nothing of what it refuses.

use std::fmt;

use super::record::SCHEMA;
use super::{Record, State, Unknown};
use crate::secret::Secret;

/// A refresh token that came from a person: visible ASCII (RFC 6749 §A.17; the blank that it has
/// too is here a sign of two words), at most [`RefreshToken::LONGEST`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken(Secret<String>);

/// The text is no refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken;

impl RefreshToken {
    /// More bytes are no refresh token.
    pub const LONGEST: usize = 64 * 1024;

    /// Takes `text` as it is; blanks around it are the caller's to take off.
    pub fn new(text: Secret<String>) -> Result<Self, NotAToken> {
        let token = text.expose();
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=Self::LONGEST).contains(&token.len());
        if visible && fits {
            Ok(Self(text))
        } else {
            Err(NotAToken)
        }
    }

    /// The token itself.
    pub fn into_secret(self) -> Secret<String> {
        self.0
    }
}

/// Why bytes that were handed in are no record to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotARecord {
    /// They are not the JSON of a record.
    Malformed,
    /// It is of another version's form, or has members that this version does not know.
    OtherVersion,
    /// It is a record, but of no grant that lives.
    NoGrant,
}

impl Record {
    /// The most bytes of a record that is handed in.
    pub const LARGEST_HANDED_IN: usize = 256 * 1024;

    /// Reads a record that somebody hands in. It is read more strictly than a stored one: what
    /// this version does not know would be kept and never understood.
    pub fn handed_in(bytes: &[u8]) -> Result<Self, NotARecord> {
        let record: Self = serde_json::from_slice(bytes).map_err(|_| NotARecord::Malformed)?;
        if record.schema != SCHEMA || record.other != Unknown::default() {
            return Err(NotARecord::OtherVersion);
        }
        if record.state != State::Live {
            return Err(NotARecord::NoGrant);
        }
        // The server's own token may hold blanks (RFC 6749 §A.17), a header's cannot hold more.
        let is_text = |token: &Secret<String>| {
            let bytes = token.expose().as_bytes();
            let printable = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
            printable && !bytes.is_empty() && bytes.len() <= RefreshToken::LONGEST
        };
        let access = record.access_token.as_ref();
        if is_text(&record.refresh_token) && access.is_none_or(|access| is_text(&access.value)) {
            Ok(record)
        } else {
            Err(NotARecord::Malformed)
        }
    }
}

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a refresh token is one word of visible ASCII, of at most 64 KiB")
    }
}

impl std::error::Error for NotAToken {}

impl NotARecord {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "it is no record of a grant",
            Self::OtherVersion => "the record is of another version's form",
            Self::NoGrant => "the record is of a grant that does not live",
        }
    }
}

impl fmt::Display for NotARecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for NotARecord {}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_refresh_token_is_one_visible_word() {
        let longest = "x".repeat(RefreshToken::LONGEST);
        for text in ["t", "1//0g-_.~+/=", longest.as_str()] {
            assert!(RefreshToken::new(secret(text)).is_ok());
        }
        let longer = "x".repeat(RefreshToken::LONGEST + 1);
        for text in ["", " ", "two words", "b\u{e4}r", "a\n", longer.as_str()] {
            assert_eq!(RefreshToken::new(secret(text)), Err(NotAToken));
        }
    }

    #[test]
    fn a_record_is_handed_in_wholly_or_not_at_all() {
        let whole = serde_json::to_value(Record::new(secret("rt"), Timestamp::UNIX_EPOCH)).unwrap();
        let with = |member: &str, value: Value| {
            let mut changed = whole.clone();
            changed[member] = value;
            Record::handed_in(changed.to_string().as_bytes())
        };
        assert!(with("scope", json!("crm.read")).is_ok());
        for (member, value, why) in [
            ("schema", json!(2), NotARecord::OtherVersion),
            ("dpop_key", json!("…"), NotARecord::OtherVersion),
            (
                "state",
                json!({ "revoked": { "since": "2026-01-01T00:00:00Z" } }),
                NotARecord::NoGrant,
            ),
            ("refresh_token", json!(""), NotARecord::Malformed),
            ("refresh_token", json!("a\nb"), NotARecord::Malformed),
            ("obtained_at", json!(7), NotARecord::Malformed),
        ] {
            assert_eq!(with(member, value), Err(why), "{member}");
        }
        assert_eq!(Record::handed_in(b"rt-1"), Err(NotARecord::Malformed));
    }
}
