//! YAML as far as kubeconfigs use it: one document of mappings, lists and scalars.
//!
//! What always holds: depth is bounded and nothing is repeated by reference, so a small text makes
//! no large value; a fault names a line and quotes nothing.

use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The deepest nesting; a kubeconfig has five levels.
const DEEPEST: usize = 32;

/// The value of the first document in `text`.
///
/// Plain scalars are nothing, truth values or else texts: no key of a kubeconfig is a number.
pub(super) fn parse(text: &str) -> Result<Value, Malformed> {
    let mut stack = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Malformed {
            line: error.marker().line(),
            what: "it is not YAML",
        })?;
        let malformed = |what| Malformed {
            line: span.start.line(),
            what,
        };
        let value = match event {
            Event::Scalar(text, style, _, _) => Some(scalar(&text, style)),
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => stack.pop().map(Open::close),
            Event::Alias(_) => return Err(malformed("references (`*name`) are not read here")),
            Event::DocumentEnd => return Ok(Value::Null),
            _ => None,
        };
        if stack.len() > DEEPEST {
            return Err(malformed("it is nested too deep"));
        }
        let Some(value) = value else { continue };
        match stack.last_mut() {
            None => return Ok(value),
            Some(open) => open.add(value).map_err(malformed)?,
        }
    }
    Ok(Value::Null)
}

/// A list or mapping that is not whole yet.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

impl Open {
    fn add(&mut self, value: Value) -> Result<(), &'static str> {
        match self {
            Self::List(list) => list.push(value),
            Self::Map(map, key) => match (key.take(), value) {
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err("a key is not a text"),
                (Some(name), value) => {
                    if map.insert(name, value).is_some() {
                        return Err("a key stands there twice");
                    }
                }
            },
        }
        Ok(())
    }

    fn close(self) -> Value {
        match self {
            Self::List(list) => Value::Array(list),
            Self::Map(map, _) => Value::Object(map),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        "true" | "True" | "TRUE" if plain => Value::Bool(true),
        "false" | "False" | "FALSE" if plain => Value::Bool(false),
        text => Value::String(text.to_owned()),
    }
}

/// Why a text cannot be read. Shows nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    line: usize,
    what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_a_kubeconfig_is_made_of() {
        let text = "# made by a tool\napiVersion: v1\nclusters:\n- cluster:\n    server: \"https://a:6443\"\n    \
                    insecure-skip-tls-verify: false\n  name: a\ncontexts: []\nempty:\nport: 6443\n\
                    data: |\n  one\n  two\nargs: [eks, 'get-token', --region]\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({
                "apiVersion": "v1",
                "clusters": [{
                    "cluster": { "server": "https://a:6443", "insecure-skip-tls-verify": false },
                    "name": "a",
                }],
                "contexts": [],
                "empty": null,
                "port": "6443",
                "data": "one\ntwo\n",
                "args": ["eks", "get-token", "--region"],
            })
        );
        assert_eq!(
            parse("{\"a\": [\"b\", true]}").unwrap(),
            json!({ "a": ["b", true] })
        );
        assert_eq!(parse("").unwrap(), Value::Null);
        assert_eq!(parse("---\n...\n").unwrap(), Value::Null);
    }

    #[test]
    fn a_fault_names_the_line_and_quotes_nothing() {
        let deep = "[".repeat(40);
        for (text, told) in [
            ("a: 1\nb: [hunter2", "it is not YAML"),
            (
                "a: &x hunter2\nb: *x\n",
                "line 2: references (`*name`) are not read here",
            ),
            (&deep, "line 1: it is nested too deep"),
            ("[a]: b", "line 1: a key is not a text"),
            ("a: b\na: c\n", "line 2: a key stands there twice"),
        ] {
            let shown = parse(text).unwrap_err().to_string();
            assert!(shown.contains(told), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
