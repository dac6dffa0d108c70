//! Asking an authorization server where its endpoints are (RFC 8414 §3).
//!
//! What always holds: only metadata that names the issuer that was asked for is believed; a
//! failure says of each place what was asked and what came.

use std::fmt;

use http::StatusCode;
use tokio::time::Instant;

use crate::config::Url;
use crate::issuer::exchange::{LARGEST_BODY, Missed, Reply, exchange};
use crate::issuer::wires::Wires;
use crate::oauth::{
    Metadata, MetadataError, Plaintext, RequestError, metadata_request, well_known,
};
use crate::tls;
use crate::upstream::DialError;

/// Why the endpoints of an issuer could not be found.
#[derive(Debug)]
pub enum DiscoveryError {
    /// The configuration names no issuer, so there is nobody to ask.
    NoIssuer,
    /// No place had metadata that can be believed.
    NotFound(NotFound),
    /// The metadata names no token endpoint.
    NoTokenEndpoint(Url),
}

/// Where metadata was looked for, and what was there instead.
#[derive(Debug)]
pub struct NotFound {
    issuer: Url,
    tried: Vec<(Url, Problem)>,
}

/// What was at a place instead of metadata.
#[derive(Debug)]
pub enum Problem {
    /// The server could not be reached.
    Unreached(DialError),
    /// TLS towards it cannot be set up.
    Tls(tls::Error),
    /// The request could not be made.
    Request(RequestError),
    /// No answer came, or not whole (`cut`, `timeout`, `not_http` …).
    Unanswered(&'static str),
    /// More than a megabyte.
    TooLarge,
    /// Another status than 2xx.
    Status(StatusCode),
    /// A redirect, which is not followed: metadata counts only where the issuer's name says.
    Redirect(StatusCode),
    /// A document that cannot be used.
    Unusable(MetadataError),
}

/// Asks at each well-known place in turn until one has metadata of `issuer`.
pub(super) async fn discover(
    wires: &Wires,
    issuer: &Url,
    plaintext: Plaintext,
    deadline: Instant,
) -> Result<Metadata, DiscoveryError> {
    let mut tried = Vec::new();
    for place in well_known(issuer) {
        match ask(wires, &place, issuer, plaintext, deadline).await {
            Ok(metadata) => return Ok(metadata),
            Err(problem) => {
                let is_final = problem.is_final();
                tried.push((place, problem));
                if is_final {
                    break;
                }
            }
        }
    }
    let issuer = issuer.clone();
    Err(DiscoveryError::NotFound(NotFound { issuer, tried }))
}

async fn ask(
    wires: &Wires,
    place: &Url,
    issuer: &Url,
    plaintext: Plaintext,
    deadline: Instant,
) -> Result<Metadata, Problem> {
    let dialer = wires.dial(place).map_err(Problem::Tls)?;
    let request = metadata_request(place).map_err(Problem::Request)?;
    let reply = exchange(&dialer, request, deadline)
        .await
        .map_err(|missed| match missed {
            Missed::Unreached(error) => Problem::Unreached(error),
            Missed::Unsent(how) | Missed::Unanswered(how, _) => Problem::Unanswered(how),
        })?;
    believable(&reply)?;
    Metadata::read(&reply.body, issuer, plaintext).map_err(Problem::Unusable)
}

/// Whether the answer is whole and says that the document is there.
fn believable(reply: &Reply) -> Result<(), Problem> {
    match (reply.status, reply.cut) {
        (status, _) if status.is_redirection() => Err(Problem::Redirect(status)),
        (status, _) if !status.is_success() => Err(Problem::Status(status)),
        (_, Some("too_large")) => Err(Problem::TooLarge),
        (_, Some(how)) => Err(Problem::Unanswered(how)),
        (_, None) => Ok(()),
    }
}

impl Problem {
    /// Whether the other places of the same server would fare the same.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Unreached(_) | Self::Tls(_) | Self::Request(_) | Self::Unanswered("timeout")
        )
    }

    fn is_mix_up(&self) -> bool {
        matches!(self, Self::Unusable(MetadataError::OtherIssuer { .. }))
    }
}

impl DiscoveryError {
    /// A short word for logs, metrics and status.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoIssuer => "no_issuer",
            Self::NoTokenEndpoint(_) => "no_token_endpoint",
            Self::NotFound(found) if found.is_mix_up() => "issuer_mismatch",
            Self::NotFound(_) => "discovery_failed",
        }
    }

    /// Whether only a changed configuration, here or at the server, helps.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::NoIssuer | Self::NoTokenEndpoint(_) => true,
            Self::NotFound(found) => found.is_mix_up(),
        }
    }
}

impl NotFound {
    /// Whether some place had another issuer's metadata (RFC 8414 §6.2).
    pub fn is_mix_up(&self) -> bool {
        self.tried.iter().any(|(_, problem)| problem.is_mix_up())
    }

    /// The places that were asked, and what was there.
    pub fn tried(&self) -> &[(Url, Problem)] {
        &self.tried
    }
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIssuer => f.write_str("no `issuer` is configured to ask for its endpoints"),
            Self::NoTokenEndpoint(issuer) => write!(
                f,
                "the metadata of `{issuer}` names no `token_endpoint`; hint: set it by hand"
            ),
            Self::NotFound(found) => found.fmt(f),
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the endpoints of `{}` cannot be discovered", self.issuer)?;
        for (place, problem) in &self.tried {
            write!(f, "; `{place}`: {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Unanswered(how) => write!(f, "no whole answer came ({how})"),
            Self::TooLarge => write!(f, "more than {LARGEST_BODY} bytes came"),
            Self::Status(status) => write!(f, "status {} came", status.as_u16()),
            Self::Redirect(status) => {
                write!(
                    f,
                    "a redirect ({}) came, which is not followed",
                    status.as_u16()
                )
            }
            Self::Unusable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DiscoveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let Self::NotFound(found) = self else {
            return None;
        };
        // The message tells of every place already; what lies below is worth telling where a
        // connection failed.
        found.tried.iter().find_map(|(_, problem)| match problem {
            Problem::Unreached(error) => std::error::Error::source(error),
            Problem::Tls(error) => std::error::Error::source(error),
            _ => None,
        })
    }
}
