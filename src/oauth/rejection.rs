//! What an upstream's answer says of the access token that the call carried.
//!
//! What always holds: the status decides, header and body only where they are asked; a 403 is no
//! rejection by itself, for it may as well be a missing permission.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::config::{ExpiredRule, Scalar};
use crate::oauth::challenge::Challenge;
use crate::oauth::json_path::JsonPath;
use crate::oauth::rules::SectionError;

/// When an answer means that the access token was rejected, prepared from `expired_when`.
#[derive(Clone, Debug, Default)]
pub struct Rejection {
    rules: Vec<Rule>,
}

/// What an answer's head says of the access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the answer goes through.
    Pass,
    /// It was rejected: another may help.
    Rejected,
    /// It was rejected and no refresh helps until a person has consented; the code says why.
    NeedsHuman(&'static str),
    /// The body must be looked at, with [`Rejection::by_body`].
    NeedBody,
}

#[derive(Clone, Debug)]
struct Rule {
    status: StatusCode,
    member: Option<(JsonPath, Wanted)>,
    text: Option<String>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Present,
    Equal(Scalar),
    Prefix(String),
}

impl Rejection {
    /// Rejections are found in bodies of at most this many bytes; a larger body is no error message.
    pub const LARGEST_BODY: usize = 64 * 1024;

    /// Prepares the rules of a route.
    pub fn new(rules: &[ExpiredRule]) -> Result<Self, SectionError> {
        let rules = rules.iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// What the head says. A body is asked for only where a rule needs it and it can be looked
    /// at: not a stream, not encoded, not too large.
    pub fn by_head(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        if status == StatusCode::UNAUTHORIZED {
            return unauthorized(headers);
        }
        let mut rules = self
            .rules
            .iter()
            .filter(|rule| rule.status == status)
            .peekable();
        if rules.peek().is_none() {
            return Verdict::Pass;
        }
        if rules.any(Rule::is_bare) {
            return Verdict::Rejected;
        }
        if is_readable(headers) {
            Verdict::NeedBody
        } else {
            Verdict::Pass
        }
    }

    /// Whether the whole body of an answer with this status says that the token was rejected.
    pub fn by_body(&self, status: StatusCode, body: &[u8]) -> bool {
        if body.len() > Self::LARGEST_BODY {
            return false;
        }
        let mut json: Option<Value> = None;
        self.rules
            .iter()
            .filter(|rule| rule.status == status)
            .any(|rule| rule.matches(body, &mut json))
    }
}

impl Rule {
    fn new(rule: &ExpiredRule) -> Result<Self, SectionError> {
        let wrong = |problem: String| SectionError::new("expired_when", problem);
        let status = StatusCode::from_u16(rule.status)
            .map_err(|_| wrong(format!("`{}` is no HTTP status", rule.status)))?;
        let wanted = match (&rule.equals, &rule.prefix) {
            (Some(_), Some(_)) => {
                return Err(wrong(String::from(
                    "`equals` and `prefix` exclude each other",
                )));
            }
            (Some(value), None) => Wanted::Equal(value.clone()),
            (None, Some(prefix)) => Wanted::Prefix(prefix.clone()),
            (None, None) => Wanted::Present,
        };
        let member = match (&rule.json, wanted) {
            (Some(path), wanted) => {
                let path = path
                    .parse()
                    .map_err(|problem| wrong(format!("`{path}`: {problem}")))?;
                Some((path, wanted))
            }
            (None, Wanted::Present) => None,
            (None, _) => {
                return Err(wrong(String::from(
                    "`equals` and `prefix` need `json`, the path of the member that they are about",
                )));
            }
        };
        let text = rule.body.clone();
        if text.as_ref().is_some_and(String::is_empty) {
            return Err(wrong(String::from(
                "`body` is empty, which is in every body",
            )));
        }
        Ok(Self {
            status,
            member,
            text,
        })
    }

    /// Whether the status alone fulfils it.
    fn is_bare(&self) -> bool {
        self.member.is_none() && self.text.is_none()
    }

    /// Whether all its conditions hold; `json` keeps the parsed body between rules.
    fn matches(&self, body: &[u8], json: &mut Option<Value>) -> bool {
        let text_is_there = self.text.as_ref().is_none_or(|text| {
            body.windows(text.len())
                .any(|window| window == text.as_bytes())
        });
        text_is_there
            && self.member.as_ref().is_none_or(|(path, wanted)| {
                let json =
                    json.get_or_insert_with(|| serde_json::from_slice(body).unwrap_or_default());
                path.find(json).is_some_and(|value| wanted.is_met_by(value))
            })
    }
}

impl Wanted {
    fn is_met_by(&self, value: &Value) -> bool {
        match self {
            Self::Present => !value.is_null(),
            Self::Equal(Scalar::Bool(wanted)) => value.as_bool() == Some(*wanted),
            Self::Equal(Scalar::Integer(wanted)) => value.as_i64() == Some(*wanted),
            Self::Equal(Scalar::Text(wanted)) => value.as_str() == Some(wanted),
            Self::Prefix(wanted) => value.as_str().is_some_and(|text| text.starts_with(wanted)),
        }
    }
}

/// A 401 rejects the token whatever else it says, with one exception: a claims challenge (Entra's
/// continuous access evaluation) asks for a new consent, and refreshing on it would never end.
fn unauthorized(headers: &HeaderMap) -> Verdict {
    let asks_for_claims = |challenge: &Challenge| {
        challenge.param("error") == Some("insufficient_claims")
            && challenge.param("claims").is_some()
    };
    if Challenge::all(headers).iter().any(asks_for_claims) {
        Verdict::NeedsHuman("insufficient_claims")
    } else {
        Verdict::Rejected
    }
}

/// Whether a body behind these fields can be held and looked at.
fn is_readable(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let encoded =
        text(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
    let length: Option<usize> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let media_type = text(CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    // Streams without an end, and media that no error message is written in.
    let streams = [
        "text/event-stream",
        "application/grpc",
        "multipart/",
        "image/",
        "audio/",
        "video/",
    ];
    !encoded
        && length.is_none_or(|length| length <= Rejection::LARGEST_BODY)
        && !streams.iter().any(|stream| media_type.starts_with(stream))
}
