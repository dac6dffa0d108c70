//! Where a secret comes from. A secret itself never stands in the configuration file.

use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::secret::Secret;

/// The largest secret that is read: more is a mistaken path, not a secret.
const LARGEST: u64 = 1 << 20;

/// A reference to a secret: `{ file = "/run/secrets/…" }` or `{ env = "NAME" }`.
///
/// It is read again at each use, so that a rotated file is taken up by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The content of a file, without the line end at its end.
    File(PathBuf),
    /// The value of an environment variable.
    Env(String),
}

impl Source {
    /// Reads the secret now.
    pub fn read(&self) -> Result<Secret<String>, SourceError> {
        let text = match self {
            Self::File(path) => read_file(path).map_err(|cause| self.error(Some(cause)))?,
            Self::Env(name) => std::env::var(name).map_err(|_| self.error(None))?,
        };
        let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
        drop(Secret::new(text));
        if secret.expose().is_empty() {
            return Err(SourceError {
                source: self.clone(),
                problem: Problem::Empty,
            });
        }
        Ok(secret)
    }

    fn error(&self, cause: Option<std::io::Error>) -> SourceError {
        let problem = cause.map_or(Problem::Unset, Problem::Unreadable);
        SourceError {
            source: self.clone(),
            problem,
        }
    }
}

fn read_file(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Env(name) => write!(f, "environment variable `{name}`"),
        }
    }
}

/// A secret that could not be read. Says where, never what.
#[derive(Debug)]
pub struct SourceError {
    source: Source,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Unset,
    Empty,
    Unreadable(std::io::Error),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Unset => write!(f, "{} is not set", self.source),
            Problem::Empty => write!(f, "{} is empty", self.source),
            Problem::Unreadable(_) => write!(f, "{} cannot be read", self.source),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(cause) => Some(cause),
            Problem::Unset | Problem::Empty => None,
        }
    }
}

/// What seals a record in a store that others can read: a key, or the word `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKey {
    /// The record is stored as plain text, and somebody has said so.
    None,
    /// It is sealed with this key.
    Of(Source),
}

impl StoreKey {
    /// Where the key is, if there is one.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::None => None,
            Self::Of(source) => Some(source),
        }
    }

    /// The word for [`StoreKey::None`].
    pub(super) const NONE: &str = "none";
}

impl Serialize for StoreKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str(Self::NONE),
            Self::Of(source) => source.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StoreKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Text::deserialize(deserializer)? {
            Text::Secret(source) => Ok(Self::Of(source)),
            Text::Literal(text) if text == Self::NONE => Ok(Self::None),
            // Whatever else it is may be a key.
            Text::Literal(_) => Err(de::Error::custom("a key never stands in this file")),
        }
    }
}

impl JsonSchema for StoreKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StoreKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let source = generator.subschema_for::<Source>();
        json_schema!({
            "description": "A reference to a key, or `none`.",
            "anyOf": [{ "const": Self::NONE }, source],
        })
    }
}

/// A text that is written here, or a secret that is read from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Text {
    /// Written in the file; not a secret.
    Literal(String),
    /// A reference to a secret.
    Secret(Source),
}

impl Text {
    /// The text now; a literal is handed out as it stands.
    pub fn read(&self) -> Result<Secret<String>, SourceError> {
        match self {
            Self::Literal(text) => Ok(Secret::new(text.clone())),
            Self::Secret(source) => source.read(),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// By hand instead of `untagged`, which would lose the place of a fault.
struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, `{ file = \"…\" }` or `{ env = \"…\" }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::Literal(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
        Source::deserialize(MapAccessDeserializer::new(map)).map(Text::Secret)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let source = generator.subschema_for::<Source>();
        json_schema!({
            "description": "A text, or a reference to a secret.",
            "anyOf": [{ "type": "string" }, source],
        })
    }
}
