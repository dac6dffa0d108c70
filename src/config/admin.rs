//! `[admin]`: the side that faces the operator.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Listen;

/// The side that faces the operator: `/livez`, `/readyz`, `/metrics`, `/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where health, metrics and status are served: an address, or a Unix socket as `unix:/path`.
    pub listen: Listen,
    /// Whether `POST /grants/NAME/refresh`, `/import`, `/revoke` and `/forget` are allowed, for the commands `bearward refresh`, `import` and `revoke`.
    pub actions: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9901))),
            actions: false,
        }
    }
}
