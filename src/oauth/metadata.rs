//! Where an authorization server's endpoints are: RFC 8414 and OpenID Connect Discovery 1.0.
//!
//! What always holds: metadata that exists belongs to the issuer that was asked for, and its
//! endpoints may be used: `https`, loopback, or plain text allowed by the configuration.

use std::fmt;

use serde_json::Value;

use crate::config::Url;
use crate::oauth::bearable::bearable;

/// What an authorization server says of itself; of its members, those that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The issuer, as it names itself.
    pub issuer: String,
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<Url>,
    /// RFC 6749 §3.1.
    pub authorization_endpoint: Option<Url>,
    /// RFC 8628 §3.1.
    pub device_authorization_endpoint: Option<Url>,
    /// RFC 7009 §2.
    pub revocation_endpoint: Option<Url>,
    /// RFC 9126 §2.
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Whether it takes authorization requests in no other way (RFC 9126 §5).
    pub require_pushed_authorization_requests: bool,
    /// Where its signing keys are (RFC 8414 §2). Nothing, too, where the URL may not be used: a
    /// refresh does without, so it must not fail for it.
    pub jwks_uri: Option<Url>,
    /// The scopes it tells of; it need not tell all.
    pub scopes_supported: Option<Vec<String>>,
    /// Client authentication methods; absent means `client_secret_basic` (RFC 8414 §2).
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Grant types; some servers leave out `refresh_token` and take it all the same.
    pub grant_types_supported: Option<Vec<String>>,
    /// PKCE methods (RFC 7636).
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// The `prompt` values it knows (Initiating User Registration via OpenID Connect §4).
    pub prompt_values_supported: Option<Vec<String>>,
    /// Whether authorization answers carry `iss` (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
}

/// Whether `http://` endpoints that are not loopback may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// `allow_plaintext = true`.
    Allow,
    /// The default.
    Refuse,
}

/// Why a document is not the metadata that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// It is a page for people: a sign-in page, a captive portal, a front end's fallback.
    Html,
    /// It is no JSON object.
    NotJson,
    /// It has no `issuer`.
    NoIssuer,
    /// It belongs to another issuer (RFC 8414 §3.3): a mix-up, and nothing of it may be used.
    OtherIssuer {
        /// The issuer that was asked for.
        asked: String,
        /// The issuer that the document names, cut to a bearable length.
        came: String,
    },
    /// This member is no usable URL.
    Endpoint {
        /// The member's name.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where the metadata of `issuer` may stand, in the order to ask: RFC 8414 §3.1 (the well-known
/// part goes in front of the issuer's path), OpenID Connect Discovery §4 (behind it), and the
/// second's name in the first's place, which RFC 8414 §5 describes for older servers.
pub fn well_known(issuer: &Url) -> Vec<Url> {
    let origin = format!(
        "{}://{}",
        issuer.uri().scheme_str().unwrap_or("https"),
        issuer
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str()),
    );
    let path = issuer.uri().path().trim_end_matches('/');
    let mut places: Vec<Url> = Vec::with_capacity(3);
    for place in [
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ] {
        if let Ok(place) = place.parse()
            && !places.contains(&place)
        {
            places.push(place);
        }
    }
    places
}

impl Metadata {
    /// Reads the document that came from one of [`well_known`]'s places for `issuer`.
    pub fn read(
        document: &[u8],
        issuer: &Url,
        plaintext: Plaintext,
    ) -> Result<Self, MetadataError> {
        let document = document.trim_ascii_start();
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        if document.first() == Some(&b'<') {
            return Err(MetadataError::Html);
        }
        let document: Value =
            serde_json::from_slice(document).map_err(|_| MetadataError::NotJson)?;
        if !document.is_object() {
            return Err(MetadataError::NotJson);
        }
        let named = document.get("issuer").and_then(Value::as_str);
        let named = named.ok_or(MetadataError::NoIssuer)?;
        if !is_same(issuer, named) {
            return Err(MetadataError::OtherIssuer {
                asked: issuer.to_string(),
                came: bearable(named),
            });
        }
        let endpoint = |member| endpoint(&document, member, plaintext);
        let list = |member: &str| list(document.get(member)?);
        let holds = |member: &str| document.get(member) == Some(&Value::Bool(true));
        Ok(Self {
            issuer: named.to_owned(),
            token_endpoint: endpoint("token_endpoint")?,
            authorization_endpoint: endpoint("authorization_endpoint")?,
            device_authorization_endpoint: endpoint("device_authorization_endpoint")?,
            revocation_endpoint: endpoint("revocation_endpoint")?,
            pushed_authorization_request_endpoint: endpoint(
                "pushed_authorization_request_endpoint",
            )?,
            require_pushed_authorization_requests: holds("require_pushed_authorization_requests"),
            jwks_uri: endpoint("jwks_uri").ok().flatten(),
            scopes_supported: list("scopes_supported"),
            token_endpoint_auth_methods_supported: list("token_endpoint_auth_methods_supported"),
            grant_types_supported: list("grant_types_supported"),
            code_challenge_methods_supported: list("code_challenge_methods_supported"),
            prompt_values_supported: list("prompt_values_supported"),
            authorization_response_iss_parameter_supported: holds(
                "authorization_response_iss_parameter_supported",
            ),
        })
    }
}

/// RFC 8414 §3.3: identical, character by character. Only the slash of an otherwise empty path
/// cannot be told apart, because a URL's parser adds it.
fn is_same(issuer: &Url, named: &str) -> bool {
    let asked = issuer.to_string();
    let without_path = issuer.uri().path_and_query().is_none_or(|path| path == "/");
    named == asked
        || (without_path
            && named.trim_end_matches('/') == asked.trim_end_matches('/')
            && !named.ends_with("//"))
}

fn endpoint(
    document: &Value,
    member: &'static str,
    plaintext: Plaintext,
) -> Result<Option<Url>, MetadataError> {
    let text = match document.get(member) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_str().unwrap_or_default(),
    };
    let wrong = |problem: String| MetadataError::Endpoint { member, problem };
    let url: Url = text
        .parse()
        .map_err(|_| wrong(format!("`{}` is no absolute URL", bearable(text))))?;
    if !url.is_https() && !url.is_loopback() && plaintext == Plaintext::Refuse {
        return Err(wrong(format!(
            "`{}` is plain `http`; hint: set the endpoint by hand with `https`, or `allow_plaintext = true`",
            bearable(text)
        )));
    }
    Ok(Some(url))
}

fn list(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    Some(items.filter_map(Value::as_str).map(str::to_owned).collect())
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Html => f.write_str("it is an HTML page, not metadata"),
            Self::NotJson => f.write_str("it is not a JSON object"),
            Self::NoIssuer => f.write_str("it names no `issuer`"),
            Self::OtherIssuer { asked, came } => write!(
                f,
                "it is the metadata of issuer `{came}`, not of `{asked}`; hint: write `issuer` exactly as the server names itself, if you trust that server"
            ),
            Self::Endpoint { member, problem } => {
                write!(f, "its `{member}` cannot be used: {problem}")
            }
        }
    }
}

impl std::error::Error for MetadataError {}
