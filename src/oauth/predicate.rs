//! The ok-predicate: what must hold for an answer to be a success, `ok == true`.

use std::str::FromStr;

use serde_json::Value;

use crate::oauth::json_path::JsonPath;

/// A condition on one member of a token answer.
///
/// Written as a path, `==` or `!=`, and a JSON value (`result == "0000"`, `code == 0`); a path
/// alone asks that the member is there and is neither null nor false.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Predicate {
    path: JsonPath,
    check: Check,
}

#[derive(Clone, Debug, PartialEq)]
enum Check {
    Present,
    Equal(Value),
    Unequal(Value),
}

impl Predicate {
    /// Whether it holds for this answer. A member that is absent equals nothing.
    pub(super) fn holds(&self, answer: &Value) -> bool {
        let found = self.path.find(answer);
        match &self.check {
            Check::Present => !matches!(found, None | Some(Value::Null | Value::Bool(false))),
            Check::Equal(wanted) => found.is_some_and(|value| same(value, wanted)),
            Check::Unequal(unwanted) => !found.is_some_and(|value| same(value, unwanted)),
        }
    }
}

/// Numbers by their value (`0` is `0.0`); all else as JSON has it.
fn same(one: &Value, other: &Value) -> bool {
    one == other
        || one
            .as_f64()
            .zip(other.as_f64())
            .is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
}

impl FromStr for Predicate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (member, check) = if let Some((path, value)) = text.split_once("==") {
            (path, Check::Equal(scalar(value)?))
        } else if let Some((path, value)) = text.split_once("!=") {
            (path, Check::Unequal(scalar(value)?))
        } else {
            (text, Check::Present)
        };
        let path = member.trim();
        if path.contains(char::is_whitespace) {
            return Err(form());
        }
        let path = path.parse().map_err(|_| form())?;
        Ok(Self { path, check })
    }
}

fn scalar(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text.trim()) {
        Ok(Value::Array(_) | Value::Object(_)) | Err(_) => Err(form()),
        Ok(value) => Ok(value),
    }
}

fn form() -> String {
    String::from(
        "this is not a condition; write a dotted path, `==` or `!=`, and a value, such as `ok == true` or `result == \"0000\"`",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn holds_or_not() {
        let answer = json!({ "ok": true, "result": "0000", "code": 0, "body": { "status": 503 }, "none": null });
        for (text, holds) in [
            ("ok == true", true),
            ("ok==true", true),
            ("ok == false", false),
            ("ok != false", true),
            ("ok", true),
            ("none", false),
            ("absent", false),
            ("absent == true", false),
            ("absent != true", true),
            ("result == \"0000\"", true),
            ("result == 0", false),
            ("code == 0", true),
            ("code == 0.0", true),
            ("body.status == 0", false),
            ("body.status == 503", true),
            ("none == null", true),
        ] {
            assert_eq!(
                text.parse::<Predicate>().unwrap().holds(&answer),
                holds,
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_condition() {
        for text in [
            "",
            "ok = true",
            "ok == ",
            "== true",
            "ok == yes",
            "ok == {}",
            "a b",
        ] {
            assert!(text.parse::<Predicate>().is_err(), "{text}");
        }
    }
}
