//! Asking an authorization server for the keys it signs with.

use std::fmt;

use tokio::time::Instant;

use crate::config::Url;
use crate::issuer::document::{Problem, fetch};
use crate::issuer::wires::Wires;
use crate::oauth::{KeySet, KeySetError};

/// Why the keys of an issuer could not be had.
#[derive(Debug)]
pub struct KeysError {
    place: Url,
    problem: Problem<KeySetError>,
}

/// Asks for the key set at `place`.
pub(super) async fn keys(
    wires: &Wires,
    place: &Url,
    deadline: Instant,
) -> Result<KeySet, KeysError> {
    let keys = match fetch(wires, place, deadline).await {
        Ok(reply) => KeySet::read(&reply.body).map_err(Problem::Unusable),
        Err(problem) => Err(problem),
    };
    keys.map_err(|problem| KeysError {
        place: place.clone(),
        problem,
    })
}

impl KeysError {
    /// A short word for logs.
    pub fn as_str(&self) -> &'static str {
        match self.problem {
            Problem::Unusable(_) => "unusable_keys",
            _ => "keys_unavailable",
        }
    }

    /// What was there instead of the keys.
    pub fn problem(&self) -> &Problem<KeySetError> {
        &self.problem
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, problem } = self;
        write!(f, "the keys at `{place}` cannot be had: {problem}")
    }
}

impl std::error::Error for KeysError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.cause()
    }
}
