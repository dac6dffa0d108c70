//! Why an upstream could not be reached.

use std::fmt;
use std::io;

/// Why an upstream could not be reached. Nothing of a request was sent.
#[derive(Debug)]
pub struct DialError {
    kind: DialFailure,
    source: Option<io::Error>,
}

/// The step at which dialling failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialFailure {
    /// The host's name has no address.
    Resolve,
    /// Nobody listens there.
    Refused,
    /// No address could be reached for another reason.
    Unreachable,
    /// The TLS handshake failed: the certificate, its name, or what the server wants of us.
    Tls,
    /// It took too long, whatever the step.
    Timeout,
}

impl DialFailure {
    /// Every kind, for metrics that are made beforehand.
    pub const ALL: [Self; 5] = [
        Self::Resolve,
        Self::Refused,
        Self::Unreachable,
        Self::Tls,
        Self::Timeout,
    ];

    /// A short word for metrics and replies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "dns_failed",
            Self::Refused => "connect_refused",
            Self::Unreachable => "connect_failed",
            Self::Tls => "tls_failed",
            Self::Timeout => "connect_timeout",
        }
    }
}

impl DialError {
    pub(super) fn new(kind: DialFailure, source: Option<io::Error>) -> Self {
        Self { kind, source }
    }

    pub(super) fn resolve(error: io::Error) -> Self {
        Self::new(DialFailure::Resolve, Some(error))
    }

    pub(super) fn connect(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => DialFailure::Refused,
            io::ErrorKind::TimedOut => DialFailure::Timeout,
            _ => DialFailure::Unreachable,
        };
        Self::new(kind, Some(error))
    }

    pub(super) fn tls(error: io::Error) -> Self {
        Self::new(DialFailure::Tls, Some(error))
    }

    /// The step at which it failed.
    pub fn kind(&self) -> DialFailure {
        self.kind
    }

    /// A short word for metrics and replies.
    pub fn as_str(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DialFailure::Resolve => "the server's name cannot be resolved",
            DialFailure::Refused => "the server refuses connections",
            DialFailure::Unreachable => "the server cannot be reached",
            DialFailure::Tls => "the TLS handshake with the server failed",
            DialFailure::Timeout => "no connection to the server in time",
        })
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
