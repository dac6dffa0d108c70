//! The protocol as pure functions: requests out, answers in.
//!
//! What always holds: no I/O, no clock and no randomness in here but what is handed in, so that
//! every case is a table-driven test.

mod answer;

pub use answer::{Answer, Class, Expires, Failure, Tokens};
