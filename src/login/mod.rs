//! Faces a person: authorization code and device flows.
//!
//! [`page`] is what the browser shows at the end.
//!
//! What always holds: the page loads nothing and runs nothing.

mod page;

pub use page::{Ending, Failed, Granted, Outcome, Page, Scope, html};
