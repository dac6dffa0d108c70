//! `bearward status`: the state of every grant, from the running process or from the stores.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Failure, File, ask, block_on, read, say};
use crate::config::Config;
use crate::grant::Status;
use crate::store;
use crate::telemetry::chain;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let config = read(&options.file.config)?;
    let found = block_on(find(&config))?;
    if options.json {
        say(&format!("{:#}", found.report));
    } else {
        say(&format!("source: {}", text(&found.report, "source")));
        let grants = found.report.get("grants").and_then(Value::as_array);
        for grant in grants.into_iter().flatten() {
            say(&format!("\n{}", describe(grant)));
        }
    }
    let whole = found.unreadable.is_empty();
    for failure in found.unreadable {
        failure.tell();
    }
    if whole { Ok(()) } else { Err(Failure::Told) }
}

/// What there is to show, and the stores that told nothing.
struct Found {
    report: Value,
    unreadable: Vec<Failure>,
}

/// The running process knows most; where none answers, the stores are read without holding them.
async fn find(config: &Config) -> Found {
    let listen = &config.admin.listen;
    match ask::status(listen).await {
        Ok(mut report) => {
            if let Some(report) = report.as_object_mut() {
                let source = format!("process at {listen}");
                report.insert(String::from("source"), json!(source));
            }
            Found {
                report,
                unreadable: Vec::new(),
            }
        }
        Err(_) => peek(config).await,
    }
}

/// What the stores say by themselves. One that cannot be read does not hide the others.
async fn peek(config: &Config) -> Found {
    let (mut grants, mut unreadable) = (Vec::new(), Vec::new());
    for (name, section) in &config.grant {
        match store::peek(&section.store, name).await {
            Ok(record) => {
                let status = Status::of(name, record.as_ref(), Timestamp::now());
                grants.push(serde_json::to_value(status).unwrap_or_default());
            }
            Err(error) => {
                let hint = error.hint().map(str::to_owned);
                let message = format!("grant `{name}`: {}", chain(&error));
                grants.push(json!({ "grant": name, "state": "unreadable" }));
                unreadable.push(Failure::new(message).hint(hint));
            }
        }
    }
    let source = format!("stores (no process answers at {})", config.admin.listen);
    let report =
        json!({ "source": source, "version": env!("CARGO_PKG_VERSION"), "grants": grants });
    Found { report, unreadable }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("unknown")
}

/// One grant in a few lines.
fn describe(grant: &Value) -> String {
    let mut lines = vec![format!(
        "grant `{}`: {}",
        text(grant, "grant"),
        text(grant, "state")
    )];
    let known = |key: &str| grant.get(key).filter(|value| !value.is_null());
    for (what, key) in LINES {
        if let Some(value) = known(key) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("  {what:<24} {value}"));
        }
    }
    for (what, key) in [
        ("dead because of", "death"),
        ("last attempt refused", "refusal"),
    ] {
        if let Some(why) = known(key) {
            let code = why.get("code").and_then(Value::as_str).unwrap_or_default();
            let reason = text(why, "reason");
            lines.push(
                format!("  {what:<24} {reason} {code}")
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    if grant.get("unsaved") == Some(&Value::Bool(true)) {
        lines.push(String::from(
            "  the newest refresh token is NOT saved: the store refuses it",
        ));
    }
    lines.join("\n")
}

/// What is shown of a grant, in this order.
const LINES: [(&str, &str); 12] = [
    ("refresh token", "refresh_token"),
    ("refresh token ends", "refresh_token_expires_at"),
    ("access token", "access_token"),
    ("access token ends", "access_token_expires_at"),
    ("scope", "scope"),
    ("account", "subject"),
    ("enrolled", "enrolled_at"),
    ("obtained", "obtained_at"),
    ("last refreshed", "refreshed_at"),
    ("last rotated", "rotated_at"),
    ("revoked", "revoked_at"),
    ("captured", "captured"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_told_in_a_few_lines() {
        let grant = json!({
            "grant": "crm", "state": "dead", "refresh_token": "ba7816bf", "access_token": null,
            "death": { "reason": "invalid_grant", "since": "2026-01-01T00:00:00Z" },
            "unsaved": false,
        });
        assert_eq!(
            describe(&grant),
            "grant `crm`: dead\n  refresh token            ba7816bf\n  dead because of          invalid_grant"
        );
    }
}
