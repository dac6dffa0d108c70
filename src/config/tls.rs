//! `[route.tls]` and `[grant.x.tls]`: whom to trust and how to prove who we are.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS towards an upstream or an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file of certificate authorities that are trusted.
    pub ca: Option<PathBuf>,
    /// Whether the system's certificate authorities are trusted, beside those in `ca`.
    pub system_roots: bool,
    /// A PEM file with the client certificate and its chain, for mutual TLS.
    pub cert: Option<PathBuf>,
    /// A PEM file with the client certificate's private key.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must carry, where it is not the URL's host.
    pub server_name: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca: None,
            system_roots: true,
            cert: None,
            key: None,
            server_name: None,
        }
    }
}
