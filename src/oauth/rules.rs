//! How one server's answers are to be read, prepared from its section of the configuration.

use std::fmt;
use std::str::FromStr;

use crate::config::{Grant, TimeUnit};
use crate::oauth::json_path::JsonPath;
use crate::oauth::predicate::Predicate;

/// Where the members of a server's answers stand, and what its codes mean.
#[derive(Clone, Debug)]
pub struct ResponseRules {
    pub(super) access_token: JsonPath,
    pub(super) refresh_token: JsonPath,
    pub(super) expires_in: JsonPath,
    pub(super) expires_in_unit: TimeUnit,
    pub(super) expires_at: JsonPath,
    /// The configured path, or the usual ones.
    pub(super) refresh_expires_in: Vec<JsonPath>,
    pub(super) scope: JsonPath,
    pub(super) error: JsonPath,
    pub(super) ok: Option<Predicate>,
    pub(super) dead: Vec<String>,
    pub(super) capture: Vec<JsonPath>,
}

/// The names that servers have for the refresh token's own lifetime.
const REFRESH_EXPIRES_IN: [&str; 3] = [
    "refresh_token_expires_in",
    "x_refresh_token_expires_in",
    "refresh_expires_in",
];

impl ResponseRules {
    /// The rules of this grant's server.
    pub fn new(grant: &Grant) -> Result<Self, SectionError> {
        let response = &grant.response;
        let refresh_expires_in = match &response.refresh_expires_in {
            Some(path) => vec![read("response.refresh_expires_in", path)?],
            None => REFRESH_EXPIRES_IN
                .into_iter()
                .map(|path| read("response.refresh_expires_in", path))
                .collect::<Result<_, _>>()?,
        };
        let ok = response.ok.as_deref();
        Ok(Self {
            access_token: read("response.access_token", &response.access_token)?,
            refresh_token: read("response.refresh_token", &response.refresh_token)?,
            expires_in: read("response.expires_in", &response.expires_in)?,
            expires_in_unit: response.expires_in_unit,
            expires_at: read("response.expires_at", &response.expires_at)?,
            refresh_expires_in,
            scope: read("response.scope", &response.scope)?,
            error: read("response.error", &response.error)?,
            ok: ok.map(|text| read("response.ok", text)).transpose()?,
            dead: grant.dead.clone(),
            capture: grant
                .capture
                .iter()
                .map(|path| read("capture", path))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn read<T: FromStr<Err: fmt::Display>>(key: &'static str, text: &str) -> Result<T, SectionError> {
    text.parse()
        .map_err(|problem: T::Err| SectionError::new(key, format!("`{text}`: {problem}")))
}

/// A value in a section of the configuration that cannot be used, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionError {
    key: &'static str,
    problem: String,
}

impl SectionError {
    pub(super) fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self {
            key,
            problem: problem.into(),
        }
    }

    /// The key within its section, such as `response.ok`.
    pub fn key(&self) -> &'static str {
        self.key
    }
}

impl fmt::Display for SectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key `{}` cannot be used: {}", self.key, self.problem)
    }
}

impl std::error::Error for SectionError {}
