//! Why a TLS configuration cannot be made: which file, and what about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a TLS configuration cannot be made. All of these are the operator's to mend.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what its key promises, or holds it broken.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was wanted: `certificate` or `private key`.
        wanted: &'static str,
    },
    /// A file is PEM but has no section of the wanted kind, or it is not PEM at all.
    Missing {
        /// The file.
        path: PathBuf,
        /// What was wanted: `certificate` or `private key`.
        wanted: &'static str,
    },
    /// The private key is not the certificate's.
    KeyMismatch {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// Only one of `cert` and `key` is given.
    Incomplete {
        /// The key of the configuration that is missing.
        missing: &'static str,
    },
    /// Nobody would be trusted: no system roots and no file.
    NoRoots,
    /// A server's name is neither a DNS name nor an IP address.
    ServerName {
        /// The name.
        name: String,
    },
    /// The TLS library refuses its own defaults.
    Setup(rustls::Error),
}

impl Error {
    pub(super) fn unusable(path: &Path, wanted: &'static str) -> Self {
        let path = path.to_owned();
        Self::Unusable { path, wanted }
    }

    pub(super) fn missing(path: &Path, wanted: &'static str) -> Self {
        let path = path.to_owned();
        Self::Missing { path, wanted }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "cannot read `{}`", path.display()),
            Self::Unusable { path, wanted } => {
                write!(f, "the {wanted} in `{}` is malformed", path.display())
            }
            Self::Missing { path, wanted } => write!(
                f,
                "`{}` holds no {wanted}; it must be PEM, with a line `-----BEGIN {}-----`",
                path.display(),
                wanted.to_uppercase()
            ),
            Self::KeyMismatch { cert, key } => write!(
                f,
                "the private key in `{}` does not belong to the certificate in `{}`; \
                 the certificate of the client itself must stand first in its file",
                key.display(),
                cert.display()
            ),
            Self::Incomplete { missing } => write!(
                f,
                "`{missing}` is missing; a client certificate needs both `cert` and `key`"
            ),
            Self::NoRoots => f.write_str(
                "no certificate authority is trusted; give `ca`, or leave `system_roots` on",
            ),
            Self::ServerName { name } => {
                write!(f, "`{name}` is neither a DNS name nor an IP address")
            }
            Self::Setup(_) => f.write_str("TLS cannot be set up"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Setup(source) => Some(source),
            _ => None,
        }
    }
}
