//! `bearward schema`: a JSON Schema of the configuration file, for editors.

use super::say;
use crate::config;

pub(super) fn run() {
    say(config::SCHEMA.trim_end());
}
