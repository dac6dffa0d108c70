//! Asking an authorization server where its endpoints are (RFC 8414 §3).
//!
//! What always holds: only metadata that names the issuer that was asked for is believed; a
//! failure says of each place what was asked and what came.

use std::fmt;

use tokio::time::Instant;

use crate::config::Url;
use crate::issuer::document::{Problem, fetch};
use crate::issuer::wires::Wires;
use crate::oauth::{Metadata, MetadataError, Plaintext, well_known};

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
    tried: Vec<(Url, Problem<MetadataError>)>,
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
) -> Result<Metadata, Problem<MetadataError>> {
    let reply = fetch(wires, place, deadline).await?;
    Metadata::read(&reply.body, issuer, plaintext).map_err(Problem::Unusable)
}

impl Problem<MetadataError> {
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
    pub fn tried(&self) -> &[(Url, Problem<MetadataError>)] {
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

impl std::error::Error for DiscoveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let Self::NotFound(found) = self else {
            return None;
        };
        // The message tells of every place already; what lies below is worth telling where a
        // connection failed.
        found.tried.iter().find_map(|(_, problem)| problem.cause())
    }
}
