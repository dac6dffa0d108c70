//! What a browser brings back from the authorization endpoint (RFC 6749 §4.1.2, RFC 9207).
//!
//! What always holds: nothing of an answer is believed before its `state` is ours; an answer that
//! says it comes from another issuer is refused; a parameter that comes twice is refused.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::oauth::bearable::bearable;
use crate::oauth::complaint::Complaint;
use crate::secret::Secret;

/// More than this no server sends.
const LONGEST_QUERY: usize = 64 * 1024;

/// What an answer must have to be ours.
#[derive(Clone, Copy, Debug)]
pub struct Awaited<'a> {
    /// The state of the attempt.
    pub state: &'a Secret<String>,
    /// The issuer, as it names itself, where it is known.
    pub issuer: Option<&'a str>,
    /// What the server says of `iss` in its answers.
    pub iss: Iss,
    /// The name of the parameter that holds the code.
    pub code: &'a str,
    /// Further parameters that are kept.
    pub capture: &'a [String],
}

/// What a server's metadata says of `iss` in its answers (RFC 9207 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iss {
    /// Every answer has it.
    Always,
    /// Nothing: it is compared where it comes.
    Untold,
}

/// The server's answer, which is ours.
#[derive(Clone, Debug)]
pub enum Redirected {
    /// The code, and the parameters that are kept.
    Code(Secret<String>, BTreeMap<String, Value>),
    /// No code.
    Refused(Complaint),
}

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disbelief {
    /// `state` is missing or another: it answers no question of ours (RFC 6749 §10.12).
    State,
    /// It comes from another issuer (RFC 9207 §2.4).
    OtherIssuer {
        /// The issuer that was asked.
        asked: String,
        /// The issuer that the answer names.
        came: String,
    },
    /// The server says that each answer names its issuer, and this one does not.
    NoIssuer,
    /// It has neither a code nor an error.
    Empty,
    /// A parameter stands there twice.
    Twice(String),
}

impl Redirected {
    /// Reads the query of the address that the browser was sent to.
    pub fn read(query: &Secret<String>, awaited: &Awaited<'_>) -> Result<Self, Disbelief> {
        let params = Params::read(query)?;
        let state = params.find("state").ok_or(Disbelief::State)?;
        if state != awaited.state {
            return Err(Disbelief::State);
        }
        awaited.check_issuer(params.find("iss"))?;
        if let Some(error) = params.find("error") {
            let description = params.find("error_description");
            let description = description.map(|text| text.expose().as_str());
            return Ok(Self::Refused(Complaint::new(error.expose(), description)));
        }
        let code = params.find(awaited.code).ok_or(Disbelief::Empty)?;
        let captured = awaited
            .capture
            .iter()
            .filter_map(|name| Some((name, params.find(name)?)))
            .map(|(name, text)| (name.clone(), Value::from(bearable(text.expose()))))
            .collect();
        Ok(Self::Code(code.clone(), captured))
    }
}

impl Awaited<'_> {
    fn check_issuer(&self, came: Option<&Secret<String>>) -> Result<(), Disbelief> {
        match (came, self.issuer) {
            (None, _) if self.iss == Iss::Always => Err(Disbelief::NoIssuer),
            (Some(came), Some(asked)) if came.expose() != asked => Err(Disbelief::OtherIssuer {
                asked: asked.to_owned(),
                came: bearable(came.expose()),
            }),
            _ => Ok(()),
        }
    }
}

/// The parameters of an answer, each once.
struct Params(BTreeMap<String, Secret<String>>);

impl Params {
    fn read(query: &Secret<String>) -> Result<Self, Disbelief> {
        let query = query.expose();
        if query.len() > LONGEST_QUERY {
            return Err(Disbelief::Empty);
        }
        let mut params = BTreeMap::new();
        for (name, text) in form_urlencoded::parse(query.as_bytes()) {
            let text = Secret::new(text.into_owned());
            if params.insert(name.clone().into_owned(), text).is_some() {
                return Err(Disbelief::Twice(bearable(&name)));
            }
        }
        Ok(Self(params))
    }

    /// A parameter that is there and not empty.
    fn find(&self, name: &str) -> Option<&Secret<String>> {
        self.0.get(name).filter(|text| !text.expose().is_empty())
    }
}

/// The query of what a person pasted: a whole address, or what follows its question mark.
pub fn pasted(text: &Secret<String>) -> Secret<String> {
    let text = text.expose().trim().trim_matches(['"', '\'', '<', '>']);
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    Secret::new(query.to_owned())
}

impl fmt::Display for Disbelief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => {
                f.write_str("the answer does not belong to this login: its `state` is not ours")
            }
            Self::OtherIssuer { asked, came } => write!(
                f,
                "the answer comes from issuer `{came}`, and `{asked}` was asked"
            ),
            Self::NoIssuer => f.write_str(
                "the answer does not name its issuer, although the server says that each does",
            ),
            Self::Empty => f.write_str("the answer has neither a code nor an error"),
            Self::Twice(name) => write!(f, "the answer has the parameter `{name}` twice"),
        }
    }
}

impl std::error::Error for Disbelief {}
