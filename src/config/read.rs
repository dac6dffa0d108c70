//! From the text to a [`Config`], or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::Deserializer;

use super::Config;
use super::check;
use super::document::Document;
use super::fault::{Faults, Findings, Problem};
use super::shape::{self, Absence};
use super::values::Listen;

/// The largest file that is read: more is a mistaken path, not a configuration.
const LARGEST: u64 = 1 << 20;

/// How far a check goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The text alone.
    Text,
    /// The text and the files and variables it names.
    Files,
}

impl Config {
    /// Reads a configuration from its text; `origin` names it in faults. Looks at nothing else.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Faults> {
        examine(text, origin, Reach::Text)
    }

    /// Reads the file at `path`, and makes sure that the secrets and certificates it names are there.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = read_text(path).map_err(|cause| ReadError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        examine(&text, &path.display().to_string(), Reach::Files).map_err(ReadError::Faulty)
    }

    /// Makes sure that the secrets and certificates are there to be read. `text` and `origin` are
    /// those the configuration came from, so that a fault has its line.
    pub fn check_files(&self, text: &str, origin: &str) -> Result<(), Faults> {
        let document = Document::parse(text);
        let mut findings = Findings::new(&document);
        check::files(self, &mut findings);
        findings.into_faults(text, origin).map_or(Ok(()), Err)
    }

    /// The certificates, authorities and keys that `tls` tables name, to be watched for changes.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let grants = self.grant.values().map(|grant| &grant.tls);
        let routes = self.route.iter().map(|route| &route.tls);
        grants
            .chain(routes)
            .flat_map(|tls| [&tls.ca, &tls.cert, &tls.key])
            .flatten()
            .cloned()
            .collect()
    }

    /// What is allowed but seldom meant, one sentence each, for the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Listen::Tcp(address) = self.proxy.listen
            && !address.ip().is_loopback()
        {
            warnings.push(format!(
                "`proxy.listen` is {address}: whoever reaches it calls the upstreams with the grants' access tokens"
            ));
        }
        for name in self.grant.keys() {
            if !self.route.iter().any(|route| route.grant == *name) {
                warnings.push(format!(
                    "no route uses `grant.{name}`; it is kept alive all the same"
                ));
            }
        }
        warnings
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// The whole way from text to configuration, with every fault that is met on it.
fn examine(text: &str, origin: &str, reach: Reach) -> Result<Config, Faults> {
    let document = Document::parse(text);
    let mut findings = Findings::new(&document);
    let mut config = None;
    let whole = document.syntax().is_empty();
    // Below a broken header keys stand in tables they were not meant for: all would be at fault.
    if whole || !document.has_broken_header() {
        let mut tables = document.tables();
        let absence = if whole { Absence::Tell } else { Absence::Keep };
        shape::examine(tables.get_mut(), absence, &mut findings);
        match Config::deserialize(Deserializer::from(tables)) {
            Ok(read) if whole => {
                check::check(&read, &mut findings);
                if reach == Reach::Files {
                    check::files(&read, &mut findings);
                }
                config = Some(read);
            }
            Ok(_) => {}
            // The shape is right, so this is a value that no schema can describe; the message
            // may quote it and is not shown.
            Err(error) => {
                findings.at_span(error.span(), Problem::new("this value does not fit here"));
            }
        }
    }
    match config {
        Some(config) => findings.into_faults(text, origin).map_or(Ok(config), Err),
        None => Err(findings.into_certain_faults(text, origin)),
    }
}

/// Why a configuration file gave no configuration.
#[derive(Debug)]
pub enum ReadError {
    /// The file itself could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It could, and this is wrong with it.
    Faulty(Faults),
}

impl ReadError {
    /// What a person can do about it, where that is known. Each fault in a file has its own.
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Unreadable { cause, .. } = self else {
            return None;
        };
        match cause.kind() {
            ErrorKind::NotFound => Some(
                "name the file with `--config FILE`; `config.example.toml` is one to begin with",
            ),
            ErrorKind::PermissionDenied => Some("it must be readable by the user Bearward runs as"),
            _ => None,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => {
                write!(f, "cannot read the configuration file `{}`", path.display())
            }
            Self::Faulty(faults) => faults.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { cause, .. } => Some(cause),
            // `Display` has told all of them.
            Self::Faulty(_) => None,
        }
    }
}
