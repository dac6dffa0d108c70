//! Hides what may be a secret in a text that is about to be shown.
//!
//! A secret never stands in the file, so wherever one is pasted there is a fault, and the fault
//! shows the line. The text may be anything but TOML at that moment, so nothing here trusts its
//! structure: each `=` is looked at by itself, with the names to the left of it, be it in a table,
//! a comment or the inside of a text left open. In doubt it is masked. Every byte that is masked
//! becomes one `*`, so that places keep their offsets.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use super::nearest::is_near;

/// Parts of a name that make its value a secret.
const SECRET: [&str; 15] = [
    "secret",
    "token",
    "key",
    "pass",
    "pwd",
    "auth",
    "cookie",
    "credential",
    "assertion",
    "signature",
    "bearer",
    "session",
    "jwt",
    "private",
    "seed",
];

/// Names of secrets that are taken for meant when something like them is written.
const NAMES: [&str; 13] = [
    "accesstoken",
    "apikey",
    "authorization",
    "clientassertion",
    "clientsecret",
    "cookie",
    "key",
    "oldkeys",
    "password",
    "refreshtoken",
    "secret",
    "seed",
    "token",
];

/// Keys of ours that sound like secrets and are none.
const HARMLESS: [&str; 8] = [
    "allow_plaintext",
    "authorization_endpoint",
    "client_auth",
    "device_authorization_endpoint",
    "token_endpoint",
    "token_headers",
    "token_timeout",
    "token_wait",
];

/// The text with `*` in the place of every value that may be a secret.
pub(super) fn masked(text: &str) -> String {
    let mut shown = text.as_bytes().to_vec();
    let mut judge = Judge::default();
    let mut header = Vec::new();
    let mut below_secret = false;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if let Some(names) = header_names(line) {
            header = names;
        }
        if below_secret && is_loose(line) {
            let indent = line.len() - line.trim_start().len();
            hide(&mut shown, offset + indent..offset + line.len());
        } else {
            let secrets = secrets(&header, line, &mut judge);
            below_secret = !secrets.is_empty() || (below_secret && line.trim().is_empty());
            let hidden = secrets.iter().flat_map(|at| value(text, offset + at));
            hidden.for_each(|range| hide(&mut shown, range));
            hide_urls(&mut shown, line, offset);
        }
        offset += line.len();
    }
    // Only whole bytes of ASCII were put in, but half a character may be left beside them.
    String::from_utf8_lossy(&shown).into_owned()
}

/// Where on a line the values begin that may be secrets. A colon counts as `=`, and so does a
/// space after the first word of a line that has neither: both are habits from other formats.
fn secrets(header: &[String], line: &str, judge: &mut Judge) -> Vec<usize> {
    let indent = line.len() - line.trim_start().len();
    let first_space = line.get(indent..).and_then(|line| line.find([' ', '\t']));
    let marks: Vec<usize> = match line.match_indices(['=', ':']).map(|(at, _)| at).collect() {
        marks if Vec::is_empty(&marks) => first_space.map(|at| indent + at).into_iter().collect(),
        marks => marks,
    };
    let secret = marks.into_iter().filter(|at| {
        let names = names_before(line.get(..*at).unwrap_or_default());
        let value = line.get(at + 1..).unwrap_or_default().trim_start();
        judge.is_secret(header, &names) && !is_tls_path(header, &names, value)
    });
    secret.map(|at| at + 1).collect()
}

/// True for a line that is no statement of TOML: below a secret, it is more of the secret, such
/// as a private key pasted over several lines.
fn is_loose(line: &str) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '[', ']', '{', '}']) {
        return false;
    }
    let key =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
    let statement = line.split_once('=').is_some_and(|(name, value)| {
        !name.trim().is_empty()
            && name.chars().all(key)
            && !value.is_empty()
            && !value.starts_with('=')
    });
    !statement
}

/// The names in a table's header.
fn header_names(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start();
    let inner = line.strip_prefix("[[").or_else(|| line.strip_prefix('['))?;
    let (inner, _) = inner.split_once(']')?;
    Some(split_names(inner))
}

/// The dotted name that ends where the `=` stands.
fn names_before(line: &str) -> Vec<String> {
    let from = line
        .rfind(['{', ',', '[', '#', '=', ':'])
        .map_or(0, |at| at + 1);
    split_names(line.get(from..).unwrap_or_default())
}

fn split_names(text: &str) -> Vec<String> {
    text.split('.')
        .map(|name| name.trim().trim_matches(['"', '\'']).to_lowercase())
        .collect()
}

/// Tells names of secrets from others, and remembers: the same few names come on every line.
#[derive(Default)]
struct Judge(HashMap<String, bool>);

impl Judge {
    fn is_secret(&mut self, header: &[String], names: &[String]) -> bool {
        let mut path: Vec<&str> = header.iter().chain(names).map(String::as_str).collect();
        // The name of a grant is free: `[grant.token-a]` makes nothing in it a secret.
        if path.first() == Some(&"grant") && path.len() > 2 {
            path.remove(1);
        }
        match path.as_slice() {
            [parents @ .., "file" | "env"] if self.any(parents) => false,
            path => self.any(path),
        }
    }

    fn any(&mut self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is_sensitive(name))
    }

    fn is_sensitive(&mut self, name: &str) -> bool {
        if let Some(known) = self.0.get(name) {
            return *known;
        }
        let says = || SECRET.iter().any(|part| name.contains(part));
        let means = || NAMES.iter().any(|secret| is_near(name, secret));
        let sensitive = !HARMLESS.contains(&name) && (says() || means());
        self.0.insert(name.to_owned(), sensitive);
        sensitive
    }
}

/// True for the path of a private key's file, which is no secret: `[route.tls] key = "/…"`.
fn is_tls_path(header: &[String], names: &[String], value: &str) -> bool {
    let path: Vec<&str> = header.iter().chain(names).map(String::as_str).collect();
    path.ends_with(&["tls", "key"]) && value.starts_with("\"/")
}

/// Where the value that begins at `from` shows a secret.
fn value(text: &str, from: usize) -> Vec<Range<usize>> {
    let rest = text.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    let rest = text.get(start..).unwrap_or_default();
    match rest.as_bytes().first() {
        Some(b'{' | b'[') => nested(text, start),
        _ if rest.starts_with("\"\"\"") => one(long_text(text, start, "\"\"\"")),
        _ if rest.starts_with("'''") => one(long_text(text, start, "'''")),
        Some(b'"' | b'\'') => one(rest_of_line(text, start + 1)),
        _ => one(rest_of_line(text, start)),
    }
}

fn one(range: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(range).collect()
}

/// A text over several lines, up to its end or the file's.
fn long_text(text: &str, start: usize, quotes: &str) -> Range<usize> {
    let from = start + quotes.len();
    let end = text.get(from..).and_then(|rest| rest.find(quotes));
    from..end.map_or(text.len(), |length| from + length)
}

/// All to the end of the line, so that a quote within a secret ends nothing; closing quotes and
/// brackets at the very end stay, for looks.
fn rest_of_line(text: &str, start: usize) -> Range<usize> {
    let line = text.get(start..).and_then(|rest| rest.lines().next());
    let line = line.unwrap_or_default();
    let kept = line.trim_end_matches(['"', '\'', '}', ']', ' ', '\t', '\r']);
    start..start + kept.len()
}

/// The parts of a list or inline table, but not the path or name of a reference to a secret.
fn nested(text: &str, start: usize) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut depth = 0_usize;
    let mut at = start;
    let mut word = start;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => {
                let end = quoted_end(text, at);
                if !is_reference(text.get(word..at).unwrap_or_default()) {
                    hidden.push(at + 1..end);
                }
                at = end;
            }
            b'=' | b',' | b' ' | b'\t' | b'\n' | b'\r' => {}
            // A bare word: the name of a key, or a secret without quotes.
            _ => {
                let end = bare_end(text, at);
                let tail = text.get(end..).unwrap_or_default();
                if !tail.trim_start_matches([' ', '\t']).starts_with(['=', '.']) {
                    hidden.push(at..end);
                }
                word = at;
                at = end.saturating_sub(1).max(at);
            }
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    hidden
}

/// True for what stands before the text of `file = "…"` or `env = "…"`.
fn is_reference(before: &str) -> bool {
    before
        .trim_end()
        .strip_suffix('=')
        .is_some_and(|name| matches!(name.trim(), "file" | "env"))
}

/// Where a quoted text ends: at its closing quote, or with its line.
fn quoted_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes.get(start).copied();
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' => return at,
            b'\\' if quote == Some(b'"') => at += 1,
            byte if Some(*byte) == quote => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

fn bare_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.find([
        '=', '.', ',', '{', '}', '[', ']', '"', '\'', ' ', '\t', '\n', '\r',
    ]);
    length
        .map_or(text.len(), |length| start + length)
        .max(start + 1)
}

/// User names, passwords and queries of URLs, under whatever key.
fn hide_urls(shown: &mut [u8], line: &str, offset: usize) {
    for (at, mark) in line.match_indices("://") {
        let start = at + mark.len();
        let rest = line.get(start..).unwrap_or_default();
        let url = rest
            .split(['"', '\'', ' ', '\n', '\r'])
            .next()
            .unwrap_or_default();
        if let Some((user, _)) = url.rsplit_once('@') {
            hide(shown, offset + start..offset + start + user.len());
        }
        if let Some((path, query)) = url.split_once('?') {
            let from = offset + start + path.len() + 1;
            hide(shown, from..from + query.len());
        }
    }
}

fn hide(shown: &mut [u8], range: Range<usize>) {
    for byte in shown.get_mut(range).unwrap_or_default() {
        if !matches!(*byte, b'\n' | b'\r') {
            *byte = b'*';
        }
    }
}
