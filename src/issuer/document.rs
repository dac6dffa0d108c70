//! Public documents of an authorization server: its metadata, its keys.
//!
//! What always holds: one request over a fresh connection; no redirect is followed; only a whole
//! answer with a status that says success is read.

use std::fmt;

use http::StatusCode;
use tokio::time::Instant;

use crate::config::Url;
use crate::issuer::exchange::{LARGEST_BODY, Missed, Reply, exchange};
use crate::issuer::wires::Wires;
use crate::oauth::{RequestError, document_request};
use crate::tls;
use crate::upstream::DialError;

/// What was at a place instead of the document.
#[derive(Debug)]
pub enum Problem<E> {
    /// The server could not be reached.
    Unreached(DialError),
    /// TLS towards it cannot be set up.
    Tls(tls::Error),
    /// The request could not be made.
    Request(RequestError),
    /// No answer came, or not whole (`cut`, `timeout`, `not_http` …).
    Unanswered(&'static str),
    /// More than a megabyte.
    TooLarge,
    /// Another status than 2xx.
    Status(StatusCode),
    /// A redirect, which is not followed: a document counts only where it was said to be.
    Redirect(StatusCode),
    /// A document that cannot be used.
    Unusable(E),
}

/// The document at `place`.
pub(super) async fn fetch<E>(
    wires: &Wires,
    place: &Url,
    deadline: Instant,
) -> Result<Reply, Problem<E>> {
    let dialer = wires.dial(place).map_err(Problem::Tls)?;
    let request = document_request(place).map_err(Problem::Request)?;
    let reply = exchange(&dialer, request, deadline)
        .await
        .map_err(|missed| match missed {
            Missed::Unreached(error) => Problem::Unreached(error),
            Missed::Unsent(how) | Missed::Unanswered(how, _) => Problem::Unanswered(how),
        })?;
    believable(&reply)?;
    Ok(reply)
}

/// Whether the answer is whole and says that the document is there.
fn believable<E>(reply: &Reply) -> Result<(), Problem<E>> {
    match (reply.status, reply.cut) {
        (status, _) if status.is_redirection() => Err(Problem::Redirect(status)),
        (status, _) if !status.is_success() => Err(Problem::Status(status)),
        (_, Some("too_large")) => Err(Problem::TooLarge),
        (_, Some(how)) => Err(Problem::Unanswered(how)),
        (_, None) => Ok(()),
    }
}

impl<E> Problem<E> {
    /// Whether the other places of the same server would fare the same.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Unreached(_) | Self::Tls(_) | Self::Request(_) | Self::Unanswered("timeout")
        )
    }

    /// What lies below, where a connection failed; the message tells the rest already.
    pub(super) fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreached(error) => std::error::Error::source(error),
            Self::Tls(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Problem<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Unanswered(how) => write!(f, "no whole answer came ({how})"),
            Self::TooLarge => write!(f, "more than {LARGEST_BODY} bytes came"),
            Self::Status(status) => write!(f, "status {} came", status.as_u16()),
            Self::Redirect(status) => {
                write!(
                    f,
                    "a redirect ({}) came, which is not followed",
                    status.as_u16()
                )
            }
            Self::Unusable(error) => error.fmt(f),
        }
    }
}
