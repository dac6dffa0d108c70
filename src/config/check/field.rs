//! Header fields and host names: what may stand in them, and which are nobody's to set.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use crate::config::document::Path;
use crate::config::fault::{Findings, Problem, quoted};
use crate::config::source::Text;

/// Fields that belong to one connection (RFC 9110 §7.6.1) or that frame the message.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields whose value is a credential, and so a secret.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A table of header fields: `[route.headers]`, `[grant.NAME.token_headers]`.
pub(super) fn table(at: &Path, fields: &BTreeMap<String, Text>, findings: &mut Findings<'_>) {
    let mut seen: Vec<HeaderName> = Vec::new();
    for (written, value) in fields {
        let at = at.key(written);
        let Some(name) = name(written) else {
            findings.at_key(
                &at,
                Problem::new(format!(
                    "{} is not the name of a header field",
                    quoted(written)
                ))
                .hint("use letters, digits and `-`"),
            );
            continue;
        };
        if seen.contains(&name) {
            findings.at_key(
                &at,
                Problem::new(format!("`{name}` is set twice"))
                    .hint("upper and lower case are the same in the name of a header field"),
            );
        }
        if is_of_the_connection(&name) {
            findings.at_key(&at, of_the_connection(&name));
        }
        literal(&at, &name, value, findings);
        seen.push(name);
    }
}

fn literal(at: &Path, name: &HeaderName, value: &Text, findings: &mut Findings<'_>) {
    let Text::Literal(text) = value else {
        return;
    };
    if CREDENTIALS.contains(&name.as_str()) {
        findings.at(at, Problem::inline_secret());
    } else if HeaderValue::from_str(text).is_err() {
        findings.at(
            at,
            Problem::new("a header field cannot carry this text")
                .hint("leave out control characters and line ends"),
        );
    }
}

/// The field's name, if it is one.
pub(super) fn name(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok()
}

/// True for fields that only a connection's end may set.
pub(super) fn is_of_the_connection(name: &HeaderName) -> bool {
    OF_THE_CONNECTION.contains(&name.as_str())
}

/// What is said of such a field.
pub(super) fn of_the_connection(name: &HeaderName) -> Problem {
    Problem::new(format!("`{name}` is not yours to set"))
        .hint("it belongs to the connection or frames the message; Bearward writes it itself")
}

/// True for a name or address of a host, without port.
pub(super) fn is_host(text: &str) -> bool {
    let address = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Some(address) = address {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    text.len() <= 253 && text.split('.').all(label)
}
