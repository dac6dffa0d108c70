//! What the tests stand on: the real program as a child process, an HTTP client, a leak search.
#![allow(
    dead_code,
    unused_imports,
    reason = "a kit: not each test binary of each day uses each tool"
)]

pub mod browser;
pub mod client;
pub mod golden;
pub mod leaks;
pub mod login;
pub mod oidc;
pub mod redis;
pub mod settings;
pub mod sidecar;

pub mod child;
mod plan;
mod program;
mod said;
mod wire;

pub use browser::Browser;
pub use leaks::Leaks;
pub use oidc::OidcProvider;
pub use plan::SidecarBuilder;
pub use program::{Exit, bearward, run, write_private};
pub use said::{Event, Metrics};
pub use settings::Settings;
pub use sidecar::Sidecar;
