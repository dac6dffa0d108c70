//! The far side: dialling an upstream.

mod dial;
mod wire;

pub use dial::{DialError, DialFailure, Dialer};
pub use wire::Wire;
