//! The protocol as pure functions: requests out, answers in.
//!
//! What always holds: no I/O, no clock and no randomness in here but what is handed in, so that
//! every case is a table-driven test.
//!
//! A login goes [`EnrolmentProfile::address`] → (the browser) → [`Redirected::read`] →
//! [`EnrolmentProfile::exchange`] → (the wire) → [`classify()`], or by a [`DeviceCode`].
//! A refresh goes [`Profile::refresh`] → (the wire) → [`classify()`] → [`expires_at`]. Where the
//! endpoints are is [`Metadata`]'s word. What the *upstream* says of an access token is read by
//! [`Rejection`]. Who logged in is told by [`validate_id_token`].

mod bearable;
mod class;
mod code;
mod json_path;
mod predicate;
mod rules;

mod client;
mod client_auth;
mod draft;
mod enrolment;
mod request;
mod revoke;

mod answer;
mod classify;
mod content;
mod reading;
mod refusal;
mod retry_after;

mod complaint;
mod device;
mod redirected;

mod jwt;
mod lifetime;

mod id_token;
mod key_set;

mod challenge;
mod metadata;
mod rejection;
mod remedy;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Expires, Failure, Tokens};
pub use class::Class;
pub use classify::{Reply, classify, classify_cut};
pub use complaint::Complaint;
pub use device::{DeviceCode, Poll};
pub use enrolment::{Attempt, EnrolmentProfile, RANDOMNESS};
pub use id_token::{Expected, IdTokenError, Subject, validate_id_token};
pub use json_path::{JsonPath, MalformedPath};
pub use key_set::{KeySet, KeySetError};
pub use lifetime::{expires_at, refresh_expires_at};
pub use metadata::{Metadata, MetadataError, Plaintext, well_known};
pub use redirected::{Awaited, Disbelief, Iss, Redirected, pasted};
pub use rejection::{Rejection, Verdict};
pub use remedy::{Asked, Remedy, remedy};
pub use request::{Credentials, Fresh, Profile, RequestError, TokenRequest, document_request};
pub use revoke::{TokenKind, revoked};
pub use rules::{ResponseRules, SectionError};
