//! `WWW-Authenticate` (RFC 9110 §11.6.1), read leniently.
//!
//! What always holds: reading never fails; what is malformed is passed over, since only a few
//! parameters are looked for and the status alone decides the rest.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge: a scheme and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme in lower case; empty where the parameters came without one.
    pub(super) scheme: String,
    /// Names in lower case, and values without quotes.
    pub(super) params: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let (_, value) = self.params.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// All challenges of an answer, in order.
    pub(super) fn all(headers: &HeaderMap) -> Vec<Self> {
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .flat_map(|value| read(&String::from_utf8_lossy(value.as_bytes())))
            .collect()
    }
}

/// A word that `=` follows is a parameter's name; any other word begins a challenge.
fn read(text: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if rest.is_empty() {
            return challenges;
        }
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace());
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let word = word.to_ascii_lowercase();
        let Some(after) = behind.trim_start().strip_prefix('=') else {
            challenges.push(Challenge {
                scheme: word,
                params: Vec::new(),
            });
            rest = behind;
            continue;
        };
        let (value, behind) = value(after.trim_start());
        rest = behind;
        if challenges.is_empty() {
            challenges.push(Challenge::default());
        }
        if let Some(challenge) = challenges.last_mut() {
            challenge.params.push((word, value));
        }
    }
}

/// A token or a quoted string, and what stands behind it. A missing end quote ends with the text.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace());
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return (value, chars.as_str()),
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write() {
        for (text, wanted) in [
            ("", vec![]),
            (" , ,", vec![]),
            ("Bearer", vec![("bearer", vec![])]),
            (
                "Bearer error=invalid_token",
                vec![("bearer", vec![("error", "invalid_token")])],
            ),
            (
                "Bearer realm=\"a, b=\\\"c\\\"\" , Error = \"invalid_token\"",
                vec![(
                    "bearer",
                    vec![("realm", "a, b=\"c\""), ("error", "invalid_token")],
                )],
            ),
            (
                "Basic realm=\"x\", Bearer error=\"e\",DPoP algs=\"ES256\"",
                vec![
                    ("basic", vec![("realm", "x")]),
                    ("bearer", vec![("error", "e")]),
                    ("dpop", vec![("algs", "ES256")]),
                ],
            ),
            ("error=\"e\"", vec![("", vec![("error", "e")])]),
            (
                "Bearer error=\"cut",
                vec![("bearer", vec![("error", "cut")])],
            ),
            (
                "Bearer error=\"cut\\",
                vec![("bearer", vec![("error", "cut")])],
            ),
            ("Bearer error=", vec![("bearer", vec![("error", "")])]),
        ] {
            let wanted: Vec<Challenge> = wanted
                .into_iter()
                .map(|(scheme, params)| Challenge {
                    scheme: scheme.to_owned(),
                    params: params
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect(),
                })
                .collect();
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn any_text_comes_to_an_end() {
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..5_000 {
            let text: String = (0..dice.usize(..40))
                .map(|_| dice.choice(['a', '=', ',', '"', '\\', ' ', 'é']).unwrap())
                .collect();
            let read = read(&text);
            assert!(read.len() <= text.len());
        }
    }
}
