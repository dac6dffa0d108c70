//! Logs, set up once: text for people or JSON for machines, on standard error.
//!
//! What always holds: events are constant sentences with fields, and no field is ever a secret,
//! a header or a query. Levels of other crates follow ours but stop at `debug`: below that the
//! HTTP and TLS stacks print what they read and write.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat, LogLevel};

/// Sets up logging for the process. A second call is without effect.
pub fn init(settings: &Log) {
    let own = level(settings.level);
    let others = LevelFilter::from_level(own).min(LevelFilter::INFO);
    let targets = Targets::new()
        .with_target("bearward", own)
        .with_default(others);
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = match settings.format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    // Fails only if logging was set up before, which tests in one process do.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init();
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

/// An error and what lies below it, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}
