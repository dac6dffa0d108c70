//! A token request as the practice authorization server reads and remembers it.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// How a client must prove itself (RFC 6749 §2.3.1), by its IANA name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`: form-encoded, then Basic.
    #[default]
    Basic,
    /// `client_secret_basic` by a server that does not decode the form.
    RawBasic,
    /// `client_secret_post`.
    Post,
    /// `none`: a public client.
    None,
}

impl ClientAuth {
    /// The IANA name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic | Self::RawBasic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::None => "none",
        }
    }
}

/// What became of a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New tokens were made.
    Refreshed,
    /// A person's consent gave the first tokens of a grant.
    Enrolled,
    /// A code or device code gave none, or not yet.
    Unenrolled,
    /// A spent refresh token was taken once more, inside the replay window.
    Replayed,
    /// A spent refresh token came: its grant is revoked now.
    Reused,
    /// The refresh token's grant had been revoked.
    Revoked,
    /// The refresh token was never given out.
    Unknown,
    /// The client did not prove itself.
    InvalidClient,
    /// Another grant type than `refresh_token`, or none, or no refresh token.
    Malformed,
    /// A scripted answer was given and nothing done.
    Scripted,
}

/// One token request.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// When it had been read.
    pub at: Instant,
    /// The mark of the refresh token it brought, as Bearward's log shows it.
    pub fingerprint: Option<String>,
    /// How many refreshes came before that token, where it is known.
    pub generation: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its parameters: query and body together, with the client's secret and the token.
    pub parameters: BTreeMap<String, String>,
}

/// Reads the parameters of a token request: the query's, and a form's or a JSON object's.
pub(super) fn parameters(
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let is_json = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).unwrap_or_default();
        let texts = object.into_iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        });
        all.extend(texts);
    } else {
        all.extend(form_urlencoded::parse(body).into_owned());
    }
    all
}

/// The client's identifier and secret as a request shows them by this method and no other.
pub(super) fn credentials(
    auth: ClientAuth,
    headers: &HeaderMap,
    parameters: &BTreeMap<String, String>,
) -> Option<(String, Option<String>)> {
    let basic = headers.get(AUTHORIZATION);
    let id = parameters.get("client_id").cloned();
    let secret = parameters.get("client_secret").cloned();
    match auth {
        ClientAuth::Basic | ClientAuth::RawBasic if secret.is_none() => {
            let text = basic?.to_str().ok()?.strip_prefix("Basic ")?.to_owned();
            let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
            let (id, secret) = text.split_once(':')?;
            let read = if auth == ClientAuth::Basic {
                decoded
            } else {
                str::to_owned
            };
            Some((read(id), Some(read(secret))))
        }
        ClientAuth::Post if basic.is_none() => Some((id?, Some(secret?))),
        ClientAuth::None if basic.is_none() && secret.is_none() => Some((id?, None)),
        _ => None,
    }
}

/// One value out of its form encoding.
fn decoded(value: &str) -> String {
    let pair = format!("v={value}");
    let first = form_urlencoded::parse(pair.as_bytes()).next();
    first.map_or_else(String::new, |(_, value)| value.into_owned())
}
