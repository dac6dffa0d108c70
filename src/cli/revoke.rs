//! `bearward revoke`: gives a grant back to the authorization server and leaves a tombstone.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::stow::{Opened, lease, open, seed};
use super::{Failure, Named, ask, block_on, grant, read, say, warn};
use crate::config::{self, Config, GrantName};
use crate::grant::{Farewell, Means, Reason};
use crate::issuer::{Issuer, RevokeError};
use crate::store::{self, Record, Store};
use crate::telemetry::chain;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    named: Named,
    /// Forget the grant here without asking the server, which may be gone
    #[arg(long)]
    local: bool,
}

/// The way out where the server is the trouble.
const LOCAL: &str =
    "`--local` forgets the grant here alone; then revoke it in the server's own console";

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let config = read(&options.named.file.config)?;
    let name = &options.named.grant;
    let means = if options.local {
        Means::Forget
    } else {
        Means::Revoke
    };
    let farewell = block_on(revoke(&config, name, means))??;
    tell(name, &farewell);
    Ok(())
}

async fn revoke(config: &Config, name: &GrantName, means: Means) -> Result<Farewell, Failure> {
    let section = grant(config, name)?;
    match open(section, name).await? {
        Opened::Free(store) => {
            let lease = lease(store.as_ref(), name).await?;
            let farewell = here(store.as_ref(), section, name, means).await;
            // One that is not given back ends by itself.
            let _ = store.release(&lease).await;
            farewell
        }
        Opened::Held(error) => through(config, name, means, error).await,
    }
}

/// Does it itself: no process holds the store, and no replica has the lease.
async fn here(
    store: &dyn Store,
    section: &config::Grant,
    name: &GrantName,
    means: Means,
) -> Result<Farewell, Failure> {
    let stored = store.load().await?;
    let Some(stored) = stored.filter(|stored| !stored.is_tombstone()) else {
        return Err(Failure::new(format!("no grant `{name}` is stored")));
    };
    let left = match means {
        Means::Revoke => ask_server(section, &stored)
            .await
            .map_err(|error| Failure::new(not_revoked(name, &error)).hint(Some(LOCAL)))?,
        Means::Forget => None,
    };
    let now = Timestamp::now();
    let farewell = Farewell::to(&stored, means, left, now);
    let mut tombstone = stored.tombstone(now);
    tombstone.seed = tombstone.seed.or_else(|| seed(section));
    // Killed before this, the store keeps a dead grant, which the next refresh finds dead.
    let saved = store.save(&tombstone, Some(stored.generation)).await;
    saved.map_err(|error| match means {
        Means::Revoke => Failure::new(format!(
            "grant `{name}` is revoked at the server and still stands in the store: {}",
            chain(&error)
        ))
        .hint(error.hint()),
        Means::Forget => error.into(),
    })?;
    Ok(farewell)
}

/// Has the server revoke what is stored; why it left the access token, if it did.
async fn ask_server(section: &config::Grant, stored: &Record) -> Result<Option<String>, String> {
    let issuer = Issuer::new(section).map_err(|error| chain(&error))?;
    let access_token = stored.living_access_token(Timestamp::now());
    let revoked = issuer.revoke(&stored.refresh_token, access_token).await;
    let revoked = revoked.map_err(|error: RevokeError| chain(&error))?;
    Ok(revoked.access_token.left())
}

/// Has the process do it that holds the store.
async fn through(
    config: &Config,
    name: &GrantName,
    means: Means,
    held: store::Error,
) -> Result<Farewell, Failure> {
    let action = match means {
        Means::Revoke => "revoke",
        Means::Forget => "forget",
    };
    let path = format!("/grants/{name}/{action}");
    let asked = ask::act(&config.admin.listen, &path, ask::Content::Nothing).await;
    let (status, told) = asked.map_err(|_| Failure::from(held))?;
    let farewell = told.get("revoked").cloned();
    let farewell = farewell.and_then(|farewell| serde_json::from_value(farewell).ok());
    match farewell {
        Some(farewell) if status.is_success() => Ok(farewell),
        _ => Err(refused(name, &told)),
    }
}

/// The process's word on why it did not do it, with the way out where the server is the trouble.
fn refused(name: &GrantName, told: &Value) -> Failure {
    let said = told.get("error").and_then(Value::as_str);
    let of_server = [
        Reason::IssuerUnavailable,
        Reason::ClientRefused,
        Reason::ConfigurationRefused,
    ];
    if of_server.iter().any(|reason| said == Some(reason.as_str())) {
        return Failure::new(not_revoked(name, &ask::why(told))).hint(Some(LOCAL));
    }
    ask::refused(&format!("grant `{name}` is not taken back"), told)
}

fn not_revoked(name: &GrantName, why: &str) -> String {
    format!("grant `{name}` is not revoked: {why}")
}

/// Says what was done.
fn tell(name: &GrantName, farewell: &Farewell) {
    let Farewell {
        refresh_token,
        access_token,
        means,
        access_token_left,
    } = farewell;
    match means {
        Means::Forget => {
            say(&format!(
                "grant `{name}`: refresh token {refresh_token} is forgotten here"
            ));
            warn("the server was not asked: revoke it in the server's own console");
        }
        Means::Revoke => {
            let also = match (access_token, access_token_left) {
                (Some(access_token), None) => format!(", access token {access_token} too"),
                _ => String::new(),
            };
            say(&format!(
                "grant `{name}`: refresh token {refresh_token} is revoked{also}"
            ));
            if let (Some(access_token), Some(why)) = (access_token, access_token_left) {
                warn(&format!(
                    "access token {access_token} was not revoked by itself ({why}); it may live until its end"
                ));
            }
        }
    }
}
