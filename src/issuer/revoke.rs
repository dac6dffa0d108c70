//! Giving tokens back to the authorization server (RFC 7009).

use std::fmt;

use jiff::Timestamp;
use tokio::time::Instant;

use super::exchange::exchange;
use super::{DiscoveryError, Issuer, Missed, credentials, shown_without};
use crate::config::{SourceError, Url};
use crate::oauth::{
    self, Class, Credentials, Failure, Reply, RequestError, TokenKind, TokenRequest,
};
use crate::secret::Secret;
use crate::tls;
use crate::upstream::DialError;

/// What became of a grant's tokens; the refresh token is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// What became of the access token.
    pub access_token: AccessFate,
}

/// What became of an access token whose refresh token is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessFate {
    /// There was none.
    Absent,
    /// It is revoked.
    Revoked,
    /// The server did not revoke it, and says this; it may live until it ends.
    Left(String),
}

impl AccessFate {
    /// Why the access token was not revoked, where it was not.
    pub fn left(self) -> Option<String> {
        match self {
            Self::Left(why) => Some(why),
            Self::Absent | Self::Revoked => None,
        }
    }
}

/// Why a refresh token could not be revoked.
#[derive(Debug)]
pub enum RevokeError {
    /// The server has no revocation endpoint, as far as anybody tells.
    NoEndpoint,
    /// The revocation endpoint could not be asked for.
    Discovery(DiscoveryError),
    /// A secret that the request needs cannot be read.
    Secret(SourceError),
    /// The request could not be made.
    Request(RequestError),
    /// TLS towards the server cannot be set up.
    Tls(tls::Error),
    /// The server could not be reached.
    Unreached(DialError),
    /// The connection broke, or time was up.
    Unanswered(&'static str),
    /// The server refused.
    Refused(Failure),
}

impl Issuer {
    /// Gives a grant back: the refresh token first (RFC 7009 §2.1), which is what counts, then
    /// the access token, all within `token_timeout`.
    ///
    /// Repeating it does no harm: a token that is no longer good is answered like one that was.
    pub async fn revoke(
        &self,
        refresh_token: &Secret<String>,
        access_token: Option<&Secret<String>>,
    ) -> Result<Revoked, RevokeError> {
        let deadline = Instant::now() + self.timeout;
        let endpoint = self.revocation_endpoint(deadline).await?;
        self.revoke_one(&endpoint, (TokenKind::Refresh, refresh_token), deadline)
            .await?;
        let Some(access_token) = access_token else {
            let access_token = AccessFate::Absent;
            return Ok(Revoked { access_token });
        };
        let token = (TokenKind::Access, access_token);
        let access_token = match self.revoke_one(&endpoint, token, deadline).await {
            Ok(()) => AccessFate::Revoked,
            // No failure of the whole: a server need not be able to (RFC 7009 §2), and most end
            // the access token with its refresh token.
            Err(error) => {
                tracing::info!(%error, "the access token was not revoked by itself");
                AccessFate::Left(error.code().to_owned())
            }
        };
        Ok(Revoked { access_token })
    }

    async fn revocation_endpoint(&self, deadline: Instant) -> Result<Url, RevokeError> {
        if let Some(endpoint) = &self.revocation_by_hand {
            return Ok(endpoint.clone());
        }
        if self.identifier.is_none() {
            return Err(RevokeError::NoEndpoint);
        }
        // Asked anew each time, for it is asked about once in a grant's life.
        let metadata = self.discover_until(deadline).await;
        let metadata = metadata.map_err(RevokeError::Discovery)?;
        metadata.revocation_endpoint.ok_or(RevokeError::NoEndpoint)
    }

    async fn revoke_one(
        &self,
        endpoint: &Url,
        (kind, token): (TokenKind, &Secret<String>),
        deadline: Instant,
    ) -> Result<(), RevokeError> {
        let credentials = self.sources.read().map_err(RevokeError::Secret)?;
        let fresh = credentials::fresh();
        let request = self
            .profile
            .revoke(endpoint, (kind, token), &credentials, &fresh)
            .map_err(RevokeError::Request)?;
        let said = self.hand_back(endpoint, request, deadline).await;
        said.map_err(|error| error.without(token, &credentials))
    }

    async fn hand_back(
        &self,
        endpoint: &Url,
        request: TokenRequest,
        deadline: Instant,
    ) -> Result<(), RevokeError> {
        let dialer = self.wires.dial(endpoint).map_err(RevokeError::Tls)?;
        let reply = exchange(&dialer, request.into_http(), deadline)
            .await
            .map_err(|missed| match missed {
                Missed::Unreached(error) => RevokeError::Unreached(error),
                Missed::Unsent(how) | Missed::Unanswered(how, _) => RevokeError::Unanswered(how),
            })?;
        // A body that was cut after its head changes nothing: the status says it.
        let read = Reply {
            status: reply.status,
            headers: &reply.headers,
            body: &reply.body,
        };
        oauth::revoked(&read, &self.rules, Timestamp::now()).map_err(RevokeError::Refused)
    }
}

impl RevokeError {
    /// What kind of trouble it is, in the terms of a refresh.
    pub fn class(&self) -> Class {
        match self {
            Self::NoEndpoint | Self::Request(_) | Self::Tls(_) => Class::Configuration,
            Self::Discovery(error) if error.is_lasting() => Class::Configuration,
            Self::Secret(_) => Class::ClientBroken,
            Self::Discovery(_) | Self::Unreached(_) | Self::Unanswered(_) => Class::Later,
            Self::Refused(failure) => failure.class,
        }
    }

    /// A short word for replies, logs and status; never free text.
    pub fn code(&self) -> &str {
        match self {
            Self::NoEndpoint => "no_revocation_endpoint",
            Self::Discovery(error) => error.as_str(),
            Self::Secret(_) => "secret_unreadable",
            Self::Request(error) => error.as_str(),
            Self::Tls(_) => "tls_setup",
            Self::Unreached(error) => error.as_str(),
            Self::Unanswered(how) => how,
            Self::Refused(failure) => &failure.code,
        }
    }

    /// A server that quotes what was sent to it must not be quoted in turn.
    fn without(self, token: &Secret<String>, credentials: &Credentials) -> Self {
        match self {
            Self::Refused(failure) => Self::Refused(shown_without(failure, token, credentials)),
            other => other,
        }
    }
}

impl From<&RevokeError> for Failure {
    fn from(error: &RevokeError) -> Self {
        match error {
            RevokeError::Refused(failure) => failure.clone(),
            other => Self::new(other.class(), other.code()),
        }
    }
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str(
                "the authorization server tells of no `revocation_endpoint`, and none is set by hand",
            ),
            Self::Discovery(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Unreached(error) => error.fmt(f),
            Self::Unanswered(how) => write!(f, "no whole answer came ({how})"),
            Self::Refused(failure) => {
                write!(f, "the authorization server refuses ({})", failure.code)
            }
        }
    }
}

impl std::error::Error for RevokeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Discovery(error) => error.source(),
            Self::Secret(error) => error.source(),
            Self::Tls(error) => error.source(),
            Self::Unreached(error) => error.source(),
            Self::NoEndpoint | Self::Request(_) | Self::Unanswered(_) | Self::Refused(_) => None,
        }
    }
}
