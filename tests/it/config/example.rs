//! `config.example.toml` held against the schema: every key, its sentence, its default.
//!
//! In the example a comment of words begins with `# ` and a key that is left out with `#key`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bearward::config::{Config, SCHEMA};
use serde_json::Value;

use super::hold_against;

/// Where the example is.
pub(super) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")
}

fn text() -> String {
    std::fs::read_to_string(path()).expect("the example can be read")
}

/// A line of the example.
enum Line<'l> {
    /// `[table]` or `[[table]]`, commented out or not.
    Header { names: Vec<&'l str> },
    /// `key = value`.
    Key {
        key: &'l str,
        value: &'l str,
        live: bool,
    },
    /// Anything else.
    Words,
}

fn line(text: &str) -> Line<'_> {
    let bare = text.strip_prefix('#').unwrap_or(text);
    if bare.is_empty() || bare.starts_with([' ', '#']) {
        return Line::Words;
    }
    if let Some(header) = bare.strip_prefix('[') {
        let header = header.trim_matches(['[', ']']);
        return Line::Header {
            names: header.split('.').collect(),
        };
    }
    let (key, value) = bare
        .split_once(" = ")
        .unwrap_or_else(|| panic!("what is `{text}`?"));
    Line::Key {
        key,
        value,
        live: bare == text,
    }
}

/// Follows a reference, and takes an optional key for what it holds.
fn resolve<'s>(root: &'s Value, node: &'s Value) -> &'s Value {
    if let Some(name) = node["$ref"].as_str() {
        return &root["$defs"][name.trim_start_matches("#/$defs/")];
    }
    match node["anyOf"].as_array() {
        Some(any) if any.iter().any(|one| one["type"] == "null") => resolve(
            root,
            any.iter()
                .find(|one| one["type"] != "null")
                .expect("a type"),
        ),
        _ => node,
    }
}

/// The schema of a table's key, or of what a map, list or choice holds.
fn step<'s>(root: &'s Value, node: &'s Value, name: &str) -> Option<&'s Value> {
    let mut node = resolve(root, node);
    while node["type"] == "array" {
        node = resolve(root, &node["items"]);
    }
    if let Some(patterns) = node["patternProperties"].as_object() {
        return patterns.values().next();
    }
    if let Some(choices) = node["oneOf"].as_array() {
        return choices
            .iter()
            .find_map(|choice| choice["properties"].get(name));
    }
    node["properties"]
        .get(name)
        .or_else(|| Some(&node["additionalProperties"]).filter(|any| any.is_object()))
}

/// A key's schema and its sentence; a key of a choice has that of the choice.
fn look_up<'s>(root: &'s Value, names: &[&str]) -> Option<(&'s Value, Option<&'s str>)> {
    let mut node = root;
    let mut sentence = None;
    for name in names {
        node = step(root, node, name)?;
        sentence = node["description"].as_str().or(sentence);
    }
    Some((node, sentence))
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// The example as the schema would have it: the order and the examples are the file's own, the
/// sentences and defaults are the schema's.
fn as_the_schema_says(example: &str) -> String {
    let root = schema();
    let mut table: Vec<&str> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for text in example.lines() {
        let (names, shown) = match line(text) {
            Line::Words => {
                lines.push(text.to_owned());
                continue;
            }
            Line::Header { names } => {
                table.clone_from(&names);
                (names, text.to_owned())
            }
            Line::Key { key, value, live } => {
                let names: Vec<_> = table.iter().copied().chain([key]).collect();
                let (node, _) =
                    look_up(&root, &names).unwrap_or_else(|| panic!("unknown: {names:?}"));
                let default = if live { &Value::Null } else { &node["default"] };
                let hash = if live { "" } else { "#" };
                let value = if default.is_null() {
                    value.to_owned()
                } else {
                    default.to_string()
                };
                (names, format!("{hash}{key} = {value}"))
            }
        };
        let (_, sentence) = look_up(&root, &names).unwrap_or_else(|| panic!("unknown: {names:?}"));
        // Names of the user's choice have no sentence of their own.
        let own = look_up(&root, &names[..names.len() - 1])
            .is_none_or(|(parent, _)| !resolve(&root, parent)["additionalProperties"].is_object());
        if own {
            lines.pop_if(|above| above.starts_with("# "));
            let sentence = sentence.unwrap_or_else(|| panic!("no sentence: {names:?}"));
            lines.push(format!("# {sentence}"));
        }
        lines.push(shown);
    }
    lines.join("\n") + "\n"
}

/// Every key of the schema, as `grant.*.issuer`.
fn keys_of_the_schema(root: &Value, node: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let within = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    let node = resolve(root, node);
    match (
        &node["properties"],
        &node["patternProperties"],
        &node["oneOf"],
    ) {
        (Value::Object(known), _, _) => {
            for (key, node) in known {
                keys.insert(within(key));
                let secret = node.to_string().contains("#/$defs/Source");
                if !secret {
                    keys_of_the_schema(root, node, &within(key), keys);
                }
            }
        }
        (_, Value::Object(patterns), _) => {
            for node in patterns.values() {
                keys_of_the_schema(root, node, &within("*"), keys);
            }
        }
        (_, _, Value::Array(choices)) => {
            for choice in choices {
                keys_of_the_schema(root, choice, path, keys);
            }
        }
        _ if node["type"] == "array" => keys_of_the_schema(root, &node["items"], path, keys),
        _ => {}
    }
}

fn keys_of_the_example(example: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut table = String::new();
    for text in example.lines() {
        match line(text) {
            Line::Header { names } => {
                let mut names = names;
                if names[0] == "grant" {
                    names[1] = "*";
                }
                keys.extend((1..=names.len()).map(|depth| names[..depth].join(".")));
                table = names.join(".");
            }
            Line::Key { key, .. } => drop(keys.insert(format!("{table}.{key}"))),
            Line::Words => {}
        }
    }
    keys
}

#[test]
fn sentences_and_defaults_are_those_of_the_schema() {
    hold_against(&path(), &as_the_schema_says(&text())).unwrap_or_else(|told| panic!("{told}"));
}

#[test]
fn every_key_of_the_schema_is_in_the_example() {
    let root = schema();
    let mut keys = BTreeSet::new();
    keys_of_the_schema(&root, &root, "", &mut keys);
    assert!(keys.len() > 80, "the walk found only {keys:?}");
    let shown = keys_of_the_example(&text());
    let missing: Vec<_> = keys.difference(&shown).collect();
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

#[test]
fn the_example_is_a_short_configuration() {
    let text = text();
    let config =
        Config::parse(&text, "config.example.toml").unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.warnings(), Vec::<String>::new());
    let live = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert!(live.count() < 15);
}

/// The example with every line in force, but for some tables and keys that others exclude.
fn uncommented(but: &[&str]) -> String {
    let example = text();
    let mut table = String::new();
    let mut lines = Vec::new();
    for text in example.lines() {
        let name = match line(text) {
            Line::Words => continue,
            Line::Header { names } => {
                table = names.join(".");
                table.clone()
            }
            Line::Key { key, .. } => format!("{table}.{key}"),
        };
        let excluded = |but: &&str| {
            name.strip_prefix(*but)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !but.iter().any(excluded) {
            lines.push(text.trim_start_matches('#'));
        }
    }
    lines.join("\n")
}

#[test]
fn every_line_of_the_example_can_be_uncommented() {
    let [file, kubernetes, redis] =
        ["file", "kubernetes", "redis"].map(|engine| format!("grant.crm.store.{engine}"));
    let sentinels = format!("{redis}.sentinel");
    let (url, urls) = (format!("{redis}.url"), format!("{sentinels}.urls"));
    let cases: [&[&str]; 4] = [
        &[&kubernetes, &redis],
        &[&file, &redis],
        &[&file, &kubernetes, &sentinels],
        &[&file, &kubernetes, &url, &urls],
    ];
    for but in cases {
        let mut text = uncommented(but);
        // An empty list of sentinels is its default and yet too few.
        let master = "master = \"mymaster\"";
        text = text.replace(
            master,
            &format!("{master}\nurls = [\"rediss://s-0:26379\"]"),
        );
        let config =
            Config::parse(&text, "uncommented.toml").unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(config.files().len(), 3);
    }
}

#[test]
fn the_schema_is_a_schema_for_people() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["title"], "Bearward configuration");
    assert_eq!(schema["$id"], Value::Null);
    assert_eq!(schema["additionalProperties"], false);
}
