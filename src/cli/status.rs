//! `bearward status`: the state of every grant, from the running process or from the stores.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Failure, File, ask, block_on, read, say, warn};
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
    let report = block_on(report(&config))??;
    if options.json {
        say(&format!("{report:#}"));
        return Ok(());
    }
    say(&format!("source: {}", text(&report, "source")));
    for grant in report
        .get("grants")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        say(&format!("\n{}", describe(grant)));
    }
    Ok(())
}

/// The running process knows most; where none answers, the stores are read without holding them.
async fn report(config: &Config) -> Result<Value, Failure> {
    let listen = &config.admin.listen;
    if let Ok(mut report) = ask::status(listen).await {
        if let Some(report) = report.as_object_mut() {
            report.insert(
                String::from("source"),
                json!(format!("process at {listen}")),
            );
        }
        return Ok(report);
    }
    let mut grants = Vec::new();
    for (name, section) in &config.grant {
        let record = match store::peek(&section.store, name).await {
            Ok(record) => record,
            Err(error) => {
                warn(&format!("error: grant `{name}`: {}", chain(&error)));
                return Err(Failure::Told);
            }
        };
        let status = Status::of(name, record.as_ref(), Timestamp::now());
        grants.push(serde_json::to_value(status).unwrap_or_default());
    }
    let source = format!("stores (no process answers at {listen})");
    Ok(json!({ "source": source, "version": env!("CARGO_PKG_VERSION"), "grants": grants }))
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
const LINES: [(&str, &str); 9] = [
    ("refresh token", "refresh_token"),
    ("refresh token ends", "refresh_token_expires_at"),
    ("access token", "access_token"),
    ("access token ends", "access_token_expires_at"),
    ("scope", "scope"),
    ("obtained", "obtained_at"),
    ("last refreshed", "refreshed_at"),
    ("last rotated", "rotated_at"),
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
