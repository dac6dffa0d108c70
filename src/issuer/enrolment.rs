//! The calls of a login: pushed request, code, device, and the keys that sign id tokens.
//!
//! What always holds: a code is exchanged once, over a connection of its own; what a server says
//! in an error is made bearable and shows none of the request's secrets.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::{Grant, Par, SourceError, Url};
use crate::issuer::credentials::{self, Sources};
use crate::issuer::exchange::{Missed, Reply, exchange};
use crate::issuer::{DiscoveryError, Issuer, KeysError, SetupError};
use crate::oauth::{
    Answer, Attempt, Class, Complaint, Credentials, DeviceCode, EnrolmentProfile, Failure, KeySet,
    Metadata, RequestError, TokenRequest, Tokens,
};
use crate::secret::Secret;

/// How one grant is asked for, as calls.
#[derive(Debug)]
pub struct Enrolment {
    issuer: Issuer,
    profile: EnrolmentProfile,
    exchange: Sources,
    device: Sources,
    by_hand: Endpoints,
    par: Par,
}

/// Where everything is that a login may need.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// RFC 6749 §3.1.
    pub authorization: Option<Url>,
    /// RFC 6749 §3.2.
    pub token: Option<Url>,
    /// RFC 8628 §3.1.
    pub device: Option<Url>,
    /// RFC 9126 §2.
    pub pushed: Option<Url>,
    /// RFC 7517 §5.
    pub keys: Option<Url>,
    /// What the server says of itself, where it was asked.
    pub metadata: Option<Metadata>,
}

/// What a token endpoint gave.
#[derive(Debug)]
pub struct Granted {
    /// The tokens.
    pub tokens: Tokens,
    /// The wall clock just before the request was sent, from which lifetimes count.
    pub sent_at: Timestamp,
}

/// Why a call of a login came to nothing.
#[derive(Debug)]
pub enum EnrolmentError {
    /// The grant's section cannot be used.
    Setup(SetupError),
    /// The server's endpoints cannot be found.
    Discovery(DiscoveryError),
    /// Neither the configuration nor the metadata names this endpoint.
    NoEndpoint(&'static str),
    /// A secret that the request needs cannot be read.
    Secret(SourceError),
    /// The request cannot be made.
    Request(RequestError),
    /// No usable answer came; the word says how.
    Unanswered(&'static str, String),
    /// The server says no.
    Refused(Box<Refused>),
    /// The system gives no randomness.
    NoRandomness,
}

/// A server's no.
#[derive(Debug)]
pub struct Refused {
    /// The endpoint that says so, by its key.
    pub at: &'static str,
    /// What it says, for a person.
    pub complaint: Complaint,
    /// What it means.
    pub failure: Failure,
}

impl Enrolment {
    /// Prepares everything that can be wrong; connects to nothing.
    pub fn new(grant: &Grant) -> Result<Self, EnrolmentError> {
        let section = |error| EnrolmentError::Setup(SetupError::Section(error));
        let profile = EnrolmentProfile::new(grant).map_err(section)?;
        Ok(Self {
            issuer: Issuer::new(grant).map_err(EnrolmentError::Setup)?,
            exchange: Sources::of_login(grant, &grant.exchange.params, &profile),
            device: Sources::of_login(grant, &grant.device.params, &profile),
            profile,
            by_hand: Endpoints {
                authorization: grant.authorization_endpoint.clone(),
                token: grant.token_endpoint.clone(),
                device: grant.device_authorization_endpoint.clone(),
                pushed: grant.pushed_authorization_request_endpoint.clone(),
                keys: grant.jwks_uri.clone(),
                metadata: None,
            },
            par: grant.authorize.par,
        })
    }

    /// How the requests look.
    pub fn profile(&self) -> &EnrolmentProfile {
        &self.profile
    }

    /// Where everything is: what is set by hand, and for the rest what the server says. Where it
    /// cannot be asked, what is set by hand may be enough.
    pub async fn endpoints(&self) -> Result<Endpoints, EnrolmentError> {
        let hand = self.by_hand.clone();
        if self.issuer.identifier.is_none() {
            return Ok(hand);
        }
        let found = match self.issuer.discover().await {
            Ok(found) => found,
            Err(error) if hand.token.is_some() => {
                tracing::warn!(%error, "discovery failed; the endpoints set by hand are used");
                return Ok(hand);
            }
            Err(error) => return Err(EnrolmentError::Discovery(error)),
        };
        let or = |hand: Option<Url>, found: &Option<Url>| hand.or_else(|| found.clone());
        Ok(Endpoints {
            authorization: or(hand.authorization, &found.authorization_endpoint),
            token: or(hand.token, &found.token_endpoint),
            device: or(hand.device, &found.device_authorization_endpoint),
            pushed: or(hand.pushed, &found.pushed_authorization_request_endpoint),
            keys: or(hand.keys, &found.jwks_uri),
            metadata: Some(found),
        })
    }

    /// Fresh values for one login whose answer comes to `redirect_uri`.
    pub fn attempt(redirect_uri: String) -> Result<Attempt, EnrolmentError> {
        let random = credentials::randomness().map_err(|_| EnrolmentError::NoRandomness)?;
        Ok(Attempt::new(&random, redirect_uri))
    }

    /// The address that a person opens; the request behind it is pushed first where the server
    /// offers that (RFC 9126).
    pub async fn address(
        &self,
        endpoints: &Endpoints,
        attempt: &Attempt,
    ) -> Result<Secret<String>, EnrolmentError> {
        let missing = EnrolmentError::NoEndpoint("authorization_endpoint");
        let endpoint = endpoints.authorization.as_ref().ok_or(missing)?;
        let pushed = endpoints.pushed.as_ref();
        let address = match pushed.filter(|_| self.par == Par::Auto) {
            None => self.profile.address(endpoint, attempt),
            Some(pushed) => {
                let request_uri = self.push(pushed, attempt).await?;
                self.profile.address_of_pushed(endpoint, &request_uri)
            }
        };
        address.map_err(EnrolmentError::Request)
    }

    async fn push(
        &self,
        endpoint: &Url,
        attempt: &Attempt,
    ) -> Result<Secret<String>, EnrolmentError> {
        let at = "pushed_authorization_request_endpoint";
        let credentials = read(&self.exchange)?;
        let request = self
            .profile
            .push(endpoint, attempt, &credentials, &credentials::fresh())
            .map_err(EnrolmentError::Request)?;
        let reply = self.call(at, endpoint, request).await?;
        let members: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let request_uri = members.get("request_uri").and_then(Value::as_str);
        match request_uri.filter(|uri| reply.status.is_success() && !uri.is_empty()) {
            Some(uri) => Ok(Secret::new(uri.to_owned())),
            None => Err(refused(at, &reply, &credentials)),
        }
    }

    /// Exchanges the code for tokens (RFC 6749 §4.1.3), once.
    pub async fn exchange(
        &self,
        endpoints: &Endpoints,
        attempt: &Attempt,
        code: &Secret<String>,
    ) -> Result<Granted, EnrolmentError> {
        let endpoint = token_endpoint(endpoints)?;
        let credentials = read(&self.exchange)?;
        let request = self
            .profile
            .exchange(
                endpoint,
                (code, attempt),
                &credentials,
                &credentials::fresh(),
            )
            .map_err(EnrolmentError::Request)?;
        self.tokens(endpoint, request, (&credentials, code)).await
    }

    /// Begins a login on another device (RFC 8628 §3.1).
    pub async fn device(&self, endpoints: &Endpoints) -> Result<DeviceCode, EnrolmentError> {
        let at = "device_authorization_endpoint";
        let missing = EnrolmentError::NoEndpoint(at);
        let endpoint = endpoints.device.as_ref().ok_or(missing)?;
        let credentials = read(&self.device)?;
        let request = self
            .profile
            .device(endpoint, &credentials, &credentials::fresh())
            .map_err(EnrolmentError::Request)?;
        let reply = self.call(at, endpoint, request).await?;
        if reply.cut.is_some() {
            return Err(refused(at, &reply, &credentials));
        }
        DeviceCode::read(reply.status, &reply.body)
            .map_err(|complaint| unnamed(at, hidden(complaint, &credentials)))
    }

    /// Asks once whether the person has answered by now (RFC 8628 §3.4).
    pub async fn poll(
        &self,
        endpoints: &Endpoints,
        device_code: &Secret<String>,
    ) -> Result<Granted, EnrolmentError> {
        let endpoint = token_endpoint(endpoints)?;
        let credentials = read(&self.exchange)?;
        let request = self
            .profile
            .poll(endpoint, device_code, &credentials, &credentials::fresh())
            .map_err(EnrolmentError::Request)?;
        self.tokens(endpoint, request, (&credentials, device_code))
            .await
    }

    /// Sends a token request and reads what it means.
    async fn tokens(
        &self,
        endpoint: &Url,
        request: TokenRequest,
        (credentials, spent): (&Credentials, &Secret<String>),
    ) -> Result<Granted, EnrolmentError> {
        let at = "token_endpoint";
        let reply = self.call(at, endpoint, request).await?;
        match self.issuer.classify(&reply) {
            Answer::Success(tokens) => Ok(Granted {
                tokens: *tokens,
                sent_at: reply.sent_at,
            }),
            Answer::Failed(failure) => {
                let complaint = Complaint {
                    error: failure.code.clone(),
                    ..Complaint::read(reply.status, &reply.body)
                };
                let complaint = hidden(complaint.without(spent), credentials);
                Err(EnrolmentError::Refused(Box::new(Refused {
                    at,
                    complaint,
                    failure,
                })))
            }
        }
    }

    /// The keys that the server signs id tokens with.
    pub async fn keys(&self, place: &Url) -> Result<KeySet, KeysError> {
        let deadline = Instant::now() + self.issuer.timeout;
        self.issuer.keys(place, deadline).await
    }

    async fn call(
        &self,
        at: &'static str,
        endpoint: &Url,
        request: TokenRequest,
    ) -> Result<Reply, EnrolmentError> {
        let deadline = Instant::now() + self.issuer.timeout;
        let dialer = self.issuer.wires.dial(endpoint);
        let dialer = dialer.map_err(|error| EnrolmentError::Setup(SetupError::Tls(error)))?;
        let reply = exchange(&dialer, request.into_http(), deadline).await;
        reply.map_err(|missed| {
            let how = match missed {
                Missed::Unreached(error) => crate::telemetry::chain(&error),
                Missed::Unsent(how) | Missed::Unanswered(how, _) => {
                    format!("`{endpoint}` gave no whole answer ({how})")
                }
            };
            EnrolmentError::Unanswered(at, how)
        })
    }
}

fn read(sources: &Sources) -> Result<Credentials, EnrolmentError> {
    sources.read().map_err(EnrolmentError::Secret)
}

fn token_endpoint(endpoints: &Endpoints) -> Result<&Url, EnrolmentError> {
    let missing = EnrolmentError::NoEndpoint("token_endpoint");
    endpoints.token.as_ref().ok_or(missing)
}

fn refused(at: &'static str, reply: &Reply, credentials: &Credentials) -> EnrolmentError {
    let complaint = Complaint::read(reply.status, &reply.body);
    unnamed(at, hidden(complaint, credentials))
}

/// A no of an endpoint that is not the token endpoint: of what class does not matter.
fn unnamed(at: &'static str, complaint: Complaint) -> EnrolmentError {
    let failure = Failure::new(Class::Unknown, complaint.error.clone());
    EnrolmentError::Refused(Box::new(Refused {
        at,
        complaint,
        failure,
    }))
}

/// A server that quotes what was sent to it must not be quoted in turn.
fn hidden(complaint: Complaint, credentials: &Credentials) -> Complaint {
    credentials
        .client_secret
        .iter()
        .chain(credentials.params.values())
        .chain(credentials.headers.values())
        .fold(complaint, Complaint::without)
}

impl EnrolmentError {
    /// The way out, where it is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoEndpoint(which) => Some(format!(
                "set `{which}` in the grant's section, or `issuer` if the server can be discovered"
            )),
            Self::Refused(refused) => refused.complaint.words().map(str::to_owned),
            _ => None,
        }
    }
}

impl fmt::Display for EnrolmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => error.fmt(f),
            Self::Discovery(error) => error.fmt(f),
            Self::NoEndpoint(which) => write!(f, "the server has no `{which}` that is known"),
            Self::Secret(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Unanswered(at, how) => write!(f, "the {} cannot be asked: {how}", words(at)),
            Self::Refused(refused) => {
                let Refused { at, complaint, .. } = refused.as_ref();
                write!(f, "the {} says {complaint}", words(at))
            }
            Self::NoRandomness => f.write_str("the system's random source gives nothing"),
        }
    }
}

/// The key of an endpoint as words.
fn words(key: &str) -> String {
    key.replace('_', " ")
}

impl std::error::Error for EnrolmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Setup(error) => std::error::Error::source(error),
            Self::Discovery(error) => std::error::Error::source(error),
            Self::Secret(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}
