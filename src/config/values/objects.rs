//! Names of objects in Kubernetes.

use std::fmt;
use std::str::FromStr;

use super::Malformed;

/// The name of a Secret or a Lease: a DNS subdomain (RFC 1123 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName(String);

text_value!(
    ObjectName,
    "ObjectName",
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "The name of an object: lower-case letters, digits, `-` and `.`; at most 253."
);

impl ObjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() <= 253 && text.split('.').all(is_label) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed::new(
            "this cannot name an object in Kubernetes",
            "use lower-case letters, digits, `-` and `.`, at most 253; each part begins and ends with a letter or digit",
        ))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a namespace: a DNS label (RFC 1123 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(String);

text_value!(
    Namespace,
    "Namespace",
    "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "The name of a namespace: lower-case letters, digits and `-`; at most 63."
);

impl Namespace {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() <= 63 && is_label(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed::new(
            "this cannot name a namespace",
            "use lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit",
        ))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case letters, digits and `-`, with no `-` at an end.
fn is_label(text: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| edge(byte) || *byte == b'-')
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_api_takes() {
        let long = "a".repeat(64);
        for (text, object, namespace) in [
            ("crm", true, true),
            ("crm-2", true, true),
            ("0", true, true),
            ("crm.grant", true, false),
            (&long, true, false),
            ("", false, false),
            ("Crm", false, false),
            ("crm_grant", false, false),
            ("-crm", false, false),
            ("crm-", false, false),
            ("crm..grant", false, false),
            ("crm/../other", false, false),
            ("crm?x", false, false),
            ("crm.", false, false),
        ] {
            assert_eq!(text.parse::<ObjectName>().is_ok(), object, "{text:?}");
            assert_eq!(text.parse::<Namespace>().is_ok(), namespace, "{text:?}");
        }
        assert!("a".repeat(253).parse::<ObjectName>().is_ok());
        assert!("a".repeat(254).parse::<ObjectName>().is_err());
    }
}
