//! From a token endpoint's reply to what it means: one order of tests, first match wins.
//!
//! What always holds: a success has a usable access token; a new refresh token that came is in
//! the answer, also where the rest is unusable; what nobody can read never means that a grant is
//! dead; nothing of a description is kept, since it may quote a whole token.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::oauth::answer::{Answer, Expires, Failure, Tokens};
use crate::oauth::class::Class;
use crate::oauth::code::CONCEALED;
use crate::oauth::content::{Content, Form};
use crate::oauth::id_token;
use crate::oauth::reading;
use crate::oauth::refusal::{Meaning, Refusal};
use crate::oauth::retry_after::retry_after;
use crate::oauth::rules::ResponseRules;
use crate::secret::Secret;

/// More than this no server takes in a header field.
const LONGEST_ACCESS_TOKEN: usize = 64 * 1024;

/// More than this of one captured member is a mistaken path.
const LARGEST_CAPTURE: usize = 4 * 1024;

/// What a token endpoint replied.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// What a reply to a token request means. `now` serves only to read a `Retry-After` date.
pub fn classify(reply: &Reply<'_>, rules: &ResponseRules, now: Timestamp) -> Answer {
    let answer = match Content::read(reply.headers, reply.body) {
        // Never followed: it would carry the refresh token to a place the configuration does not name.
        _ if reply.status.is_redirection() => failed(Class::Later, "redirect"),
        Content::Members(members) => by_members(reply, members.value(), rules),
        Content::Broken(members, how) => {
            broken(reply, rotated(members.value(), rules, reply.status), how)
        }
        Content::Page => unreadable(reply, Class::Later, "html"),
        Content::Empty if reply.status.is_success() => failed(Class::Ambiguous, "empty"),
        // Nobody said why. At some servers this is a dead grant, at others a wrong secret.
        Content::Empty => unreadable(reply, Class::Unknown, ""),
        Content::Opaque if reply.status.is_success() => failed(Class::Ambiguous, "unreadable"),
        Content::Opaque => unreadable(reply, Class::Later, ""),
    };
    match answer {
        Answer::Failed(failure) => Answer::Failed(Failure {
            retry_after: retry_after(reply.headers, now),
            ..failure
        }),
        success @ Answer::Success(_) => success,
    }
}

/// What a reply means whose body was cut by the wire; `how` is a word for it (`cut`, `timeout`).
///
/// A JSON object says itself where it ends, so a whole one is believed although the wire's own
/// end is missing. Else it is no success, but a new refresh token that stood whole before the cut
/// is not lost.
pub fn classify_cut(reply: &Reply<'_>, rules: &ResponseRules, now: Timestamp, how: &str) -> Answer {
    match Content::read(reply.headers, reply.body) {
        Content::Members(members) if members.form() == Form::Json => classify(reply, rules, now),
        Content::Broken(members, _) => {
            broken(reply, rotated(members.value(), rules, reply.status), how)
        }
        _ if reply.status.is_success() => failed(Class::Ambiguous, how),
        _ => unreadable(reply, Class::Later, how),
    }
}

fn failed(class: Class, code: impl Into<String>) -> Answer {
    Answer::Failed(Failure::new(class, code))
}

fn http_code(status: StatusCode) -> String {
    format!("http_{}", status.as_u16())
}

/// What the status alone says, where it says enough.
fn by_status(reply: &Reply<'_>) -> Option<Class> {
    match reply.status.as_u16() {
        408 | 425 | 429 => Some(Class::Later),
        // With `Retry-After` a server speaks for itself. Without it this may be a gateway whose
        // connection broke after it had passed the request on.
        503 if reply.headers.contains_key(http::header::RETRY_AFTER) => Some(Class::Later),
        500.. => Some(Class::Ambiguous),
        _ => None,
    }
}

/// A reply without members: the status decides if it can, else `class`.
fn unreadable(reply: &Reply<'_>, class: Class, code: &str) -> Answer {
    match by_status(reply) {
        Some(class) => failed(class, http_code(reply.status)),
        None if code.is_empty() => failed(class, http_code(reply.status)),
        None => failed(class, code),
    }
}

fn broken(reply: &Reply<'_>, rotated: Option<Secret<String>>, how: &str) -> Answer {
    if reply.status.is_success() {
        return Answer::Failed(saved_or_ambiguous(rotated, how));
    }
    unreadable(reply, Class::Later, how)
}

/// Once the new refresh token is known, nothing is ambiguous: it was never sent.
fn saved_or_ambiguous(rotated: Option<Secret<String>>, code: &str) -> Failure {
    let class = match rotated {
        Some(_) => Class::Later,
        None => Class::Ambiguous,
    };
    Failure {
        rotated,
        ..Failure::new(class, code)
    }
}

fn by_members(reply: &Reply<'_>, members: &Value, rules: &ResponseRules) -> Answer {
    let access_token = rules.access_token.find(members);
    let has_token = reply.status.is_success() && access_token.is_some_and(|it| !it.is_null());
    let rotated = rotated(members, rules, reply.status);
    let refusal = if has_token || rotated.is_some() {
        Refusal::beside_tokens(members, rules)
    } else {
        Refusal::alone(members, rules)
    };
    if let Some(refusal) = refusal {
        // An error without an access token may quote the refresh token that was sent.
        return refused(reply, &refusal, rotated.filter(|_| has_token));
    }
    if !has_token {
        return nameless(reply, rotated);
    }
    let Some(access_token) = reading::token(access_token).filter(is_usable) else {
        // The server has done its part, so the old refresh token lives unless a new one came.
        return Answer::Failed(Failure {
            rotated,
            ..Failure::new(Class::Unknown, "unusable_access_token")
        });
    };
    Answer::Success(Box::new(tokens(access_token, members, rules)))
}

/// Neither an access token nor an error.
fn nameless(reply: &Reply<'_>, rotated: Option<Secret<String>>) -> Answer {
    if reply.status.is_success() {
        return Answer::Failed(saved_or_ambiguous(rotated, "no_access_token"));
    }
    unreadable(reply, Class::Unknown, "")
}

/// An error that the server named. What the operator says of a code goes first, then a status
/// or a code that says "not now", then a status after which nothing is certain.
fn refused(reply: &Reply<'_>, refusal: &Refusal, rotated: Option<Secret<String>>) -> Answer {
    let class = match (refusal.meaning, by_status(reply)) {
        (_, Some(Class::Later)) | (Some(Meaning::Class(Class::Later)), _) => Class::Later,
        (Some(Meaning::DeadHere), _) => Class::Dead,
        (_, Some(class)) | (Some(Meaning::Class(class)), None) => class,
        (None, None) => Class::Unknown,
    };
    // Nothing is ambiguous once the new refresh token is known, and a grant that was just
    // continued is not dead.
    let class = match (class, &rotated) {
        (Class::Ambiguous, Some(_)) => Class::Later,
        (Class::Dead, Some(_)) => Class::Unknown,
        (class, _) => class,
    };
    let code = refusal.code.clone().unwrap_or_else(|| {
        if reply.status.is_success() {
            String::from(CONCEALED)
        } else {
            http_code(reply.status)
        }
    });
    Answer::Failed(Failure {
        rotated,
        ..Failure::new(class, code)
    })
}

/// A new refresh token that may be believed: only a success carries one, for an error may quote
/// what was sent, masked or cut.
fn rotated(members: &Value, rules: &ResponseRules, status: StatusCode) -> Option<Secret<String>> {
    reading::token(rules.refresh_token.find(members)).filter(|_| status.is_success())
}

/// RFC 6749 §A.12: visible ASCII and space; anything else could end the header field it is put in.
fn is_usable(token: &Secret<String>) -> bool {
    let token = token.expose().as_bytes();
    token.len() <= LONGEST_ACCESS_TOKEN && token.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn tokens(access_token: Secret<String>, members: &Value, rules: &ResponseRules) -> Tokens {
    let refresh_token = reading::token(rules.refresh_token.find(members));
    let expires = match reading::lifetime(rules.expires_in.find(members), rules.expires_in_unit) {
        Expires::Untold => {
            reading::moment(rules.expires_at.find(members)).map_or(Expires::Untold, Expires::At)
        }
        told => told,
    };
    let refresh_expires_in =
        rules.refresh_expires_in.iter().find_map(|path| {
            match reading::lifetime(path.find(members), rules.expires_in_unit) {
                Expires::In(lifetime) => Some(lifetime),
                Expires::At(_) | Expires::Untold => None,
            }
        });
    let id_token = reading::token(members.get("id_token"));
    let hidden: Vec<&Secret<String>> = [
        Some(&access_token),
        refresh_token.as_ref(),
        id_token.as_ref(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let captured = rules
        .capture
        .iter()
        .filter_map(|path| Some((path.to_string(), path.find(members)?)))
        .filter(|(_, value)| may_be_captured(value, &hidden))
        .map(|(path, value)| (path, value.clone()))
        .collect();
    Tokens {
        scope: reading::scope(rules.scope.find(members)),
        access_token,
        refresh_token,
        expires,
        refresh_expires_in,
        id_token: id_token.filter(|token| token.expose().len() <= id_token::LONGEST),
        captured,
    }
}

/// What is captured is shown to people, so nothing that holds a token is.
fn may_be_captured(value: &Value, hidden: &[&Secret<String>]) -> bool {
    let text = Secret::new(value.to_string());
    text.expose().len() <= LARGEST_CAPTURE && !hidden.iter().any(|token| quotes(value, token))
}

fn quotes(value: &Value, token: &Secret<String>) -> bool {
    match value {
        Value::String(text) => text.contains(token.expose()),
        Value::Array(items) => items.iter().any(|item| quotes(item, token)),
        Value::Object(members) => members.values().any(|member| quotes(member, token)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
