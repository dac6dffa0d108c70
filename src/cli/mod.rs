//! The command line: one file per command.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 it did
//! not work, 2 the configuration or the command line is faulty.

mod ask;
mod check;
mod import;
mod keygen;
mod live;
mod login;
mod probe;
mod refresh;
mod revoke;
mod run;
mod schema;
mod status;
mod stow;
mod terminal;

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, GrantName, ReadError};

/// Keeps an OAuth grant alive and puts a fresh access token on every call.
#[derive(Debug, Parser)]
#[command(name = "bearward", version, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or SIGINT
    Run(File),
    /// Check the configuration and start nothing
    Check(check::Options),
    /// Print the state of every grant; fingerprints, never secrets
    Status(status::Options),
    /// Ask a person for offline access, and store what comes
    Login(login::Options),
    /// Put a refresh token from standard input into the store
    Import(Named),
    /// Have the running process refresh a grant now
    Refresh(Named),
    /// Give a grant back to the server, and remove it from the store
    Revoke(revoke::Options),
    /// Wait until the process runs, or is ready
    Wait(probe::Wait),
    /// Ask once whether the process runs, or is ready
    Healthcheck(probe::Probe),
    /// Make a key that seals stores
    Keygen,
    /// Print a JSON Schema of the configuration file
    Schema,
}

#[derive(Debug, Args)]
struct File {
    /// The configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/bearward/config.toml"
    )]
    config: PathBuf,
}

/// One grant of the configuration file.
#[derive(Debug, Args)]
struct Named {
    /// The grant's name in the configuration
    #[arg(value_name = "GRANT")]
    grant: GrantName,
    #[command(flatten)]
    file: File,
}

/// Runs one command and says how the process ends.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are errors to the parser, and go to standard output.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(FAULTY)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match line.command {
        Command::Run(file) => run::run(&file.config),
        Command::Check(options) => check::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Login(options) => login::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Refresh(options) => refresh::run(&options),
        Command::Revoke(options) => revoke::run(&options),
        Command::Wait(options) => probe::wait(&options),
        Command::Healthcheck(options) => probe::healthcheck(&options),
        Command::Keygen => keygen::run(),
        Command::Schema => {
            schema::run();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// The exit code where the configuration or the command line is faulty.
const FAULTY: u8 = 2;

/// Why a command did not do its work.
enum Failure {
    /// The configuration is faulty; the text is its whole report.
    Faulty(String),
    /// Something else, with a way out where one is known.
    Failed {
        message: String,
        hint: Option<String>,
    },
    /// Everything is said already.
    Told,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: None,
        }
    }

    fn hint(self, hint: Option<impl Into<String>>) -> Self {
        match self {
            Self::Failed { message, .. } => Self::Failed {
                message,
                hint: hint.map(Into::into),
            },
            other => other,
        }
    }

    /// What went wrong, and the way out.
    fn words(&self) -> (&str, Option<&str>) {
        match self {
            Self::Faulty(report) => (report, None),
            Self::Failed { message, hint } => (message, hint.as_deref()),
            Self::Told => ("it did not work", None),
        }
    }

    fn tell(self) -> ExitCode {
        let (text, code) = match self {
            Self::Faulty(report) => (report, ExitCode::from(FAULTY)),
            Self::Failed { message, hint } => {
                (report(&message, hint.as_deref()), ExitCode::FAILURE)
            }
            Self::Told => return ExitCode::FAILURE,
        };
        warn(&text);
        code
    }
}

/// What went wrong, and the way out on a line of its own.
fn report(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("error: {message}\nhint: {hint}"),
        None => format!("error: {message}"),
    }
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Self {
        Self::new(crate::telemetry::chain(&error)).hint(error.hint())
    }
}

/// Reads the configuration, or gives the report of its faults.
fn read(path: &Path) -> Result<Config, Failure> {
    let config = Config::read(path).map_err(|error| match &error {
        ReadError::Faulty(faults) => Failure::Faulty(faults.to_string().trim_end().to_owned()),
        ReadError::Unreadable { .. } => {
            let message = crate::telemetry::chain(&error);
            Failure::Faulty(report(&message, error.hint()))
        }
    })?;
    for warning in config.warnings() {
        warn(&format!("warning: {warning}"));
    }
    Ok(config)
}

/// The section of one grant.
fn grant<'a>(config: &'a Config, name: &GrantName) -> Result<&'a crate::config::Grant, Failure> {
    config.grant.get(name).ok_or_else(|| {
        let known: Vec<String> = config
            .grant
            .keys()
            .map(|name| format!("`{name}`"))
            .collect();
        Failure::new(format!("no grant is named `{name}`"))
            .hint(Some(format!("the configuration has {}", known.join(", "))))
    })
}

/// A runtime for the commands that ask somebody something.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::new(format!("no runtime could be made: {error}")))?;
    Ok(runtime.block_on(work))
}

/// One line, or several, of data. A reader that went away is no error of ours.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// One line, or several, for the person.
fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
