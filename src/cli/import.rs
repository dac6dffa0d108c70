//! `bearward import`: a refresh token from standard input into the store.
//!
//! Never from an argument: arguments stand in process lists and shell histories.

use std::io::{IsTerminal, Read, stdin};

use jiff::Timestamp;

use super::stow::{Reached, Stowed, Way, reach, stow};
use super::{Failure, Named, block_on, grant, read, warn};
use crate::secret::Secret;
use crate::store::{Record, RefreshToken};

pub(super) fn run(options: &Named) -> Result<(), Failure> {
    let config = read(&options.file.config)?;
    let name = &options.grant;
    grant(&config, name)?;
    if stdin().is_terminal() {
        // Nobody is to look for a token that then cannot be stored.
        let reached = block_on(reach(&config, name))??;
        warn(&invitation(&reached));
    }
    let token = token()?.into_secret();
    let fingerprint = token.fingerprint();
    let record = Record::new(token, Timestamp::now());
    let stowed = block_on(stow(&config, name, record))??;
    warn(&format!(
        "grant `{name}`: refresh token {fingerprint} is stored"
    ));
    if let Stowed::Kept(why) = stowed {
        warn(&format!(
            "warning: no access token of it could be had yet: {why}"
        ));
    }
    Ok(())
}

/// What a person at a terminal is told.
fn invitation(reached: &Reached) -> String {
    let place = match reached.way {
        Way::Store => "into the store",
        Way::Process => "into the process that keeps the grant",
    };
    let replaces = match (&reached.refresh_token, &reached.subject) {
        (Some(token), Some(subject)) => {
            format!("; it replaces {token} of account `{subject}`")
        }
        (Some(token), None) => format!("; it replaces {token}"),
        (None, _) => String::new(),
    };
    format!("paste the refresh token and end with Ctrl-D; it goes {place}{replaces}:")
}

/// Reads the token; line ends and blanks around it are a shell's, not the server's.
fn token() -> Result<RefreshToken, Failure> {
    let mut text = String::new();
    let most = RefreshToken::LONGEST as u64 + 1;
    let read = stdin().take(most).read_to_string(&mut text);
    let cut = text.len() > RefreshToken::LONGEST;
    let token = Secret::new(text.trim().to_owned());
    drop(Secret::new(text));
    read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    if token.expose().is_empty() && !cut {
        return Err(Failure::new("standard input is empty").hint(Some(
            "pipe the refresh token in: `bearward import GRANT < token-file`",
        )));
    }
    match RefreshToken::new(token) {
        Ok(token) if !cut => Ok(token),
        _ => Err(
            Failure::new("standard input is not a refresh token").hint(Some(
                "it must be one token of visible ASCII characters, of at most 64 KiB",
            )),
        ),
    }
}
