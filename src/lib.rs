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
//! | | [`ready`] | who still blocks readiness |
//! | 1 words | [`config`] | the configuration file as typed vocabulary |
//! | 2 kit | [`tls`] | TLS configurations from files |
//! | | [`oauth`] | the protocol as pure functions |
//! | 3 wires | [`upstream`] | far side: dial, TLS, ALPN |
//! | 4 offices | [`issuer`] | the authorization server as calls |
//! | | [`store`] | where a grant's record is kept |

pub mod backoff;
pub mod config;
pub mod drain;
pub mod issuer;
pub mod oauth;
pub mod ready;
pub mod secret;
pub mod store;
pub mod tls;
pub mod upstream;
