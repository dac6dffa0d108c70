//! The stored form of a record: JSON that says what it is, plain or sealed.
//!
//! ```json
//! {"bearward": 1, "grant": "crm", "generation": 7, "record": {…}}
//! {"bearward": 1, "grant": "crm", "generation": 7, "key": "1f0c9a27", "sealed": "…"}
//! ```
//!
//! What always holds: bytes are read as a record only if they are one wholly, of a form that
//! this version knows, for this very grant; anything else is a [`Fault`], which shows nothing of
//! the bytes. A sealed record opens only in the engine, for the grant and under the generation
//! that it was sealed for. Members of the envelope that this version does not know are kept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use tracing::info;

use super::key::Keys;
use super::record::SCHEMA;
use super::{Error, ErrorKind, Key, Record, Unknown};
use crate::config::GrantName;
use crate::secret::Secret;

/// The largest stored record in bytes, written or read: far above what a token answer can bring.
pub(super) const LARGEST: usize = 4 << 20;
/// The version of the envelope's form that this program writes.
const FORM: u32 = 1;

/// Turns one grant's records into stored bytes and back.
#[derive(Debug)]
pub(super) struct Codec {
    /// The kind of engine that keeps the bytes, as part of what a sealed record is bound to.
    pub(super) engine: &'static str,
    pub(super) grant: GrantName,
    pub(super) keys: Keys,
}

/// A record as it was found.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    /// The id of the key that it was sealed with, if it was.
    pub(super) key: Option<String>,
    /// Members of the envelope that this version does not know.
    pub(super) other: Unknown,
}

/// The envelope as it is written.
#[derive(Serialize)]
struct Outgoing<'a> {
    bearward: u32,
    grant: &'a str,
    generation: u64,
    #[serde(flatten)]
    content: Content<'a>,
    #[serde(flatten)]
    other: &'a Unknown,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Plain { record: &'a Record },
    Sealed { key: &'a str, sealed: String },
}

/// The envelope as it is read.
#[derive(Deserialize)]
struct Incoming {
    // These two are judged by their `Mark`; here they only must not count as unknown.
    #[serde(rename = "bearward")]
    _form: u32,
    #[serde(rename = "grant")]
    _grant: String,
    generation: u64,
    key: Option<String>,
    sealed: Option<String>,
    record: Option<Record>,
    #[serde(flatten)]
    other: Unknown,
}

/// The little of an envelope that every version has; read first, so that a newer form is called
/// newer and not garbled.
#[derive(Deserialize)]
struct Mark {
    bearward: u32,
    grant: String,
    record: Option<RecordMark>,
}

/// The same of a record.
#[derive(Deserialize)]
struct RecordMark {
    schema: u32,
}

/// What compare-and-swap compares.
#[derive(Deserialize)]
struct GenerationMark {
    generation: u64,
}

impl Codec {
    /// The bytes to store, sealed if there is a key to seal with.
    pub(super) fn encode(
        &self,
        record: &Record,
        other: &Unknown,
    ) -> Result<Secret<Vec<u8>>, Error> {
        let content = match self.keys.sealing() {
            None => Content::Plain { record },
            Some(key) => Content::Sealed {
                key: key.id(),
                sealed: self.seal(key, record)?,
            },
        };
        let envelope = Outgoing {
            bearward: FORM,
            grant: self.grant.as_str(),
            generation: record.generation,
            content,
            other,
        };
        let bytes = Secret::new(serde_json::to_vec(&envelope).map_err(unwritable)?);
        if bytes.expose().len() > LARGEST {
            let message = format!("the record is larger than {} MiB", LARGEST >> 20);
            return Err(Error::new(ErrorKind::Refused, message)
                .with_hint("let `capture` keep less of the token answer"));
        }
        Ok(bytes)
    }

    /// The record in `bytes`.
    pub(super) fn decode(&self, bytes: &Secret<Vec<u8>>) -> Result<Stored, Fault> {
        let bytes = bytes.expose();
        self.recognise(bytes)?;
        let envelope: Incoming = serde_json::from_slice(bytes).map_err(|e| Fault::json(&e))?;
        let (record, key) = match (envelope.record, envelope.key, envelope.sealed) {
            (Some(record), None, None) => (record, None),
            (None, Some(key), Some(sealed)) => {
                let record = self.open(&key, envelope.generation, &sealed)?;
                (record, Some(key))
            }
            _ => return Err(Fault::garbled("it is neither plain nor sealed")),
        };
        if record.generation != envelope.generation {
            return Err(Fault::two_generations());
        }
        let other = envelope.other;
        Ok(Stored { record, key, other })
    }

    /// The generation of the record in `bytes`, opened or not.
    pub(super) fn generation(&self, bytes: &Secret<Vec<u8>>) -> Result<u64, Fault> {
        let bytes = bytes.expose();
        self.recognise(bytes)?;
        let mark: GenerationMark = serde_json::from_slice(bytes).map_err(|e| Fault::json(&e))?;
        Ok(mark.generation)
    }

    fn recognise(&self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Err(Fault::garbled("it is empty"));
        }
        if bytes.len() > LARGEST {
            return Err(Fault::too_large());
        }
        let mark: Mark = serde_json::from_slice(bytes).map_err(|e| Fault::json(&e))?;
        if mark.bearward != FORM {
            return Err(Fault::form(mark.bearward, FORM));
        }
        if mark.grant != self.grant.as_str() {
            // Ours or not, the name comes from outside: escaped and bounded.
            let name: String = mark.grant.escape_debug().take(63).collect();
            return Err(Fault::foreign(format!("it belongs to the grant `{name}`")));
        }
        mark.record.map_or(Ok(()), RecordMark::check)
    }

    /// Says so when a stored record is not sealed as the next one will be.
    pub(super) fn announce(&self, stored: &Stored) {
        let grant = &self.grant;
        match (stored.key.as_deref(), self.keys.sealing().map(Key::id)) {
            (None, Some(key)) => {
                info!(%grant, key, "the stored grant is plain and is sealed at the next save");
            }
            (Some(old), Some(key)) if old != key => {
                info!(%grant, old, key, "the stored grant gets the new key at the next save");
            }
            (Some(old), None) => {
                info!(%grant, old, "the stored grant is sealed and gets plain at the next save");
            }
            _ => {}
        }
    }

    fn seal(&self, key: &Key, record: &Record) -> Result<String, Error> {
        let text = serde_json::to_vec(record).map_err(unwritable)?;
        let context = self.context(record.generation, key.id());
        let sealed = key.seal(&context, text).map_err(|cause| {
            Error::new(ErrorKind::Away, "the record cannot be sealed").because(cause)
        })?;
        Ok(STANDARD.encode(sealed))
    }

    fn open(&self, key: &str, generation: u64, sealed: &str) -> Result<Record, Fault> {
        let Some(key) = self.keys.find(key) else {
            return Err(Fault::locked(key, &self.keys.ids()));
        };
        let damaged = || Fault::garbled("its seal is broken");
        let sealed = STANDARD.decode(sealed).map_err(|_| damaged())?;
        let context = self.context(generation, key.id());
        let text = key.open(&context, &sealed).map_err(|_| damaged())?;
        let text = text.expose();
        let mark: RecordMark = serde_json::from_slice(text).map_err(|e| Fault::json(&e))?;
        mark.check()?;
        serde_json::from_slice(text).map_err(|e| Fault::json(&e))
    }

    /// What a seal is bound to. No part of it can hold a blank, so it can be read in one way only.
    fn context(&self, generation: u64, key: &str) -> String {
        format!(
            "bearward/1 {} {} {generation} {key}",
            self.engine, self.grant
        )
    }
}

impl RecordMark {
    fn check(self) -> Result<(), Fault> {
        if self.schema == SCHEMA {
            return Ok(());
        }
        Err(Fault::form(self.schema, SCHEMA))
    }
}

/// Only a map whose keys are no strings could do that, and a record has none.
fn unwritable(cause: serde_json::Error) -> Error {
    Error::new(ErrorKind::Refused, "the record cannot be written as JSON").because(cause)
}

/// Why bytes are not the record that is looked for. Shows nothing of them.
#[derive(Debug)]
pub(super) struct Fault {
    what: String,
    hint: &'static str,
}

const RESTORE: &str = "nothing was changed; restore it from a backup, or move it away and \
                       `bearward import` the grant anew";
const ELSEWHERE: &str = "give each grant a place of its own in the configuration";
const NEWER: &str = "run the version of bearward that wrote it, or a newer one";
const LOCKED: &str = "name the key that it was sealed with under `key` or `old_keys`";

impl Fault {
    /// What a person can do about it.
    pub(super) fn hint(&self) -> &'static str {
        self.hint
    }

    /// It is larger than any record.
    pub(super) fn too_large() -> Self {
        Self::foreign(format!("it is larger than {} MiB", LARGEST >> 20))
    }

    /// The generation stands there twice, and not the same.
    pub(super) fn two_generations() -> Self {
        Self::garbled("it names two generations")
    }

    /// A part of it is not there, or cannot be a part of it.
    pub(super) fn incomplete() -> Self {
        Self::garbled("a part of it is missing or not what it should be")
    }

    fn garbled(what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            what,
            hint: RESTORE,
        }
    }

    fn foreign(what: String) -> Self {
        let hint = ELSEWHERE;
        Self { what, hint }
    }

    fn form(found: u32, known: u32) -> Self {
        let what = format!("it has form {found} and this version knows form {known}");
        let hint = if found > known { NEWER } else { RESTORE };
        Self { what, hint }
    }

    fn locked(wanted: &str, present: &[&str]) -> Self {
        let wanted: String = wanted.escape_debug().take(16).collect();
        let present = if present.is_empty() {
            String::from("no key is configured")
        } else {
            format!("configured are `{}`", present.join("`, `"))
        };
        let what = format!("it is sealed with the key `{wanted}`, and {present}");
        Self { what, hint: LOCKED }
    }

    /// By category alone: the parser's own words can repeat what it read, a token for example.
    fn json(error: &serde_json::Error) -> Self {
        match error.classify() {
            Category::Eof => Self::garbled("it breaks off"),
            Category::Data => Self::garbled("a member is missing or of the wrong kind"),
            Category::Syntax | Category::Io => Self::garbled("it is not JSON"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}
