//! Bearward keeps an OAuth grant alive and puts a fresh access token on every call.
//!
//! ```text
//!  legacy service ──http──▶ bearward ──https + bearer──▶ upstream API
//!                              │  ▲
//!                   refresh    ▼  │ new access token (+ rotated refresh token)
//!                        authorization server            store
//! ```
//!
//! # The house
//! One room per module. A room uses rooms of lower floors only, never its own floor and never
//! above; `tests/it/house.rs` reads the sources and checks it.
//!
//! | floor | room | holds |
//! |---|---|---|
//! | 0 ground | [`secret`] | values that must never be shown |
//! | | [`backoff`] | bounded, jittered waits |
//! | | [`drain`] | one signal to stop, one way to know that all have |
//! | | [`keepalive`] | how a TCP connection notices that its other end vanished |
//! | | [`ready`] | who still blocks readiness |
//! | | [`seldom`] | a future beside a busy one, polled only when it asks |
//! | 1 words | [`config`] | the configuration file as typed vocabulary |
//! | 2 kit | [`telemetry`] | logs, set up once |
//! | | [`body`] | patience between a body's pieces, and a first piece taken early |
//! | | [`tls`] | client configurations from files |
//! | | [`oauth`] | the protocol as pure functions |
//! | 3 wires | [`listen`] | near side: bind, accept, serve, limits, goodbye |
//! | | [`upstream`] | far side: dial, TLS, pools |
//! | 4 offices | [`issuer`] | the authorization server as calls |
//! | | [`store`] | where a grant's record is kept |
//! | 5 keeper | [`grant`] | keeps one grant alive |
//! | 6 faces | [`proxy`] | faces the service: the way of a request |
//! | | [`login`] | faces a person: authorization code and device flows |
//! | | [`admin`] | faces the operator: health, readiness, metrics, status |
//! | 7 house | [`app`] | builds the rooms and runs them |
//! | 8 door | [`cli`] | one file per command |
//!
//! A newcomer reads [`proxy`] first (the way of a request), then [`grant`] (the keeper).

pub mod admin;
pub mod app;
pub mod backoff;
pub mod body;
pub mod cli;
pub mod config;
pub mod drain;
pub mod grant;
pub mod issuer;
pub mod keepalive;
pub mod listen;
pub mod login;
pub mod oauth;
pub mod proxy;
pub mod ready;
pub mod secret;
pub mod seldom;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
