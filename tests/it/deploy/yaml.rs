//! YAML as manifests use it, read into JSON values.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// All documents of `text`.
pub fn documents(text: &str) -> Vec<Value> {
    let (mut stack, mut documents) = (Vec::new(), Vec::new());
    for event in Parser::new_from_str(text) {
        let (event, span) = event.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let value = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop().unwrap() {
                Open::List(list) => Value::Array(list),
                Open::Map(map, _) => Value::Object(map),
            },
            Event::Alias(_) => panic!("line {}: an alias", span.start.line()),
            _ => continue,
        };
        match stack.last_mut() {
            None => documents.push(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => match key.take() {
                None => *key = Some(value.as_str().expect("a key").to_owned()),
                Some(name) => assert!(map.insert(name, value).is_none(), "a key twice"),
            },
        }
    }
    documents
}

/// A list or mapping that is not whole yet.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::String(text.to_owned()),
        },
    }
}

#[test]
fn documents_are_read_with_their_types() {
    let read = documents("a: 1\nb: [x, \"1\", true]\n---\nc: |\n  d: e\n");
    let expected = [
        serde_json::json!({ "a": 1, "b": ["x", "1", true] }),
        serde_json::json!({ "c": "d: e\n" }),
    ];
    assert_eq!(read, expected);
}
