//! The configuration file as typed vocabulary.
//!
//! Data flows one way: text → [`document`] (TOML that knows its places) → [`shape`] (known keys
//! with values of the right kind; what is at fault is taken out) → the sections below by serde →
//! [`check`] (what one key says about another). Every fault found on the way is told at once,
//! with line, caret and hint ([`Faults`]), and no secret is ever shown ([`mask`]).
//!
//! What always holds: a [`Config`] that exists has passed every check. The rooms above take
//! *their own section by value*, never the whole. The sentences of the keys are their doc
//! comments here; `bearward schema` and `config.example.toml` are held against them by a test.

mod document;
mod fault;
mod mask;
mod nearest;
mod predicate;
mod schema;
mod shape;
mod source;
mod values;

mod check;
mod read;

mod admin;
mod authorize;
mod grant;
mod log;
mod proxy;
mod route;
mod store;
mod tls;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use admin::Admin;
pub use authorize::{Authorize, Device, Exchange, Par, Pkce};
pub use fault::{Fault, Faults};
pub use grant::{
    BasicEncoding, BodyFormat, ClientAuth, Grant, Inject, Lifetime, Names, Refresh, Response,
    RotationRule, Seed, TimeUnit,
};
pub use log::{Log, LogFormat, LogLevel};
pub use predicate::{Predicate, Relation};
pub use proxy::{Proxy, Reload};
pub use read::ReadError;
pub use route::{ExpiredRule, HttpVersion, Pool, Route, Scalar};
pub use schema::SCHEMA;
pub use source::{Source, SourceError, StoreKey, Text};
pub use store::{FileStore, KubernetesStore, RedisStore, Sentinel, Store};
pub use tls::Tls;
pub use values::{
    Deadline, GrantName, Listen, Malformed, Margin, Namespace, ObjectName, Period, RedisUrl, Size,
    Url,
};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The side that faces the legacy service.
    #[serde(default)]
    pub proxy: Proxy,
    /// The side that faces the operator: health, metrics, status.
    #[serde(default)]
    pub admin: Admin,
    /// What is written to standard error.
    #[serde(default)]
    pub log: Log,
    /// When the configuration is read again.
    #[serde(default)]
    pub reload: Reload,
    /// The grants by name; each is one refresh token and what comes of it.
    #[serde(default)]
    pub grant: BTreeMap<GrantName, Grant>,
    /// Which calls go where with which grant; the longest matching path of a matching host wins.
    #[serde(default)]
    pub route: Vec<Route>,
}
