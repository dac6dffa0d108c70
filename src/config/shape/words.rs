//! What is said of a value of the wrong kind, and of a key that is missing.

use toml::de::DeValue;

use crate::config::document::Path;
use crate::config::fault::Problem;
use crate::config::schema::Shape;
use crate::config::values::{
    Deadline, GrantName, Listen, Malformed, Margin, Namespace, ObjectName, Period, RedisUrl, Size,
    Url,
};

/// A value of the wrong kind.
pub(super) fn mistaken(path: &Path, shape: &Shape<'_>, value: &DeValue<'_>) -> Problem {
    if let (Shape::Secret(_) | Shape::Key(_), DeValue::String(_)) = (shape, value) {
        return Problem::inline_secret();
    }
    let problem = Problem::new(format!(
        "expected {}, found {}",
        wanted(shape),
        found(value)
    ));
    let hint = match (shape, value) {
        (Shape::Format("Period" | "Deadline" | "Margin"), DeValue::Integer(number)) => {
            format!("a length of time has a unit: `\"{number}s\"` for seconds")
        }
        (Shape::Format("Size"), DeValue::Integer(number)) => {
            format!("a size has a unit: `\"{number}B\"` for bytes")
        }
        (Shape::Secret(_), _) => {
            String::from("write `{ file = \"/path/to/it\" }` or `{ env = \"NAME\" }`")
        }
        (Shape::Key(_), _) => {
            String::from("write `{ file = \"/path/to/it\" }`, `{ env = \"NAME\" }` or `\"none\"`")
        }
        (Shape::Format(name), _) => format!("write it as `\"{}\"`", sample(name)),
        (Shape::Text | Shape::TextOrSecret(_), DeValue::Table(_) | DeValue::Array(_)) => {
            return problem;
        }
        (Shape::Text | Shape::TextOrSecret(_), _) => String::from("put it in quotes"),
        (Shape::Words(words), _) => format!("it takes one of {}", list(words)),
        (Shape::Switch, DeValue::String(_)) => String::from("write it without quotes"),
        (Shape::Whole { .. }, DeValue::String(_)) => String::from("write digits, without quotes"),
        (Shape::List(_), DeValue::Table(_)) => {
            format!("a table of a list has two brackets: `[[{}]]`", path.names())
        }
        (Shape::List(_), DeValue::String(_)) => String::from("put it in brackets: `[\"…\"]`"),
        (Shape::Table { .. }, DeValue::Array(_)) => {
            format!(
                "there is only one, so its header has one bracket: `{}`",
                path.header()
            )
        }
        (Shape::Map(_), _) if *path == Path::of("grant") => {
            String::from("each grant is a table with a name: `[grant.NAME]`")
        }
        (Shape::Map(_), _) => format!("write it as a table: `{}`", path.header()),
        (Shape::Table { .. } | Shape::Choice(_), _) => format!("begin it with `{}`", path.header()),
        _ => return problem,
    };
    problem.hint(hint)
}

fn wanted(shape: &Shape<'_>) -> &'static str {
    match shape {
        Shape::Table { .. } | Shape::Map(_) | Shape::Choice(_) => "a table",
        Shape::List(_) => "a list",
        Shape::Words(_) | Shape::Text => "a text",
        Shape::Format("Period") => "a length of time",
        Shape::Format("Deadline") => "a length of time or `never`",
        Shape::Format("Margin") => "a share of a lifetime or a length of time",
        Shape::Format("Size") => "a size",
        Shape::Format("Listen") => "an address to listen on",
        Shape::Format("Url") => "a URL",
        Shape::Format("ObjectName") => "the name of an object in Kubernetes",
        Shape::Format("Namespace") => "the name of a namespace",
        Shape::Format("RedisUrl") => "the URL of a Redis server",
        Shape::Format("GrantName") => "the name of a grant",
        Shape::Format(_) => "a text of its own form",
        Shape::TextOrSecret(_) => "a text or a reference to a secret",
        Shape::Secret(_) => "a reference to a secret",
        Shape::Key(_) => "a reference to a key or the word `none`",
        Shape::Whole { .. } => "a whole number",
        Shape::Switch => "`true` or `false`",
        Shape::Scalar => "a text, a whole number, `true` or `false`",
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What is wrong with the text of a value type, if anything.
pub(super) fn malformed(format: &str, text: &str) -> Option<Malformed> {
    match format {
        "Period" => text.parse::<Period>().err(),
        "Deadline" => text.parse::<Deadline>().err(),
        "Margin" => text.parse::<Margin>().err(),
        "Size" => text.parse::<Size>().err(),
        "Listen" => text.parse::<Listen>().err(),
        "Url" => text.parse::<Url>().err(),
        "ObjectName" => text.parse::<ObjectName>().err(),
        "Namespace" => text.parse::<Namespace>().err(),
        "RedisUrl" => text.parse::<RedisUrl>().err(),
        "GrantName" => text.parse::<GrantName>().err(),
        _ => None,
    }
}

/// A text that a value type takes.
fn sample(format: &str) -> &'static str {
    match format {
        "Period" | "Deadline" => "30s",
        "Margin" => "10%",
        "Size" => "64KiB",
        "Listen" => "127.0.0.1:8080",
        "GrantName" => "crm",
        "ObjectName" => "crm-grant",
        "Namespace" => "default",
        "RedisUrl" => "rediss://host:6379/0",
        _ => "https://login.example.com",
    }
}

/// How a key that is needed may look.
pub(super) fn example(path: &Path, key: &str) -> String {
    match key {
        "store" => format!(
            "add a table `[{}.store.file]` with `path = \"/var/lib/bearward/NAME.grant\"`",
            path.names()
        ),
        "key" => String::from(
            "add `key = { file = \"/path/to/it\" }`, as made by `bearward keygen`; `\"none\"` leaves the grant readable there",
        ),
        "secret" => String::from("add `secret = \"…\"`, the name of a Secret that exists"),
        "master" => {
            String::from("add `master = \"…\"`, the name the sentinels know the primary by")
        }
        "client_id" => String::from(
            "add `client_id = \"…\"`, the name the authorization server knows the service by",
        ),
        "upstream" => String::from("add `upstream = \"https://…\"`, where the real API is"),
        "grant" => String::from("add `grant = \"…\"`, the name of a `[grant.NAME]` table"),
        "path" => String::from("add `path = \"/var/lib/bearward/NAME.grant\"`"),
        "status" => String::from("add `status = …`, the status of the answer, such as `403`"),
        "refresh_token" => String::from("add `refresh_token = { file = \"/path/to/it\" }`"),
        key => format!("add `{key} = …`"),
    }
}

/// Words in backticks with commas between them.
pub(super) fn list(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let words = words.into_iter().map(|word| format!("`{}`", word.as_ref()));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Schema;

    /// What is added to the schema is added here, or a fault of it would not be told.
    #[test]
    fn every_format_of_the_schema_is_read_here() {
        let schema = Schema::get().root();
        let definitions = schema["$defs"].as_object().expect("definitions");
        let formats = definitions
            .iter()
            .filter(|(_, node)| node["pattern"].is_string());
        let formats: Vec<_> = formats.map(|(name, _)| name).collect();
        assert!(formats.len() >= 7, "{formats:?}");
        for name in formats {
            assert!(malformed(name, "\u{1}").is_some(), "{name} is not read");
            assert!(
                malformed(name, sample(name)).is_none(),
                "the sample of {name} is none"
            );
        }
    }

    /// A new key that is needed needs a stand-in and a hint of its own.
    #[test]
    fn every_needed_key_is_known_here() {
        let schema = Schema::get().root();
        let definitions = schema["$defs"].as_object().expect("definitions");
        let tables = definitions
            .values()
            .filter(|node| node["properties"].is_object());
        let needed = tables
            .filter_map(|node| node["required"].as_array())
            .flatten();
        for key in needed.filter_map(serde_json::Value::as_str) {
            let hint = example(&Path::default(), key);
            assert!(!hint.ends_with("= …`"), "no hint for `{key}`");
        }
    }
}
