//! What the engine's refusals mean here, and what a person can do about them.
//!
//! What always holds: it is decided on an error's code and never on its text; of the text only
//! what stands before the first quote is shown, since behind it an engine repeats what it was
//! sent, a password for example.

use std::fmt;
use std::time::Duration;

use redis::RedisError;

use super::route::Address;
use crate::store::{Error, ErrorKind};
use crate::upstream::DialError;

/// The most of the engine's own words that is shown.
const LONGEST: usize = 120;

/// What a code of the engine means.
struct Meaning {
    code: &'static str,
    kind: ErrorKind,
    what: &'static str,
    hint: &'static str,
}

const fn meaning(
    code: &'static str,
    kind: ErrorKind,
    what: &'static str,
    hint: &'static str,
) -> Meaning {
    Meaning {
        code,
        kind,
        what,
        hint,
    }
}

const AGAIN: &str = "it is tried again";
const PRIMARY: &str = "name the primary, or let `sentinel` or `cluster` find it";

const MEANINGS: [Meaning; 14] = [
    meaning(
        "NOAUTH",
        ErrorKind::Refused,
        "asks for a password",
        "set `password`, and `username` unless it is the default user's",
    ),
    meaning(
        "WRONGPASS",
        ErrorKind::Refused,
        "does not take the user name or the password",
        "put the right one where `password` points; it is read again for each connection",
    ),
    meaning(
        "NOPERM",
        ErrorKind::Refused,
        "does not allow this user a command or the key",
        "the README says what the ACL of the user must allow",
    ),
    meaning(
        "WRONGTYPE",
        ErrorKind::Unreadable,
        "keeps something else under the key of this grant",
        "nothing was changed; set another `prefix`, or remove what stands there",
    ),
    meaning(
        "READONLY",
        ErrorKind::Away,
        "is a replica and takes no writes",
        PRIMARY,
    ),
    meaning(
        "LOADING",
        ErrorKind::Away,
        "is still reading its data",
        AGAIN,
    ),
    meaning(
        "MASTERDOWN",
        ErrorKind::Away,
        "is a replica that has lost its primary",
        PRIMARY,
    ),
    meaning(
        "CLUSTERDOWN",
        ErrorKind::Away,
        "belongs to a cluster that is down",
        AGAIN,
    ),
    meaning(
        "TRYAGAIN",
        ErrorKind::Away,
        "is just moving the key to another node",
        AGAIN,
    ),
    meaning(
        "NOREPLICAS",
        ErrorKind::Away,
        "has lost its replicas and takes no writes",
        "look at `min-replicas-to-write` and the replicas",
    ),
    meaning(
        "OOM",
        ErrorKind::Away,
        "has no memory left",
        "raise `maxmemory`, or keep grants in an engine that is no cache",
    ),
    meaning(
        "MISCONF",
        ErrorKind::Away,
        "cannot write its data to disk and takes no writes",
        "its own log says why",
    ),
    meaning(
        "BUSY",
        ErrorKind::Away,
        "is busy with somebody's script",
        "`SCRIPT KILL` ends it",
    ),
    meaning("EXECABORT", ErrorKind::Away, "broke the script off", AGAIN),
];

/// What an error of the protocol means.
pub(super) fn said(address: &Address, error: &RedisError) -> Error {
    let Some(code) = error.code() else {
        return broken(address, error);
    };
    let said = Said::new(code, error.detail());
    let Some(meaning) = MEANINGS.iter().find(|meaning| meaning.code == code) else {
        let message = format!("Redis at `{address}` did not do what it was asked");
        return Error::new(ErrorKind::Away, message).because(said);
    };
    let message = format!("Redis at `{address}` {}", meaning.what);
    Error::new(meaning.kind, message)
        .with_hint(meaning.hint)
        .because(said)
}

/// The connection broke, or what came over it was not Redis' protocol.
fn broken(address: &Address, error: &RedisError) -> Error {
    if error.is_io_error() || error.is_connection_dropped() {
        let message = format!("the connection to Redis at `{address}` broke");
        return Error::new(ErrorKind::Away, message).because(error.clone());
    }
    strange(address)
}

/// An answer that this program does not understand. Nothing of it is shown.
pub(super) fn strange(address: &Address) -> Error {
    let message = format!("`{address}` answers as no Redis does");
    Error::new(ErrorKind::Away, message).with_hint("look at host and port, and whether it is TLS")
}

/// No connection.
pub(super) fn unreachable(address: &Address, error: DialError) -> Error {
    let message = format!("Redis at `{address}` cannot be reached");
    Error::new(ErrorKind::Away, message).because(error)
}

/// No answer in time. What was asked may still happen.
pub(super) fn slow(places: &impl fmt::Display, limit: Duration) -> Error {
    let message = format!("Redis at {places} gave no answer within {limit:?}");
    Error::new(ErrorKind::Away, message)
}

/// What the engine said, as far as it can be shown.
#[derive(Debug)]
struct Said(String);

impl Said {
    fn new(code: &str, detail: Option<&str>) -> Self {
        let mut words = printable(code);
        let detail = detail.unwrap_or_default().split(['\'', '"', '`']).next();
        let detail = printable(detail.unwrap_or_default().trim());
        if !detail.is_empty() {
            words = format!("{words} {detail}");
        }
        Self(words)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

fn printable(text: &str) -> String {
    let escaped = text.chars().flat_map(char::escape_default);
    escaped.take(LONGEST).collect()
}
