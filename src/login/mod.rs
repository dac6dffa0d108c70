//! Faces a person: authorization code and device flows.
//!
//! [`loopback`] is where the browser comes back to (RFC 8252 §7.3), [`page`] what it shows there.
//!
//! What always holds: the page loads nothing and runs nothing, and what the authorization server
//! sends back is a secret from the first byte on, since the code is in it.

mod loopback;
mod page;

pub use loopback::{BindError, Loopback, Returned};
pub use page::{Ending, Failed, Granted, Outcome, Page, Scope, html};
