//! `[grant.NAME]`: one refresh token, the server it belongs to, and how that server wants to be asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorize::{Authorize, Device, Exchange};
use super::source::{Source, Text};
use super::store::Store;
use super::tls::Tls;
use super::values::{Deadline, Margin, Period, Url};

/// One refresh token and what comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The authorization server; its endpoints are discovered (RFC 8414, then OpenID Connect Discovery).
    #[serde(default)]
    pub issuer: Option<Url>,
    /// The token endpoint (RFC 6749 §3.2), by hand instead of by discovery.
    #[serde(default)]
    pub token_endpoint: Option<Url>,
    /// The authorization endpoint (RFC 6749 §3.1), by hand.
    #[serde(default)]
    pub authorization_endpoint: Option<Url>,
    /// The device authorization endpoint (RFC 8628 §3.1), by hand.
    #[serde(default)]
    pub device_authorization_endpoint: Option<Url>,
    /// The revocation endpoint (RFC 7009 §2), by hand.
    #[serde(default)]
    pub revocation_endpoint: Option<Url>,
    /// The endpoint for pushed authorization requests (RFC 9126 §2), by hand.
    #[serde(default)]
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// The keys that the server signs id tokens with (RFC 7517 §5), by hand.
    #[serde(default)]
    pub jwks_uri: Option<Url>,
    /// The client identifier (RFC 6749 §2.2).
    pub client_id: String,
    /// The client secret; absent for a public client.
    #[serde(default)]
    pub client_secret: Option<Source>,
    /// How the client proves itself: `client_secret_basic`, `client_secret_post` or `none`; absent: basic with a secret, none without.
    #[serde(default)]
    pub client_auth: Option<ClientAuth>,
    /// How id and secret are put into the Basic header: `form` (RFC 6749 §2.3.1) or `raw` for servers that do not decode.
    #[serde(default)]
    pub basic_encoding: BasicEncoding,
    /// Where the parameters of a token request go: `form`, `json` or `query`.
    #[serde(default)]
    pub body: BodyFormat,
    /// The scopes asked for at login; not sent on a refresh, where they could narrow the grant for good.
    #[serde(default)]
    pub scope: Vec<String>,
    /// What stands between two scopes.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// Allows `http://` towards an authorization server that is not loopback: the refresh token then travels unprotected.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// The lifetime of an access token where the server tells none and the token is no JWT.
    #[serde(default = "one_hour")]
    pub default_expires_in: Deadline,
    /// How much of an access token's life is left when its successor is fetched; kept between 5 s and 5 min, and at most half of the life.
    #[serde(default = "tenth")]
    pub refresh_before: Margin,
    /// The least age at which a rejected access token is replaced; a younger one's rejection is passed through, unless its successor is due.
    #[serde(default = "renew_floor")]
    pub renew_floor: Period,
    /// Time for a connection to the authorization server to stand, TLS included.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Period,
    /// Time for the whole answer of the authorization server.
    #[serde(default = "token_timeout")]
    pub token_timeout: Period,
    /// Error codes that mean the grant is dead, beside the usual ones (RFC 6749 §5.2 `invalid_grant` …).
    #[serde(default)]
    pub dead: Vec<String>,
    /// How the server treats the refresh token over time.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// Members of the token answer, as dotted paths, that are kept with the grant and shown by `bearward status`.
    #[serde(default)]
    pub capture: Vec<String>,
    /// How `bearward login` asks for the grant (RFC 6749 §4.1).
    #[serde(default)]
    pub authorize: Authorize,
    /// How `bearward login` exchanges the code for tokens (RFC 6749 §4.1.3).
    #[serde(default)]
    pub exchange: Exchange,
    /// How `bearward login --device` begins (RFC 8628 §3.1).
    #[serde(default)]
    pub device: Device,
    /// What is particular about a refresh (RFC 6749 §6).
    #[serde(default)]
    pub refresh: Refresh,
    /// Other names for the parameters of a token request.
    #[serde(default)]
    pub names: Names,
    /// Where the members of a token answer stand, as dotted paths.
    #[serde(default)]
    pub response: Response,
    /// Further header fields of a token request; `${uuid}` and `${now}` stand for a fresh UUID and the time in seconds.
    #[serde(default)]
    pub token_headers: BTreeMap<String, Text>,
    /// How the access token is put on a call.
    #[serde(default)]
    pub inject: Inject,
    /// Where the grant is kept: `[grant.NAME.store.file]`; for several replicas `[grant.NAME.store.kubernetes]` or `[grant.NAME.store.redis]`.
    pub store: Store,
    /// A refresh token to begin with, taken when the store is empty or the seed itself has changed since it was taken.
    #[serde(default)]
    pub seed: Option<Seed>,
    /// Whom to trust and how to prove who we are, towards the authorization server.
    #[serde(default)]
    pub tls: Tls,
}

fn space() -> String {
    String::from(" ")
}

fn one_hour() -> Deadline {
    Deadline::seconds(3600)
}

fn tenth() -> Margin {
    Margin::Percent(10)
}

fn renew_floor() -> Period {
    Period::seconds(30)
}

fn connect_timeout() -> Period {
    Period::seconds(10)
}

fn token_timeout() -> Period {
    Period::seconds(30)
}

/// Client authentication at the token endpoint, by its IANA name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// RFC 6749 §2.3.1, HTTP Basic.
    ClientSecretBasic,
    /// RFC 6749 §2.3.1, in the body.
    ClientSecretPost,
    /// A public client: only `client_id` is sent.
    None,
}

/// How id and secret are put into the Basic header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// Form-encoded first, as RFC 6749 §2.3.1 says.
    #[default]
    Form,
    /// As they are.
    Raw,
}

/// Where the parameters of a token request go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// In an `application/x-www-form-urlencoded` body (RFC 6749 §3.2).
    #[default]
    Form,
    /// In a JSON body.
    Json,
    /// In the query of the URL; the body is empty.
    Query,
}

/// How the server treats the refresh token over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetime {
    /// Whether a refresh brings a new refresh token: `auto` learns it from the answers; set `always` where it does so only now and then.
    pub rotation: RotationRule,
    /// How long the server takes an old refresh token again after it gave a new one; only in that time is one sent again whose answer was lost.
    pub replay_window: Period,
    /// How long the server lets the grant live without a refresh; at half of it one is made although nobody needs it. Absent: for ever.
    pub idle: Option<Period>,
    /// How long the grant lives in all, however often it is refreshed; warnings come 30, 7 and 1 days before. Absent: for ever.
    pub absolute: Option<Period>,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            rotation: RotationRule::Auto,
            replay_window: Period::seconds(0),
            idle: None,
            absolute: None,
        }
    }
}

/// Whether a refresh brings a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationRule {
    /// As the answers so far show; until the first one, it does.
    #[default]
    Auto,
    /// The refresh token stays: sending it twice does no harm.
    Never,
    /// It may be replaced by any refresh.
    Always,
}

/// What is particular about a refresh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Refresh {
    /// The URL for refreshing, where it is not the token endpoint; its query is kept.
    pub url: Option<Url>,
    /// Further parameters of the refresh request; an empty text drops a usual one.
    pub params: BTreeMap<String, Text>,
    /// Whether `scope` is sent on a refresh; at several servers it narrows the grant for good.
    pub scope: bool,
    /// Client authentication on a refresh, where it differs.
    pub client_auth: Option<ClientAuth>,
}

/// Other names for the parameters of a token request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// The name of the parameter `client_id`.
    pub client_id: String,
    /// The name of the parameter `client_secret`.
    pub client_secret: String,
    /// The name of the parameter `grant_type`.
    pub grant_type: String,
    /// The name of the parameter `refresh_token`; the value of `grant_type` stays as it is.
    pub refresh_token: String,
    /// The name of the parameter `scope`.
    pub scope: String,
    /// The name of the parameter `redirect_uri`.
    pub redirect_uri: String,
    /// The name of the parameter `code`, in the browser's answer and in the token request.
    pub code: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            client_id: String::from("client_id"),
            client_secret: String::from("client_secret"),
            grant_type: String::from("grant_type"),
            refresh_token: String::from("refresh_token"),
            scope: String::from("scope"),
            redirect_uri: String::from("redirect_uri"),
            code: String::from("code"),
        }
    }
}

/// Where the members of a token answer stand, as dotted paths (`data.access_token`, `errors.0.code`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// The path of the access token.
    pub access_token: String,
    /// The path of the refresh token.
    pub refresh_token: String,
    /// The path of the lifetime.
    pub expires_in: String,
    /// The unit of the lifetime: `s` or `ms`.
    pub expires_in_unit: TimeUnit,
    /// The path of the moment of expiry: RFC 3339, or Unix time in seconds or milliseconds.
    pub expires_at: String,
    /// The path of the refresh token's own lifetime; absent: the usual names are looked for.
    pub refresh_expires_in: Option<String>,
    /// The path of the granted scope.
    pub scope: String,
    /// The path of the error code.
    pub error: String,
    /// What must hold for an answer to be a success, such as `ok == true` or `result == "0000"`.
    pub ok: Option<String>,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            access_token: String::from("access_token"),
            refresh_token: String::from("refresh_token"),
            expires_in: String::from("expires_in"),
            expires_in_unit: TimeUnit::Seconds,
            expires_at: String::from("expires_at"),
            refresh_expires_in: None,
            scope: String::from("scope"),
            error: String::from("error"),
            ok: None,
        }
    }
}

/// The unit of a lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// How the access token is put on a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inject {
    /// The header field that carries the token.
    pub header: String,
    /// What stands before the token; empty for nothing.
    pub scheme: String,
}

impl Default for Inject {
    fn default() -> Self {
        Self {
            header: String::from("authorization"),
            scheme: String::from("Bearer"),
        }
    }
}

/// A refresh token to begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The refresh token.
    pub refresh_token: Source,
}
