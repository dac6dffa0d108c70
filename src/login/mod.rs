//! Faces a person: asks for offline access, and checks that it was really given.
//!
//! Two ways lead to a grant. Through a browser ([`CodeLogin`]): an address to open, an answer that
//! comes back to the [`Loopback`] or is pasted, and the code in it exchanged for tokens. Through
//! another device ([`DeviceLogin`]): a code to enter there, while the server is asked now and then.
//! Either ends in an [`Obtained`]: a record for the store, and what a person should hear of it.
//!
//! What always holds: nothing is stored in here and nothing is printed; an answer that is not
//! ours is not believed; a login without a refresh token is a failure that names its remedy.

mod code;
mod device;
mod error;
mod loopback;
mod obtained;
mod page;

pub use code::{Arrival, CodeLogin};
pub use device::DeviceLogin;
pub use error::Error;
pub use loopback::{BindError, Loopback, Returned};
pub use obtained::Obtained;
pub use page::{Ending, Failed, Granted, Outcome, Page, Scope, html};
