//! What must hold for a token answer to be a success: `ok == true`, `result != "1"`.

use std::str::FromStr;

use super::route::Scalar;
use super::values::Malformed;

/// A comparison of one member of a JSON answer with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// The dotted path of the member.
    pub path: String,
    /// How it must stand to the value.
    pub relation: Relation,
    /// The value.
    pub value: Scalar,
}

/// How a member must stand to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It must be the value: `==`.
    Equal,
    /// It must be another, or absent: `!=`.
    Unequal,
}

impl FromStr for Predicate {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        // The first operator splits, so that a text on the right may hold another.
        let equal = text.find("==").map(|at| (at, Relation::Equal));
        let unequal = text.find("!=").map(|at| (at, Relation::Unequal));
        let first = [equal, unequal]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at);
        let parsed = first.and_then(|(at, relation)| {
            let (path, rest) = text.split_at_checked(at)?;
            Some(Self {
                path: Some(path.trim()).filter(|path| is_path(path))?.to_owned(),
                relation,
                value: scalar(rest.get(2..)?.trim())?,
            })
        });
        parsed.ok_or(Malformed::new(
            "this is not a comparison",
            "write a path, `==` or `!=`, and a value: `ok == true`, `status != 0`, `result == \"0000\"`",
        ))
    }
}

fn scalar(text: &str) -> Option<Scalar> {
    match text {
        "true" => Some(Scalar::Bool(true)),
        "false" => Some(Scalar::Bool(false)),
        text => {
            let inner = text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            match inner {
                Some(inner) if !inner.contains('"') => Some(Scalar::Text(inner.to_owned())),
                Some(_) => None,
                None => text.parse().ok().map(Scalar::Integer),
            }
        }
    }
}

/// True for member names with dots between them: `data.access_token`, `errors.0.code`.
pub(super) fn is_path(text: &str) -> bool {
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=');
    text.split('.')
        .all(|name| !name.is_empty() && name.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        for (written, path, relation, value) in [
            ("ok == true", "ok", Relation::Equal, Scalar::Bool(true)),
            ("a.b!=false", "a.b", Relation::Unequal, Scalar::Bool(false)),
            ("code == -1", "code", Relation::Equal, Scalar::Integer(-1)),
            (
                "result == \"0000\"",
                "result",
                Relation::Equal,
                text("0000"),
            ),
            ("x != \"a == b\"", "x", Relation::Unequal, text("a == b")),
            ("x == \"\"", "x", Relation::Equal, text("")),
        ] {
            let predicate = Predicate {
                path: path.to_owned(),
                relation,
                value,
            };
            assert_eq!(written.parse(), Ok(predicate), "{written}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for written in [
            "",
            "ok",
            "ok = true",
            "== true",
            "ok ==",
            "a..b == 1",
            "ok == yes",
            "ok == \"a",
            "ok == 1.5",
            "a b == 1",
        ] {
            assert!(written.parse::<Predicate>().is_err(), "{written}");
        }
    }
}
