//! The body of a token answer as members, whatever its form.
//!
//! What always holds: reading never fails and never panics; what was whole before a cut is kept;
//! depth is bounded by the JSON reader (128), size by whoever read the body; every text of it is
//! wiped when it is dropped.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::secret::Secret;

/// What a body holds.
pub(super) enum Content {
    /// Nothing but space.
    Empty,
    /// Members, from a JSON object or a form.
    Members(Members),
    /// The members that stood whole before the JSON broke, and a word for how it broke.
    Broken(Members, &'static str),
    /// A page for people.
    Page,
    /// Anything else.
    Opaque,
}

/// The members of an answer.
pub(super) struct Members {
    value: Value,
    form: Form,
}

/// The form of a body with members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An object, which says itself where it ends.
    Json,
    /// Pairs, which do not: a cut one looks like a whole one.
    Pairs,
}

impl Members {
    /// The members as a JSON value.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// What they were read from.
    pub(super) fn form(&self) -> Form {
        self.form
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        wipe(&mut self.value);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Content {
    /// Reads a body by what it looks like; its `Content-Type` decides only where looks do not,
    /// for many servers label it wrongly.
    ///
    /// Bytes that are no UTF-8 are replaced: they stand in descriptions, which nobody reads, and
    /// a token that had some could not be used anyway.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let text = Secret::new(String::from_utf8_lossy(body).into_owned());
        let text = text.expose().trim_start_matches('\u{feff}').trim();
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        match text.as_bytes().first() {
            None => Self::Empty,
            Some(b'{') => json(text),
            Some(b'<') => Self::Page,
            Some(_) if content_type.contains("html") => Self::Page,
            Some(_) if looks_like_a_form(text) => form(text),
            Some(_) => Self::Opaque,
        }
    }
}

/// A name, `=`, and no space, quote or bracket anywhere, which a form would have encoded.
fn looks_like_a_form(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    text.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(plain))
        && !text.contains(|c: char| c.is_whitespace() || "\"{}<>".contains(c))
}

fn form(text: &str) -> Content {
    let members: Map<String, Value> = form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    Content::Members(Members {
        value: Value::Object(members),
        form: Form::Pairs,
    })
}

/// Reads one JSON object. What follows it is not looked at: some servers end it with a NUL byte
/// or a stray character, and the tokens before that are good.
fn json(text: &str) -> Content {
    let mut members = Members {
        value: Value::Null,
        form: Form::Json,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    match (&mut reader).deserialize_any(Slot(&mut members.value)) {
        Ok(()) => Content::Members(members),
        Err(error) if error.is_eof() => Content::Broken(members, "truncated"),
        Err(_) => Content::Broken(members, "not_json"),
    }
}

/// A place that a JSON value is read into member by member, so that the whole ones stay when the
/// reader fails later. Of members with the same name the last counts.
struct Slot<'a>(&'a mut Value);

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        *self.0 = Value::Bool(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        *self.0 = Value::from(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        *self.0 = Value::from(value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        *self.0 = Value::from(value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        *self.0 = Value::from(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut array = Vec::new();
        let mut slot = Value::Null;
        while items.next_element_seed(Slot(&mut slot))?.is_some() {
            array.push(std::mem::take(&mut slot));
        }
        *self.0 = Value::Array(array);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        *self.0 = Value::Object(Map::new());
        let Value::Object(members) = self.0 else {
            return Ok(());
        };
        while let Some(name) = entries.next_key::<String>()? {
            let slot = members.entry(name).or_insert(Value::Null);
            *slot = Value::Null;
            entries.next_value_seed(Slot(slot))?;
        }
        Ok(())
    }
}
