//! `[[route]]`: which calls go where, and what counts as a rejected token.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::Text;
use super::tls::Tls;
use super::values::{Deadline, GrantName, Period, Size, Url};

/// Which calls go where with which grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The `Host` the service asks for, without port; absent: any.
    #[serde(default)]
    pub host: Option<String>,
    /// The path prefix, matched by whole segments on the bytes as sent.
    #[serde(default = "root")]
    pub path: String,
    /// Whether the prefix is cut off before the upstream's own path is put in front.
    #[serde(default)]
    pub strip_prefix: bool,
    /// The grant whose access token is put on.
    pub grant: GrantName,
    /// The real API: scheme, host and an optional path that is put in front.
    pub upstream: Url,
    /// Allows `http://` towards a host that is not loopback: the token then travels unprotected.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// The protocol towards the upstream: `auto` (ALPN over TLS, else HTTP/1.1), `http1` or `http2`.
    #[serde(default)]
    pub http: HttpVersion,
    /// Header fields that are set on every call, over what the service sent.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Answers, beside 401, that mean the access token was rejected.
    #[serde(default)]
    pub expired_when: Vec<ExpiredRule>,
    /// Bytes of a request's body kept for sending it again after a rejection; a longer body is not sent again.
    #[serde(default = "replay_max")]
    pub replay_max: Size,
    /// How long a request waits for an access token before it is answered with 503.
    #[serde(default = "token_wait")]
    pub token_wait: Period,
    /// Time for a connection to the upstream to stand, TLS included; longer is answered with 504.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Period,
    /// Time from the request's end to the head of the answer; longer is answered with 504.
    #[serde(default = "response_timeout")]
    pub response_timeout: Deadline,
    /// Time between two pieces of the answer's body; longer cuts the answer.
    #[serde(default = "body_timeout")]
    pub body_timeout: Deadline,
    /// Header fields in an answer of HTTP/1.1; more is answered with 502.
    #[serde(default = "max_headers")]
    pub max_headers: u16,
    /// How old a stream or an upgraded connection may become, whose token may have ended meanwhile. Absent: no limit.
    #[serde(default)]
    pub max_stream_age: Option<Period>,
    /// Connections to the upstream that are kept for the next call.
    #[serde(default)]
    pub pool: Pool,
    /// Whom to trust and how to prove who we are.
    #[serde(default)]
    pub tls: Tls,
}

fn root() -> String {
    String::from("/")
}

fn replay_max() -> Size {
    Size::kib(64)
}

fn token_wait() -> Period {
    Period::seconds(10)
}

fn connect_timeout() -> Period {
    Period::seconds(5)
}

fn response_timeout() -> Deadline {
    Deadline::seconds(60)
}

fn body_timeout() -> Deadline {
    Deadline::seconds(300)
}

fn max_headers() -> u16 {
    100
}

/// The protocol towards an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/2 where ALPN offers it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, over plain TCP by prior knowledge.
    Http2,
}

/// An answer that means the access token was rejected. All conditions that are given must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpiredRule {
    /// The status of the answer.
    pub status: u16,
    /// A dotted path to a member of the JSON body, such as `error.code`; alone it must be there.
    #[serde(default)]
    pub json: Option<String>,
    /// The member's whole value.
    #[serde(default)]
    pub equals: Option<Scalar>,
    /// What the member's text begins with.
    #[serde(default)]
    pub prefix: Option<String>,
    /// A text that stands somewhere in the body.
    #[serde(default)]
    pub body: Option<String>,
}

/// A JSON value without parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

/// Connections to the upstream that are kept for the next call; each worker has its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// HTTP/1.1 connections per worker, idle and busy; a call beyond waits for one, in order.
    pub max_connections: u32,
    /// How long an idle connection is kept; keep it below the upstream's own limit.
    pub idle_timeout: Deadline,
    /// How old a connection may become before it is replaced, so that DNS changes are followed.
    pub max_age: Deadline,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            idle_timeout: Deadline::seconds(30),
            max_age: Deadline::seconds(300),
        }
    }
}
