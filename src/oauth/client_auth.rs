//! Client authentication (RFC 6749 §2.3): how a token request says who asks.
//!
//! One type signs a token request, so that assertions (RFC 7523) and mutual TLS (RFC 8705) are
//! further variants here and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;

use crate::config::{self, BasicEncoding, Grant, Names};
use crate::oauth::draft::Draft;
use crate::oauth::request::RequestError;
use crate::oauth::rules::SectionError;
use crate::secret::Secret;

/// How the client proves itself, decided once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// `client_secret_basic`.
    Basic(BasicEncoding),
    /// `client_secret_post`.
    Post,
    /// `none`: a public client only says its name.
    Public,
}

impl ClientAuth {
    /// The method for a refresh: what `refresh.client_auth` says, else `client_auth`, else basic
    /// with a secret and none without. A second method is never tried by guess: with a rotating
    /// refresh token that would send it twice.
    pub(super) fn for_refresh(grant: &Grant) -> Result<Self, SectionError> {
        match grant.refresh.client_auth {
            Some(chosen) => Self::chosen(grant, "refresh.client_auth", Some(chosen)),
            None => Self::for_login(grant),
        }
    }

    /// The method for every other request: what `client_auth` says.
    pub(super) fn for_login(grant: &Grant) -> Result<Self, SectionError> {
        Self::chosen(grant, "client_auth", grant.client_auth)
    }

    fn chosen(
        grant: &Grant,
        key: &'static str,
        chosen: Option<config::ClientAuth>,
    ) -> Result<Self, SectionError> {
        let method = match chosen {
            Some(config::ClientAuth::ClientSecretBasic) => Self::Basic(grant.basic_encoding),
            Some(config::ClientAuth::ClientSecretPost) => Self::Post,
            None if grant.client_secret.is_some() => Self::Basic(grant.basic_encoding),
            Some(config::ClientAuth::None) | None => Self::Public,
        };
        if method != Self::Public && grant.client_secret.is_none() {
            return Err(SectionError::new(
                key,
                "this method needs a `client_secret`; hint: a client without one says `none`",
            ));
        }
        if method == Self::Basic(BasicEncoding::Raw) && grant.client_id.contains(':') {
            return Err(SectionError::new(
                "basic_encoding",
                "a `client_id` with a colon cannot be sent `raw`, for the colon ends it; hint: use `form`",
            ));
        }
        Ok(method)
    }

    /// Signs `draft` as `client_id`.
    pub(super) fn sign(
        &self,
        draft: &mut Draft,
        names: &Names,
        client_id: &str,
        client_secret: Option<&Secret<String>>,
    ) -> Result<(), RequestError> {
        let secret = || client_secret.ok_or(RequestError::NoSecret);
        match self {
            Self::Basic(encoding) => {
                let value = basic(*encoding, client_id, secret()?)?;
                draft.headers.insert(AUTHORIZATION, value);
            }
            Self::Post => {
                let secret = secret()?.clone();
                draft.set(&names.client_id, Secret::new(client_id.to_owned()));
                draft.set(&names.client_secret, secret);
            }
            Self::Public => draft.set(&names.client_id, Secret::new(client_id.to_owned())),
        }
        Ok(())
    }
}

/// The Basic credentials (RFC 7617 §2) of id and secret.
fn basic(
    encoding: BasicEncoding,
    client_id: &str,
    secret: &Secret<String>,
) -> Result<HeaderValue, RequestError> {
    let pair = match encoding {
        BasicEncoding::Form => format!("{}:{}", form(client_id), form(secret.expose())),
        BasicEncoding::Raw => format!("{client_id}:{}", secret.expose()),
    };
    let encoded = Secret::new(STANDARD.encode(Secret::new(pair).expose()));
    let value = Secret::new(format!("Basic {}", encoded.expose()));
    let mut value = HeaderValue::from_str(value.expose())
        .map_err(|_| RequestError::Header(AUTHORIZATION.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 6749 §2.3.1 with appendix B: form-encoded before it is put into the pair.
fn form(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
