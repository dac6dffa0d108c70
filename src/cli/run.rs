//! `bearward run`: the proxy itself.

use std::path::Path;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::{Failure, read};
use crate::{app, telemetry};

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = read(path)?;
    telemetry::init(&config.log);
    hide_memory();
    app::run(path.to_owned(), config)
        .map_err(|error| Failure::new(telemetry::chain(&error)).hint(error.hint()))
}

/// Memory holds the credentials: no core dump is written, and no process of the same user may
/// attach. Costs the process metric of open files where we are not root.
fn hide_memory() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
}
