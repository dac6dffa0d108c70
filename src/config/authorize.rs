//! `[grant.NAME.authorize]`, `.exchange` and `.device`: how a person is asked for the grant.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::Text;
use super::values::Url;

/// How `bearward login` asks for the grant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Authorize {
    /// Where the browser is sent back to, as registered with the server; absent: a free port of 127.0.0.1 (RFC 8252 §7.3).
    pub redirect_uri: Option<Url>,
    /// The proof key of the code (RFC 7636): `S256`, or `plain` or `off` for servers that refuse it.
    pub pkce: Pkce,
    /// Whether the request is pushed (RFC 9126): `auto` where the server offers it, or `off`.
    pub par: Par,
    /// Further parameters of the authorization request (`access_type`, `audience`, `prompt` …); an empty text drops a usual one.
    pub params: BTreeMap<String, String>,
    /// The resources that the access token is for (RFC 8707), sent at login.
    pub resource: Vec<String>,
    /// Parameters that come back with the code (`realmId` …) and are kept with the grant.
    pub capture: Vec<String>,
}

/// How the authorization code becomes tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// Further parameters of the request that exchanges the code or device code; an empty text drops a usual one.
    pub params: BTreeMap<String, Text>,
}

/// How a login without a browser of its own begins (RFC 8628).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Further parameters of the device authorization request; an empty text drops a usual one.
    pub params: BTreeMap<String, Text>,
}

/// The proof key of an authorization code (RFC 7636).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pkce {
    /// The challenge is the verifier's hash.
    #[default]
    S256,
    /// The challenge is the verifier itself: it protects from little.
    #[serde(rename = "plain")]
    Plain,
    /// None: the code is protected by the client secret alone.
    #[serde(rename = "off")]
    Off,
}

/// Whether the authorization request is pushed (RFC 9126).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Par {
    /// Where the server requires or offers it.
    #[default]
    Auto,
    /// Never: the parameters go through the browser.
    Off,
}
