//! `bearward import`: a refresh token from standard input into the store.
//!
//! Never from an argument: arguments stand in process lists and shell histories.

use std::io::{IsTerminal, Read, stdin};

use bytes::Bytes;
use jiff::Timestamp;

use super::{Failure, Named, ask, block_on, grant, read, warn};
use crate::config::{self, GrantName};
use crate::secret::Secret;
use crate::store::{self, ErrorKind, Record};

/// More is no refresh token.
const LARGEST: u64 = 64 * 1024;

pub(super) fn run(options: &Named) -> Result<(), Failure> {
    let config = read(&options.file.config)?;
    let section = grant(&config, &options.grant)?;
    let token = token()?;
    let fingerprint = token.fingerprint();
    let name = &options.grant;
    let metrics = store::Metrics::register(&prometheus::Registry::new())
        .map_err(|error| Failure::new(error.to_string()))?;
    match block_on(put(section, name, &token, &metrics))? {
        Err(error) if error.kind == ErrorKind::Held => {
            // The process that holds the store takes it, if it may.
            let path = format!("/grants/{name}/import");
            let body = Bytes::from(token.expose().clone());
            let asked = block_on(ask::act(&config.admin.listen, &path, body))?;
            let (status, told) = asked.map_err(|_| Failure::from(error))?;
            if !status.is_success() {
                let what = format!("the process that keeps grant `{name}` does not take it");
                return Err(ask::refused(&what, &told));
            }
        }
        stored => stored?,
    }
    warn(&format!(
        "grant `{name}`: refresh token {fingerprint} is stored"
    ));
    Ok(())
}

/// Reads the token; line ends and blanks around it are a shell's, not the server's.
fn token() -> Result<Secret<String>, Failure> {
    if stdin().is_terminal() {
        warn("paste the refresh token and end with Ctrl-D:");
    }
    let mut text = String::new();
    let read = stdin().take(LARGEST + 1).read_to_string(&mut text);
    let token = Secret::new(text.trim().to_owned());
    let length = text.len() as u64;
    drop(Secret::new(text));
    read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    if token.expose().is_empty() {
        return Err(Failure::new("standard input is empty").hint(Some(
            "pipe the refresh token in: `bearward import GRANT < token-file`",
        )));
    }
    // RFC 6749 §A.17 has visible characters, and the blank, which is here a sign of two words.
    if length > LARGEST || token.expose().contains(|c: char| !c.is_ascii_graphic()) {
        return Err(
            Failure::new("standard input is not a refresh token").hint(Some(
                "it must be one token of visible ASCII characters, of at most 64 KiB",
            )),
        );
    }
    Ok(token)
}

/// Begins a new chain; what was stored before stays as the previous refresh token.
async fn put(
    section: &config::Grant,
    name: &GrantName,
    token: &Secret<String>,
    metrics: &store::Metrics,
) -> Result<(), store::Error> {
    let store = store::open(&section.store, name, metrics).await?;
    let stored = store.load().await?;
    let mut record = Record::new(token.clone(), Timestamp::now());
    let seed = section
        .seed
        .as_ref()
        .and_then(|seed| seed.refresh_token.read().ok());
    // So that the configured seed does not count as changed, and take the place of this token.
    record.seed = seed.map(|seed| seed.hash());
    record.generation = stored.as_ref().map_or(1, |stored| stored.generation + 1);
    let generation = stored.as_ref().map(|stored| stored.generation);
    record.previous_refresh_token = stored.map(|stored| stored.refresh_token);
    store.save(&record, generation).await
}
