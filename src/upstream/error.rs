//! Why a call has no answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::{DialError, Usage};

/// Why a call has no answer.
#[derive(Debug)]
pub enum SendError {
    /// No connection: nothing was sent. Shared by all who waited for the same attempt.
    Dial(Arc<DialError>),
    /// All connections were in use for too long: nothing was sent.
    Busy,
    /// The connection ended before an answer began. On a reused one that is most often an idle
    /// connection that the upstream was closing just then.
    Closed {
        /// Whether other calls were sent on the connection before.
        reused: bool,
        /// What hyper saw.
        source: hyper::Error,
    },
    /// The upstream said that it did not look at the request (RFC 9113 §8.7), by a reset or as it
    /// left, so sending it again is safe.
    Refused(hyper::Error),
    /// No answer began in time.
    TimedOut,
    /// What came was not an answer in HTTP, or one whose end two parties could see differently.
    Malformed(Option<hyper::Error>),
    /// The request's own body failed.
    Body(hyper::Error),
}

impl SendError {
    /// What hyper's error means for a call that was written, at least in part.
    pub(super) fn of(source: hyper::Error, usage: Usage) -> Self {
        if source.is_parse() {
            return Self::Malformed(Some(source));
        }
        if source.is_user() {
            return Self::Body(source);
        }
        let reset = find::<h2::Error>(&source);
        match reset.and_then(h2::Error::reason) {
            Some(h2::Reason::REFUSED_STREAM) => Self::Refused(source),
            // Of those streams alone that its GOAWAY does not cover (RFC 9113 §6.8).
            Some(_) if reset.is_some_and(|reset| reset.is_go_away() && reset.is_remote()) => {
                Self::Refused(source)
            }
            // The peer broke the protocol, and we said so.
            Some(_) if reset.is_some_and(h2::Error::is_library) => Self::Malformed(Some(source)),
            _ => {
                let reused = usage == Usage::Again;
                Self::Closed { reused, source }
            }
        }
    }

    /// A short word for metrics and replies.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Dial(error) => error.as_str(),
            Self::Busy => "upstream_busy",
            Self::Closed { .. } => "upstream_closed",
            Self::Refused(_) => "upstream_refused",
            Self::TimedOut => "upstream_timeout",
            Self::Malformed(_) => "upstream_malformed",
            Self::Body(_) => "request_body_failed",
        }
    }
}

/// The first error of a type in the chain of causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial(_) => "no connection to the upstream",
            Self::Busy => "no connection to the upstream became free in time",
            Self::Closed { .. } => "the upstream closed the connection without an answer",
            Self::Refused(_) => "the upstream refused to look at the request",
            Self::TimedOut => "the upstream did not answer in time",
            Self::Malformed(_) => "the upstream's answer is malformed",
            Self::Body(_) => "the request's body failed",
        })
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dial(error) => Some(&**error),
            Self::Closed { source, .. } | Self::Refused(source) | Self::Body(source) => {
                Some(source)
            }
            Self::Malformed(source) => source.as_ref().map(|error| error as _),
            Self::Busy | Self::TimedOut => None,
        }
    }
}
