//! A practice world on loopback: an authorization server, an API and a raw backend.
//!
//! The tests put Bearward between them; the demo does too. They are strict where real servers
//! are strict (client authentication, rotation, reuse detection, expiry) and do as they are
//! told where a test needs a server that misbehaves ([`Reply`], [`Gate`]).
//!
//! What always holds: they listen on loopback at a port the system chooses, write down all
//! that happens to them ([`Journal`]), remember every secret they ever gave out ([`Secrets`]),
//! and end when they are dropped.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "shared by the tests and the demo, each of which uses a part"
)]

mod body;
mod journal;
mod reply;
mod secrets;
mod tls;
mod wire;

mod api;
mod consent;
mod endpoints;
mod issuer;
mod kubernetes;
mod ledger;
mod raw;
mod recorded;
mod token_request;

pub use api::{Api, ApiBuilder};
pub use issuer::{Issuer, IssuerBuilder};
pub use journal::{Journal, Overdue};
pub use kubernetes::{Asked, Kubernetes, NAMESPACE};
pub use ledger::{OldAccess, Replay, Rotation};
pub use raw::{RawBackend, Step};
pub use recorded::{Progress, Recorded};
pub use reply::{Gate, Reply};
pub use secrets::Secrets;
pub use tls::Authority;
pub use token_request::{ClientAuth, Outcome, TokenRequest};
pub use wire::Protocol;
