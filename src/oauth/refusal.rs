//! The error in a token answer: where servers put it, and what their codes mean.

use serde_json::Value;

use crate::oauth::class::Class;
use crate::oauth::code::{self, TOO_MANY_REQUESTS, described};
use crate::oauth::reading;
use crate::oauth::rules::ResponseRules;

/// An error that a server named.
pub(super) struct Refusal {
    /// The code as it may be shown, or nothing where it could be a token.
    pub(super) code: Option<String>,
    /// What the code means, where somebody has described it.
    pub(super) meaning: Option<Meaning>,
}

/// What an error code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The operator says that it means the grant is dead, whatever the status.
    DeadHere,
    /// This class follows.
    Class(Class),
}

/// Codes that say too little for a person, so that Entra's number is shown instead.
const GENERIC: [&str; 4] = [
    "invalid_grant",
    "invalid_client",
    "invalid_request",
    "unauthorized_client",
];

impl Refusal {
    /// The error of an answer that may hold tokens all the same: only where it is unmistakable.
    pub(super) fn beside_tokens(answer: &Value, rules: &ResponseRules) -> Option<Self> {
        let said = [rules.error.find(answer), answer.get("error")]
            .into_iter()
            .find_map(|member| text(member?));
        let denied = |name| answer.get(name) == Some(&Value::Bool(false));
        let broken = rules.ok.as_ref().is_some_and(|ok| !ok.holds(answer));
        if said.is_none() && !denied("ok") && !denied("success") && !broken {
            return None;
        }
        Some(Self::named(
            said.or_else(|| elsewhere(answer)),
            answer,
            rules,
        ))
    }

    /// The error of an answer that holds no access token, wherever it stands.
    pub(super) fn alone(answer: &Value, rules: &ResponseRules) -> Option<Self> {
        Self::beside_tokens(answer, rules)
            .or_else(|| Some(Self::named(Some(elsewhere(answer)?), answer, rules)))
    }

    fn named(said: Option<String>, answer: &Value, rules: &ResponseRules) -> Self {
        let Some(said) = said else {
            return Self {
                code: Some(String::from("not_ok")),
                meaning: None,
            };
        };
        if rules.dead.contains(&said) {
            return Self {
                code: Some(code::spelt(&said)),
                meaning: Some(Meaning::DeadHere),
            };
        }
        if throttled(&said, answer) {
            return Self {
                code: Some(String::from(TOO_MANY_REQUESTS)),
                meaning: Some(Meaning::Class(Class::Later)),
            };
        }
        let entra = entra_code(&said, answer);
        let meaning = entra.as_deref().and_then(described).or(described(&said));
        Self {
            code: entra.or_else(|| presentable(&said, answer, rules)),
            meaning: meaning.map(Meaning::Class),
        }
    }
}

/// Where an error stands in answers that have no `error`: the shapes that vendors made up.
fn elsewhere(answer: &Value) -> Option<String> {
    [
        "/errors/0/errorType",
        "/errors/0/code",
        "/error_code",
        "/errorCode",
        "/status",
        "/code",
    ]
    .into_iter()
    .find_map(|place| text(answer.pointer(place)?))
}

/// An error's text. A member that is empty, 0, or says that all is well is no error.
fn text(member: &Value) -> Option<String> {
    let text = match member {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Object(parts) => ["code", "type", "errorType", "error"]
            .into_iter()
            .find_map(|name| text(parts.get(name).filter(|part| !part.is_object())?))?,
        Value::Bool(true) => String::from("error"),
        Value::Bool(false) | Value::Null | Value::Array(_) => return None,
    };
    let fine = ["", "0", "200", "ok", "success", "none"];
    let is_fine = fine.iter().any(|word| word.eq_ignore_ascii_case(&text));
    (!is_fine).then_some(text)
}

/// Zoho says with status 200 that it is asked too often, and only its description tells that
/// from a real refusal: the one place where a description is looked at for what it means.
fn throttled(said: &str, answer: &Value) -> bool {
    let said = said.to_ascii_lowercase().replace(' ', "_");
    let description = answer.get("error_description").and_then(Value::as_str);
    said == "access_denied"
        && description.is_some_and(|text| text.to_ascii_lowercase().contains("too many requests"))
}

/// Entra's own number, from the start of its description or its list of numbers.
fn entra_code(said: &str, answer: &Value) -> Option<String> {
    if !GENERIC.contains(&said) {
        return None;
    }
    let described = answer
        .get("error_description")
        .and_then(Value::as_str)
        .and_then(|text| text.strip_prefix("AADSTS"))
        .map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .take(10)
                .collect::<String>()
        })
        .filter(|number| !number.is_empty());
    let listed = || answer.pointer("/error_codes/0").and_then(Value::as_u64);
    described
        .or_else(|| listed().map(|number| number.to_string()))
        .map(|number| format!("AADSTS{number}"))
}

/// The code if it may be shown: described, or looking like words and no part of a token that
/// stands in the same answer.
fn presentable(said: &str, answer: &Value, rules: &ResponseRules) -> Option<String> {
    let quotes_a_token = [&rules.access_token, &rules.refresh_token]
        .into_iter()
        .filter_map(|path| reading::token(path.find(answer)))
        .any(|token| code::shows(said, token.expose()));
    let shown = code::shown(said)?;
    (!quotes_a_token).then(|| shown.to_owned())
}
