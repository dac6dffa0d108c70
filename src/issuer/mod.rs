//! The authorization server as calls: refresh, revocation, discovery, and what a login needs.
//!
//! What always holds: each token request goes over a fresh connection and is sent once; nothing
//! is retried and no redirect is followed in here, for a refresh token may be good for one use
//! only; an [`Attempt`] says whether the request was sent. Secrets are read anew for each call,
//! so that a rotated client secret is taken up by itself.
//!
//! Who calls decides when, how often, and what to do with the answer; that is the keeper.

mod credentials;
mod discovery;
mod document;
mod endpoint;
mod enrolment;
mod exchange;
mod keys;
mod revoke;
mod wires;

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::{Grant, Tls, Url};
use crate::oauth::{
    self, Answer, Class, Credentials, Failure, KeySet, Metadata, Plaintext, Profile, ResponseRules,
    SectionError, TokenRequest,
};
use crate::secret::Secret;
use crate::tls;

pub use crate::upstream::{LEASE_LOST, NotAfter};
use credentials::Sources;
pub use discovery::{DiscoveryError, NotFound};
pub use document::Problem;
use endpoint::Discovered;
pub use enrolment::{Endpoints, Enrolment, EnrolmentError, Granted, Refused};
use exchange::{Limits, Missed, Reply, exchange};
pub use keys::KeysError;
pub use revoke::{AccessFate, RevokeError, Revoked};
use wires::Wires;

/// One grant's authorization server.
pub struct Issuer {
    profile: Profile,
    rules: ResponseRules,
    sources: Sources,
    wires: Wires,
    /// The issuer identifier (RFC 8414 §2).
    identifier: Option<Url>,
    /// `refresh.url` or `token_endpoint`.
    by_hand: Option<Url>,
    /// `revocation_endpoint`.
    revocation_by_hand: Option<Url>,
    discovered: Discovered,
    plaintext: Plaintext,
    timeout: Duration,
}

/// One try to refresh.
#[derive(Debug)]
pub struct Attempt {
    /// What came of it.
    pub answer: Answer,
    /// The wall clock just before the request was sent, from which a lifetime counts; where
    /// nothing was sent, the time of that failure.
    pub sent_at: Timestamp,
    /// How long it took, discovery included.
    pub took: Duration,
}

/// Why an issuer cannot be set up.
#[derive(Debug)]
pub enum SetupError {
    /// A value of the grant's section cannot be used.
    Section(SectionError),
    /// TLS towards the server cannot be set up.
    Tls(tls::Error),
    /// The section says neither whom to ask for the token endpoint nor where it is.
    NoEndpoint,
}

impl Issuer {
    /// Prepares everything that can be wrong; connects to nothing.
    pub fn new(grant: &Grant) -> Result<Self, SetupError> {
        let by_hand = grant.refresh.url.clone().or(grant.token_endpoint.clone());
        if by_hand.is_none() && grant.issuer.is_none() {
            return Err(SetupError::NoEndpoint);
        }
        let profile = Profile::new(grant).map_err(SetupError::Section)?;
        let wires = Wires::new(grant.tls.clone(), grant.connect_timeout.duration());
        let known = by_hand.iter().chain(&grant.issuer);
        if known.into_iter().any(Url::is_https) || grant.tls != Tls::default() {
            wires.prepare().map_err(SetupError::Tls)?;
        }
        Ok(Self {
            rules: ResponseRules::new(grant).map_err(SetupError::Section)?,
            sources: Sources::of_refresh(grant, &profile),
            wires,
            profile,
            identifier: grant.issuer.clone(),
            by_hand,
            revocation_by_hand: grant.revocation_endpoint.clone(),
            discovered: Discovered::default(),
            plaintext: if grant.allow_plaintext {
                Plaintext::Allow
            } else {
                Plaintext::Refuse
            },
            timeout: grant.token_timeout.duration(),
        })
    }

    /// Spends `refresh_token` (RFC 6749 §6), once, within `token_timeout`. Not sent by
    /// `not_after`, it is not sent at all, and the failure is called [`LEASE_LOST`].
    ///
    /// Not cancel-safe: dropped after the request was sent, it loses the answer and perhaps the
    /// grant. Run it in a task that nobody who waits for it can end.
    pub async fn refresh(
        &self,
        refresh_token: &Secret<String>,
        not_after: Option<NotAfter>,
    ) -> Attempt {
        let began = Instant::now();
        let limits = Limits {
            deadline: began + self.timeout,
            not_after,
        };
        let (answer, sent_at) = self.attempt(refresh_token, limits).await;
        Attempt {
            answer,
            sent_at,
            took: began.elapsed(),
        }
    }

    /// The hash of the client's secret as it is now; nothing where there is none to read. It
    /// tells when a refused client may be tried again.
    pub fn secret_hash(&self) -> Option<String> {
        let secret = self.sources.read().ok()?.client_secret?;
        Some(secret.hash())
    }

    /// Asks the issuer where its endpoints are, and remembers its token endpoint.
    pub async fn discover(&self) -> Result<Metadata, DiscoveryError> {
        self.discover_until(Instant::now() + self.timeout).await
    }

    /// Asks for the keys that the server signs with, at the place its metadata names
    /// ([`Metadata::jwks_uri`]). They are not remembered: a login needs them once.
    pub async fn keys(&self, jwks_uri: &Url, deadline: Instant) -> Result<KeySet, KeysError> {
        keys::keys(&self.wires, jwks_uri, deadline).await
    }

    async fn discover_until(&self, deadline: Instant) -> Result<Metadata, DiscoveryError> {
        let issuer = self.identifier.as_ref().ok_or(DiscoveryError::NoIssuer)?;
        let metadata = discovery::discover(&self.wires, issuer, self.plaintext, deadline).await?;
        if let Some(endpoint) = &metadata.token_endpoint {
            tracing::debug!(%issuer, %endpoint, "token endpoint is discovered");
            self.discovered.found(endpoint.clone(), Instant::now());
        }
        Ok(metadata)
    }

    /// Where a refresh goes now.
    async fn endpoint(&self, deadline: Instant) -> Result<Url, DiscoveryError> {
        if let Some(endpoint) = &self.by_hand {
            return Ok(endpoint.clone());
        }
        let known = self.discovered.known();
        if !self.discovered.take_due(Instant::now()) {
            return known.ok_or(DiscoveryError::NoIssuer);
        }
        // With an endpoint in hand, asking anew must leave time for the refresh itself.
        let until = match known {
            Some(_) => deadline.min(Instant::now() + self.timeout / 3),
            None => deadline,
        };
        let found = self.discover_until(until).await;
        match (
            found.map(|metadata| metadata.token_endpoint),
            known,
            &self.identifier,
        ) {
            (Ok(Some(endpoint)), _, _) => Ok(endpoint),
            (Ok(None), None, Some(issuer)) => Err(DiscoveryError::NoTokenEndpoint(issuer.clone())),
            (Ok(None), None, None) => Err(DiscoveryError::NoIssuer),
            (Ok(None), Some(known), _) => Ok(known),
            (Err(error), Some(known), _) => {
                tracing::warn!(%error, "discovery failed; the known token endpoint stays in use");
                Ok(known)
            }
            (Err(error), None, _) => Err(error),
        }
    }

    async fn attempt(&self, refresh_token: &Secret<String>, limits: Limits) -> (Answer, Timestamp) {
        let prepared = self.prepare(refresh_token, limits.deadline).await;
        let (endpoint, request, credentials) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return (Answer::Failed(failure), Timestamp::now()),
        };
        let (answer, sent_at) = self.send(&endpoint, request, limits).await;
        (hidden(answer, refresh_token, &credentials), sent_at)
    }

    /// All that comes before a connection: the endpoint, the secrets, the request.
    async fn prepare(
        &self,
        refresh_token: &Secret<String>,
        deadline: Instant,
    ) -> Result<(Url, TokenRequest, Credentials), Failure> {
        let endpoint = self.endpoint(deadline).await.map_err(|error| {
            let class = if error.is_lasting() {
                Class::Configuration
            } else {
                Class::Later
            };
            unsent(class, error.as_str(), &error)
        })?;
        let credentials = self
            .sources
            .read()
            .map_err(|error| unsent(Class::ClientBroken, "secret_unreadable", &error))?;
        let request = self
            .profile
            .refresh(
                &endpoint,
                refresh_token,
                &credentials,
                &credentials::fresh(),
            )
            .map_err(|error| unsent(Class::Configuration, error.as_str(), &error))?;
        Ok((endpoint, request, credentials))
    }

    async fn send(
        &self,
        endpoint: &Url,
        request: TokenRequest,
        limits: Limits,
    ) -> (Answer, Timestamp) {
        let (failure, sent_at) = match self.wires.dial(endpoint) {
            Err(error) => (
                unsent(Class::Configuration, "tls_setup", &error),
                Timestamp::now(),
            ),
            Ok(dialer) => match exchange(&dialer, request.into_http(), limits).await {
                Ok(reply) => {
                    let answer = self.classify(&reply);
                    if suggests_a_move(reply.status, &answer) {
                        self.discovered.seems_moved();
                    }
                    return (answer, reply.sent_at);
                }
                Err(Missed::Unreached(error)) => {
                    self.discovered.seems_moved();
                    (
                        unsent(Class::Later, error.as_str(), &error),
                        Timestamp::now(),
                    )
                }
                Err(Missed::Unsent(how)) => (Failure::new(Class::Later, how), Timestamp::now()),
                Err(Missed::Unanswered(how, sent_at)) => {
                    (Failure::new(Class::Ambiguous, how), sent_at)
                }
            },
        };
        (Answer::Failed(failure), sent_at)
    }

    fn classify(&self, reply: &Reply) -> Answer {
        let now = Timestamp::now();
        let read = oauth::Reply {
            status: reply.status,
            headers: &reply.headers,
            body: &reply.body,
        };
        match reply.cut {
            None => oauth::classify(&read, &self.rules, now),
            Some(how) => oauth::classify_cut(&read, &self.rules, now, how),
        }
    }
}

/// A failure before anything was sent; its error is told here, for the failure keeps only the code.
fn unsent(class: Class, code: &str, error: &dyn std::error::Error) -> Failure {
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(%error, cause, code, "no token request was sent");
    Failure::new(class, code)
}

/// A server that quotes what was sent to it must not be quoted in turn.
fn hidden(answer: Answer, refresh_token: &Secret<String>, credentials: &Credentials) -> Answer {
    let Answer::Failed(failure) = answer else {
        return answer;
    };
    Answer::Failed(shown_without(failure, refresh_token, credentials))
}

fn shown_without(failure: Failure, token: &Secret<String>, credentials: &Credentials) -> Failure {
    credentials
        .client_secret
        .iter()
        .chain(credentials.params.values())
        .chain(credentials.headers.values())
        .fold(failure.without(token), Failure::without)
}

/// Whether an answer looks like one from a place that was a token endpoint once.
fn suggests_a_move(status: StatusCode, answer: &Answer) -> bool {
    status.is_redirection()
        || matches!(status.as_u16(), 404 | 405 | 410)
        || matches!(answer, Answer::Failed(failure) if failure.class == Class::Configuration)
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("identifier", &self.identifier)
            .field("by_hand", &self.by_hand)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::NoEndpoint => f.write_str(
                "neither `issuer` nor `token_endpoint` is there; hint: `issuer` is enough where the server can be discovered",
            ),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Section(error) => std::error::Error::source(error),
            Self::Tls(error) => std::error::Error::source(error),
            Self::NoEndpoint => None,
        }
    }
}

#[cfg(test)]
mod tests;
