//! The units of the file: lengths of time, sizes, addresses, URLs, names and references to secrets.
//!
//! What always holds: a value that exists is well-formed; nobody checks it again.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// Gives a value type its text form in the file: serde through `FromStr` and `Display`, and a
/// JSON Schema of a string with a pattern.
macro_rules! text_value {
    ($type:ident, $name:literal, $pattern:literal, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

/// A text that does not say what its key needs; the message says what would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl Malformed {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// A length of time: `"30s"`, `"1h30m"`, `"500ms"`, `"30d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

text_value!(
    Period,
    "Period",
    "^([0-9]+(ms|s|m|h|d))+$",
    "A length of time: a number and a unit (ms, s, m, h, d), as often as needed: `1h30m`."
);

impl Period {
    /// This many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length as the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = || {
            Malformed::new(format!(
                "`{text}` is not a length of time; write a number and a unit, such as `30s`, `1h30m` or `500ms`"
            ))
        };
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let millis = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(wrong)?
                .1;
            let part = number
                .checked_mul(millis)
                .map(Duration::from_millis)
                .ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = tail;
        }
        // Ten thousand years is more than any key can mean and keeps later sums from overflowing.
        if text.is_empty() || total > Duration::from_secs(10_000 * 365 * 86_400) {
            return Err(wrong());
        }
        Ok(Self(total))
    }
}

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            let count = millis / size;
            millis %= size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// A length of time after which something happens, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// No limit.
    Never,
    /// After this long.
    After(Period),
}

text_value!(
    Deadline,
    "Deadline",
    "^(never|([0-9]+(ms|s|m|h|d))+)$",
    "A length of time such as `30s`, or `never`."
);

impl Deadline {
    /// After this many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self::After(Period::seconds(seconds))
    }

    /// The length, or nothing for `never`.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(period) => Some(period.duration()),
        }
    }
}

impl FromStr for Deadline {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "never" => Ok(Self::Never),
            text => text.parse().map(Self::After),
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(period) => period.fmt(f),
        }
    }
}

/// How much of an access token's life is left when its successor is fetched: `"10%"` or `"30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margin {
    /// A share of the token's lifetime, in percent, 1 to 50.
    Percent(u8),
    /// A length of time.
    Period(Period),
}

text_value!(
    Margin,
    "Margin",
    "^([0-9]+%|([0-9]+(ms|s|m|h|d))+)$",
    "A share of the lifetime from `1%` to `50%`, or a length of time such as `30s`."
);

impl FromStr for Margin {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Period);
        };
        match percent.parse() {
            Ok(percent @ 1..=50) => Ok(Self::Percent(percent)),
            _ => Err(Malformed::new(format!(
                "`{text}` is not a share from `1%` to `50%`"
            ))),
        }
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Period(period) => period.fmt(f),
        }
    }
}

/// A number of bytes: `"64KiB"`, `"1MiB"`, `"500B"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

text_value!(
    Size,
    "Size",
    "^[0-9]+(B|KiB|MiB|GiB)$",
    "A number of bytes with a unit (B, KiB, MiB, GiB)."
);

impl Size {
    /// This many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as an index type; a size beyond memory is all of it.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// True for zero bytes.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Size {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        SIZES
            .iter()
            .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))
            .and_then(|(number, size)| number.parse::<u64>().ok()?.checked_mul(*size))
            .map(Self)
            .ok_or_else(|| {
                Malformed::new(format!(
                    "`{text}` is not a size; write a number and a unit, such as `64KiB` or `1MiB`"
                ))
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in SIZES {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Where to listen: `"127.0.0.1:8080"`, `"[::1]:8080"` or `"unix:/run/bearward/proxy.sock"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// A TCP address; port 0 lets the system choose and the log says which.
    Tcp(SocketAddr),
    /// A Unix domain socket at this path.
    Unix(PathBuf),
}

text_value!(
    Listen,
    "Listen",
    "^(unix:/.+|.+:[0-9]+)$",
    "An IP address and port, `127.0.0.1:8080`, or a Unix socket, `unix:/run/bearward/proxy.sock`."
);

impl FromStr for Listen {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.starts_with('/') && path.len() <= 107 {
                return Ok(Self::Unix(PathBuf::from(path)));
            }
            return Err(Malformed::new(
                "a Unix socket needs an absolute path of at most 107 bytes, such as `unix:/run/bearward/proxy.sock`",
            ));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            Malformed::new(format!(
                "`{text}` is not an address; write an IP address and a port, such as `127.0.0.1:8080`, or `unix:/path`"
            ))
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An absolute `http` or `https` URL without user information or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url(Uri);

text_value!(Url, "Url", "^https?://.+$", "An absolute URL, `https://…`.");

impl Url {
    /// The URL in the HTTP crate's type: scheme and authority are always there.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// True for `https`.
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host without brackets.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The port, 443 or 80 where none is written.
    pub fn port(&self) -> u16 {
        self.0
            .port_u16()
            .unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// True when the host is this machine by name or address, where plain HTTP is no leak.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Url {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = |why: &str| Malformed::new(format!("{why}; write it as `https://host/path`"));
        if text.contains('#') {
            return Err(wrong("a URL here has no fragment (`#`)"));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| wrong("this is not an absolute URL"))?;
        let authority = uri
            .authority()
            .ok_or_else(|| wrong("this is not an absolute URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("the scheme is neither `http` nor `https`"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong("a URL here has no user name or password"));
        }
        let port_is_a_number = authority.port().is_some()
            || !authority
                .as_str()
                .trim_start_matches(authority.host())
                .contains(':');
        if authority.host().is_empty() || !port_is_a_number {
            return Err(wrong("the host or port is malformed"));
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a grant: it becomes a metric label, a log field and part of an admin path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantName(std::sync::Arc<str>);

text_value!(
    GrantName,
    "GrantName",
    "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$",
    "Lower-case letters, digits, `-` and `_`; at most 63."
);

impl GrantName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GrantName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let inner = |c: u8| edge(c) || c == b'-' || c == b'_';
        let bytes = text.as_bytes();
        let fits = (1..=63).contains(&bytes.len())
            && bytes.iter().copied().all(inner)
            && bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge);
        if fits {
            return Ok(Self(text.into()));
        }
        Err(Malformed::new(format!(
            "`{text}` cannot name a grant; use lower-case letters, digits, `-` and `_`, at most 63"
        )))
    }
}

impl fmt::Display for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
