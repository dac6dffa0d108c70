//! `bearward wait` and `bearward healthcheck`: ask a running process how it is, for init scripts
//! and containers without a shell.
//!
//! Of the configuration they read where the admin side listens, and nothing else: a probe must
//! work, and quickly, whatever else is wrong with the file.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;
use tokio::time::sleep;

use super::{Failure, File, ask, block_on, report, say};
use crate::config::{Admin, Listen, Period};

/// How often is asked.
const INTERVAL: Duration = Duration::from_millis(150);

/// The longest that a single probe may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Wait {
    #[command(flatten)]
    probe: Probe,
    /// How long to wait at most, such as `60s` or `2m`
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Period,
}

#[derive(Debug, Args)]
pub(super) struct Probe {
    #[command(flatten)]
    file: File,
    /// Ask whether it is ready, and not only whether it runs
    #[arg(long)]
    ready: bool,
}

/// Asks until the answer is yes, or time is up.
pub(super) fn wait(options: &Wait) -> Result<(), Failure> {
    let listen = admin(&options.probe.file.config)?;
    let deadline = Instant::now() + options.timeout.duration();
    block_on(async {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(why) = ask(&listen, &options.probe, left).await else {
                return Ok(());
            };
            if Instant::now() + INTERVAL >= deadline {
                let timeout = options.timeout;
                let message = format!("it did not come in {timeout}; the last answer was:\n{why}");
                return Err(Failure::new(message));
            }
            sleep(INTERVAL).await;
        }
    })?
}

/// Asks once.
pub(super) fn healthcheck(options: &Probe) -> Result<(), Failure> {
    let listen = admin(&options.file.config)?;
    let said = block_on(ask(&listen, options, PATIENCE))?;
    said.map(|word| say(&word)).map_err(Failure::new)
}

/// The process's yes, or why there is none.
async fn ask(listen: &Listen, probe: &Probe, patience: Duration) -> Result<String, String> {
    let path = if probe.ready { "/readyz" } else { "/livez" };
    match ask::page(listen, path, patience).await {
        Ok((status, text)) if status.is_success() => Ok(text),
        Ok((status, text)) if text.is_empty() => Err(format!("{listen} answers {status}")),
        Ok((_, text)) => Err(text),
        Err(error) => Err(format!("no process answers at {listen}: {error}")),
    }
}

/// The one key that a probe reads.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    admin: Section,
}

#[derive(Default, Deserialize)]
struct Section {
    listen: Option<Listen>,
}

/// Where the admin side listens; where no file is, at the default address.
fn admin(path: &Path) -> Result<Listen, Failure> {
    let unusable = |why: &str| {
        let message = format!(
            "cannot read `[admin] listen` in `{}`: {why}",
            path.display()
        );
        Failure::Faulty(report(&message, None))
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Admin::default().listen),
        Err(error) => return Err(unusable(&error.to_string())),
    };
    // Of the error only its message: the rest of it shows the line, and who knows what is there.
    let document: Document = toml::from_str(&text).map_err(|error| unusable(error.message()))?;
    Ok(document
        .admin
        .listen
        .unwrap_or_else(|| Admin::default().listen))
}
