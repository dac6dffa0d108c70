//! The refresh request (RFC 6749 §6), as one server wants it.
//!
//! What always holds: a request is made from a [`Profile`] that was checked once; the secrets in
//! it are handed in for this one request; nothing of it can be printed, for with `body = "query"`
//! even its target holds the refresh token.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue, Request};
use jiff::Timestamp;

use crate::config::{BodyFormat, Grant, Names, Text, Url};
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::draft::Draft;
use crate::oauth::rules::SectionError;
use crate::secret::Secret;

/// How one grant's token requests look, prepared and checked once.
#[derive(Clone, Debug)]
pub struct Profile {
    client: Client,
    body: BodyFormat,
    scope: Option<String>,
    params: Vec<(String, Wording)>,
}

/// The text of a further parameter or header field.
#[derive(Clone, Debug)]
pub(super) enum Wording {
    /// Written in the configuration; `${uuid}` and `${now}` stand for fresh values.
    Literal(String),
    /// Read for each request under this key, and taken as it is.
    Secret(String),
}

/// The secrets of one request, read just now.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The client secret; not needed where the client is public.
    pub client_secret: Option<Secret<String>>,
    /// The request's further parameters that are references to secrets, by their key.
    pub params: BTreeMap<String, Secret<String>>,
    /// The fields of `token_headers` that are references to secrets, by their key.
    pub headers: BTreeMap<String, Secret<String>>,
}

/// What must be new in each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// A random UUID, for `${uuid}`.
    pub uuid: String,
    /// The time, for `${now}` in Unix seconds.
    pub now: Timestamp,
}

/// A token request, ready for an HTTP/1.1 connection to the endpoint's host: origin-form target,
/// `Host`, `Content-Length`. It cannot be printed.
pub struct TokenRequest(pub(super) Request<Secret<Vec<u8>>>);

/// Why a request could not be made. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// A secret that the request needs was not handed in.
    NoSecret,
    /// The value of this header field has characters that no field may have.
    Header(String),
    /// Parameters and URL together are longer than a target can be.
    TooLong,
}

impl Profile {
    /// The profile of this grant's server.
    pub fn new(grant: &Grant) -> Result<Self, SectionError> {
        if grant.client_id.is_empty() {
            return Err(SectionError::new("client_id", "it is empty"));
        }
        let scope = (grant.refresh.scope && !grant.scope.is_empty())
            .then(|| grant.scope.join(&grant.scope_separator));
        Ok(Self {
            client: Client::new(grant, ClientAuth::for_refresh(grant)?)?,
            body: grant.body,
            scope,
            params: wordings(&grant.refresh.params),
        })
    }

    /// Whether a refresh needs the client secret; a public client's need not be readable.
    pub fn needs_client_secret(&self) -> bool {
        self.client.needs_secret()
    }

    /// The request that spends `refresh_token` at `endpoint`, whose own query is kept.
    pub fn refresh(
        &self,
        endpoint: &Url,
        refresh_token: &Secret<String>,
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        let names = &self.client.names;
        draft.set(
            &names.grant_type,
            Secret::new(String::from("refresh_token")),
        );
        draft.set(&names.refresh_token, refresh_token.clone());
        if let Some(scope) = &self.scope {
            draft.set(&names.scope, Secret::new(scope.clone()));
        }
        let client = &self.client;
        client.sign(&mut draft, &self.params, credentials, fresh)?;
        TokenRequest::post(draft, self.body, endpoint)
    }

    /// Signs `draft` as a refresh is signed, and makes it the request to `endpoint`: what else is
    /// posted with the client's own credentials.
    pub(super) fn signed(
        &self,
        mut draft: Draft,
        endpoint: &Url,
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        self.client.sign(&mut draft, &[], credentials, fresh)?;
        TokenRequest::post(draft, self.body, endpoint)
    }
}

impl Wording {
    fn new(key: &str, text: &Text) -> Self {
        match text {
            Text::Literal(text) => Self::Literal(text.clone()),
            Text::Secret(_) => Self::Secret(key.to_owned()),
        }
    }

    pub(super) fn text(
        &self,
        secrets: &BTreeMap<String, Secret<String>>,
        fresh: &Fresh,
    ) -> Result<Secret<String>, RequestError> {
        match self {
            Self::Literal(text) => Ok(Secret::new(
                text.replace("${uuid}", &fresh.uuid)
                    .replace("${now}", &fresh.now.as_second().to_string()),
            )),
            Self::Secret(key) => secrets.get(key).cloned().ok_or(RequestError::NoSecret),
        }
    }
}

/// Further parameters with the texts they have in the configuration.
pub(super) fn wordings(params: &BTreeMap<String, Text>) -> Vec<(String, Wording)> {
    params
        .iter()
        .map(|(name, text)| (name.clone(), Wording::new(name, text)))
        .collect()
}

/// A request for the public document at `place`, metadata or a key set, ready for an HTTP/1.1
/// connection. It holds no secret.
pub fn document_request(place: &Url) -> Result<Request<Secret<Vec<u8>>>, RequestError> {
    Draft::new(place)?.get(place)
}

impl TokenRequest {
    /// The request as the HTTP crate has it.
    pub fn into_http(self) -> Request<Secret<Vec<u8>>> {
        self.0
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").finish_non_exhaustive()
    }
}

impl RequestError {
    /// A word for it in logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoSecret => "secret_unreadable",
            Self::Header(_) => "unusable_header",
            Self::TooLong => "url_too_long",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret => f.write_str("a secret that the token request needs is missing"),
            Self::Header(name) => write!(
                f,
                "the value for the header field `{name}` has characters that no field may have"
            ),
            Self::TooLong => f.write_str(
                "the token request's URL is too long; hint: put the parameters into the body with `body = \"form\"`",
            ),
        }
    }
}

impl std::error::Error for RequestError {}

/// Parameters that share a name would overwrite each other in silence.
pub(super) fn checked_names(names: &Names) -> Result<Names, SectionError> {
    let all = [
        &names.client_id,
        &names.client_secret,
        &names.grant_type,
        &names.refresh_token,
        &names.scope,
        &names.redirect_uri,
        &names.code,
    ];
    for (place, name) in all.iter().enumerate() {
        if name.is_empty() || all.iter().skip(place + 1).any(|other| other == name) {
            return Err(SectionError::new(
                "names",
                format!(
                    "`{name}` is empty or stands for two parameters; hint: drop a usual parameter with an empty text in `refresh.params`"
                ),
            ));
        }
    }
    Ok(names.clone())
}

/// Fields that belong to the connection or the framing are not the configuration's to set.
const NOT_OURS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

pub(super) fn headers(
    fields: &BTreeMap<String, Text>,
) -> Result<Vec<(HeaderName, Wording)>, SectionError> {
    let mut headers: Vec<(HeaderName, Wording)> = Vec::with_capacity(fields.len());
    for (name, text) in fields {
        let wrong = |why: &str| SectionError::new("token_headers", format!("`{name}` {why}"));
        let header: HeaderName = name
            .parse()
            .map_err(|_| wrong("is not the name of a header field"))?;
        if NOT_OURS.contains(&header.as_str()) {
            return Err(wrong("belongs to the connection and is set by Bearward"));
        }
        if headers.iter().any(|(known, _)| *known == header) {
            return Err(wrong("stands there twice, in different spellings"));
        }
        if let Text::Literal(text) = text
            && HeaderValue::from_str(text).is_err()
        {
            return Err(wrong("has a value with characters that no field may have"));
        }
        headers.push((header, Wording::new(name, text)));
    }
    Ok(headers)
}
