//! What bodies of both sides have in common: patience between pieces, and a first piece taken early.
//!
//! What always holds: neither costs anything for a body that is there already. [`Patience`]
//! makes its timer only when a body lets us wait, and [`peek()`] never waits for one.

mod patience;
mod peek;

pub use patience::Patience;
pub use peek::{Peek, Peeked, peek};
