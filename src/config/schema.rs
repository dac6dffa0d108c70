//! The JSON Schema of the file, and what it says about one place in it.
//!
//! The same types and sentences make the reader and the schema, so the check of the file's shape
//! ([`super::shape`]) asks the schema and cannot drift from either. It is made of the types by a
//! test and not by the program, which carries the text alone: the generator and what it needs of
//! every type would be a twentieth of the program and most of the time that reading a file takes.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The JSON Schema (draft 2020-12) of the configuration file, as text.
pub const SCHEMA: &str = include_str!("schema.json");

/// What may stand at a place.
pub(super) enum Shape<'s> {
    /// A table with these keys.
    Table {
        /// The keys with the schemas of their values.
        known: &'s Map<String, Value>,
        /// Those that must be there.
        required: Vec<&'s str>,
    },
    /// A table with names of the user's choice.
    Map(&'s Value),
    /// A table with exactly one of these keys.
    Choice(Vec<(&'s str, &'s Value)>),
    /// A list.
    List(&'s Value),
    /// One of these words.
    Words(Vec<&'s str>),
    /// A text that one of our value types reads.
    Format(&'s str),
    /// Any text.
    Text,
    /// A text, or a reference to a secret.
    TextOrSecret(&'s Value),
    /// A reference to a secret.
    Secret(&'s Value),
    /// A reference to a key, or the word `none`.
    Key(&'s Value),
    /// A whole number within these bounds.
    Whole {
        /// The least.
        least: i128,
        /// The most.
        most: i128,
    },
    /// `true` or `false`.
    Switch,
    /// A text, a whole number, `true` or `false`.
    Scalar,
}

/// The schema, to be asked about places.
pub(super) struct Schema(Value);

impl Schema {
    /// The schema of the file; it is made once.
    pub(super) fn get() -> &'static Self {
        // A test reads it too; should it be no JSON nevertheless, nothing is known of any key.
        static PARSED: LazyLock<Schema> =
            LazyLock::new(|| Schema(serde_json::from_str(SCHEMA).unwrap_or_default()));
        &PARSED
    }

    pub(super) fn root(&self) -> &Value {
        &self.0
    }

    /// What the schema `node` asks for.
    pub(super) fn shape<'s>(&'s self, node: &'s Value) -> Shape<'s> {
        let (name, node) = self.resolve(node);
        match name {
            Some("Source") => return Shape::Secret(node),
            Some("Scalar") => return Shape::Scalar,
            Some("Text") => return Shape::TextOrSecret(self.source()),
            Some("StoreKey") => return Shape::Key(self.source()),
            _ => {}
        }
        if let Some(variants) = node.get("oneOf").and_then(Value::as_array) {
            let words: Vec<_> = variants
                .iter()
                .filter_map(|v| v.get("const")?.as_str())
                .collect();
            if !words.is_empty() {
                return Shape::Words(words);
            }
            return Shape::Choice(choices(variants));
        }
        match kind(node) {
            "object" => Self::table(node),
            "array" => Shape::List(node.get("items").unwrap_or(&Value::Null)),
            "boolean" => Shape::Switch,
            "integer" => whole(node),
            _ => match name {
                Some(name) if node.get("pattern").is_some() => Shape::Format(name),
                _ => Shape::Text,
            },
        }
    }

    /// Every table of the file, with its header as one would write it and its keys.
    pub(super) fn tables(&self) -> Vec<(String, &Map<String, Value>)> {
        let mut tables = Vec::new();
        self.collect_tables(self.root(), "", &mut tables);
        tables
    }

    fn collect_tables<'s>(
        &'s self,
        node: &'s Value,
        header: &str,
        tables: &mut Vec<(String, &'s Map<String, Value>)>,
    ) {
        let within = |name: &str| match header {
            "" => name.to_owned(),
            header => format!("{header}.{name}"),
        };
        match self.shape(node) {
            Shape::Table { known, .. } => {
                tables.push((header.to_owned(), known));
                for (key, node) in known {
                    self.collect_tables(node, &within(key), tables);
                }
            }
            Shape::Map(node) => self.collect_tables(node, &within("NAME"), tables),
            Shape::Choice(choices) => {
                for (key, node) in choices {
                    self.collect_tables(node, &within(key), tables);
                }
            }
            Shape::List(node) => self.collect_tables(node, header, tables),
            _ => {}
        }
    }

    /// Follows references and takes `null` for what it means in TOML: that the key is left out.
    fn resolve<'s>(&'s self, node: &'s Value) -> (Option<&'s str>, &'s Value) {
        if let Some(name) = reference(node) {
            return (Some(name), self.definition(name));
        }
        let variants = node.get("anyOf").and_then(Value::as_array);
        let other = variants.and_then(|variants| variants.iter().find(|v| kind(v) != "null"));
        match other {
            Some(node) => self.resolve(node),
            None => (None, node),
        }
    }

    fn definition(&self, name: &str) -> &Value {
        let definitions = self.0.get("$defs").and_then(|all| all.get(name));
        definitions.unwrap_or(&Value::Null)
    }

    fn source(&self) -> &Value {
        self.definition("Source")
    }

    fn table(node: &Value) -> Shape<'_> {
        if let Some(known) = node.get("properties").and_then(Value::as_object) {
            let required = node.get("required").and_then(Value::as_array);
            let required = required.into_iter().flatten().filter_map(Value::as_str);
            return Shape::Table {
                known,
                required: required.collect(),
            };
        }
        let by_pattern = node.get("patternProperties").and_then(Value::as_object);
        let element = by_pattern.and_then(|patterns| patterns.values().next());
        let element = element.or_else(|| node.get("additionalProperties"));
        Shape::Map(element.unwrap_or(&Value::Null))
    }
}

fn reference(node: &Value) -> Option<&str> {
    node.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// The type, without the `null` of an optional key.
fn kind(node: &Value) -> &str {
    match node.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    }
}

fn whole(node: &Value) -> Shape<'_> {
    let (least, most) = match node.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        Some("uint64") => (0, i64::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    Shape::Whole { least, most }
}

/// The keys of a choice, each with the schema of its value.
pub(super) fn choices(variants: &[Value]) -> Vec<(&str, &Value)> {
    let properties = variants
        .iter()
        .filter_map(|v| v.get("properties")?.as_object());
    properties
        .flatten()
        .map(|(key, node)| (key.as_str(), node))
        .collect()
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;
    use crate::config::Config;

    /// The schema that the types make now, as the text that is kept.
    fn made_now() -> String {
        let settings = SchemaSettings::draft2020_12();
        let made = settings.into_generator().into_root_schema_for::<Config>();
        let mut made = made.to_value();
        made["title"] = Value::from("Bearward configuration");
        format!("{made:#}\n")
    }

    #[test]
    fn the_text_that_is_kept_is_what_the_types_say() {
        assert!(
            made_now() == SCHEMA,
            "`schema.json` is out of date; \
             hint: `cargo test --lib schema_is_written -- --ignored` writes it anew"
        );
    }

    #[test]
    #[ignore = "writes into the sources"]
    fn schema_is_written() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/schema.json");
        std::fs::write(path, made_now()).unwrap();
    }
}
