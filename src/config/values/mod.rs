//! The units of the file: lengths of time, sizes, addresses, URLs and names.
//!
//! What always holds: a value that exists is well-formed; nobody checks it again.

/// Gives a value type its text form in the file: serde through `FromStr` and `Display`, and a
/// JSON Schema of a string with a pattern.
macro_rules! text_value {
    ($type:ident, $name:literal, $pattern:literal, $description:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

mod amounts;
mod objects;
mod places;
#[cfg(test)]
mod tests;

use std::fmt;

pub use amounts::{Deadline, Margin, Period, Size};
pub use objects::{Namespace, ObjectName};
pub use places::{GrantName, Listen, RedisUrl, Url};

/// A text that does not say what its key needs: what is wrong with it, and what would do.
///
/// Neither part quotes the text: somebody may have pasted a secret, and the fault shows the line
/// (with secrets masked) anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub problem: &'static str,
    /// What to write instead.
    pub remedy: &'static str,
}

impl Malformed {
    pub(super) const fn new(problem: &'static str, remedy: &'static str) -> Self {
        Self { problem, remedy }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for Malformed {}
