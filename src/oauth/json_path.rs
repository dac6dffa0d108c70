//! Dotted paths into JSON: `data.access_token`, `errors.0.errorType`.
//!
//! What always holds: a path that exists has at least one step and no empty one. A step that is
//! a number counts the items of an array from 0; in an object it is a name like any other.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// More steps than any real answer has; the bound keeps a mistaken key from looking like a path.
const MOST_STEPS: usize = 16;

/// A way from the top of a JSON value to one of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<String>);

impl JsonPath {
    /// The member at the end of the way, or nothing where the way is not there.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match value {
            Value::Object(members) => members.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl FromStr for JsonPath {
    type Err = MalformedPath;

    fn from_str(text: &str) -> Result<Self, MalformedPath> {
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        if steps.len() > MOST_STEPS || steps.iter().any(String::is_empty) {
            return Err(MalformedPath);
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A text that is no dotted path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedPath;

impl fmt::Display for MalformedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this is not a dotted path; write 1 to {MOST_STEPS} names with dots between, such as `data.access_token` or `errors.0.code`"
        )
    }
}

impl std::error::Error for MalformedPath {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn walks_objects_and_arrays() {
        let value = json!({ "a": { "0": 1, "b": [ { "c": 2 }, 3 ] }, "x": null });
        for (path, found) in [
            ("a.0", Some(json!(1))),
            ("a.b.0.c", Some(json!(2))),
            ("a.b.1", Some(json!(3))),
            ("x", Some(json!(null))),
            ("a.b.2", None),
            ("a.b.-1", None),
            ("a.b.c", None),
            ("x.y", None),
            ("A", None),
            ("a.b.99999999999999999999999", None),
        ] {
            let path: JsonPath = path.parse().unwrap();
            assert_eq!(path.find(&value), found.as_ref(), "{path}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        let long = ["a"; 17].join(".");
        for text in ["", ".", "a.", ".a", "a..b", &long] {
            assert_eq!(text.parse::<JsonPath>(), Err(MalformedPath), "{text}");
        }
        assert_eq!("a.0.b".parse::<JsonPath>().unwrap().to_string(), "a.0.b");
    }
}
