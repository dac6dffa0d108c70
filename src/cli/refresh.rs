//! `bearward refresh`: has the running process refresh a grant now.

use clap::Args;
use serde_json::Value;

use super::{Failure, File, ask, block_on, grant, read, say};
use crate::config::GrantName;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The grant's name in the configuration
    #[arg(value_name = "GRANT")]
    grant: GrantName,
    #[command(flatten)]
    file: File,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let config = read(&options.file.config)?;
    let name = &options.grant;
    grant(&config, name)?;
    let listen = &config.admin.listen;
    let path = format!("/grants/{name}/refresh");
    let (status, told) = block_on(ask::act(listen, &path))?.map_err(|error| {
        Failure::new(format!("no process answers at {listen}: {error}")).hint(Some(
            "a grant is refreshed by the process that keeps it: start `bearward run`",
        ))
    })?;
    if status.is_success() {
        say(&format!("grant `{name}` is refreshed"));
        return Ok(());
    }
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    let reason = text("error").unwrap_or("unknown");
    let code = text("code")
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let failure = Failure::new(format!("grant `{name}` is not refreshed: {reason}{code}"));
    Err(failure.hint(text("message")))
}
