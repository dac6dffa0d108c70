//! Where and who: addresses to listen on, URLs, names of grants.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

use super::Malformed;

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
                "a Unix socket needs an absolute path of at most 107 bytes",
                "write it as `unix:/run/bearward/proxy.sock`",
            ));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            Malformed::new(
                "this is not an address to listen on",
                "write an IP address and a port, such as `127.0.0.1:8080`, or `unix:/path`",
            )
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
        bare(self.0.host().unwrap_or_default())
    }

    /// The port, 443 or 80 where none is written.
    pub fn port(&self) -> u16 {
        self.0
            .port_u16()
            .unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// True when the host is this machine by name or address, where plain HTTP is no leak.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }
}

impl FromStr for Url {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = |why| Malformed::new(why, "write it as `https://host/path`");
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
        if !is_well_formed(authority) {
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

/// Where a Redis server is: `rediss://` with TLS or `redis://` without, host, port and database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisUrl {
    /// Whose parts are read when they are asked for; scheme and authority are always there.
    uri: Uri,
    database: u16,
}

text_value!(
    RedisUrl,
    "RedisUrl",
    "^rediss?://.+$",
    "A Redis server, `rediss://host:6379/0`."
);

impl RedisUrl {
    /// True for `rediss`.
    pub fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("rediss")
    }

    /// The host without brackets.
    pub fn host(&self) -> &str {
        bare(self.uri.host().unwrap_or_default())
    }

    /// The port, where one is written.
    pub fn port(&self) -> Option<u16> {
        self.uri.port_u16()
    }

    /// The number of the database, 0 where none is written.
    pub fn database(&self) -> u16 {
        self.database
    }

    /// True when the host is this machine by name or address, where plain text is no leak.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }
}

impl FromStr for RedisUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = |why| Malformed::new(why, "write it as `rediss://host:6379/0`");
        let uri: Uri = text
            .parse()
            .map_err(|_| wrong("this is not the URL of a Redis server"))?;
        let authority = uri
            .authority()
            .ok_or_else(|| wrong("this is not the URL of a Redis server"))?;
        if !matches!(uri.scheme_str(), Some("redis" | "rediss")) {
            return Err(wrong("the scheme is neither `redis` nor `rediss`"));
        }
        if authority.as_str().contains('@') {
            return Err(Malformed::new(
                "a URL here has no user name or password",
                "set `username` and `password = { file = \"…\" }` beside it",
            ));
        }
        if !is_well_formed(authority) {
            return Err(wrong("the host or port is malformed"));
        }
        let number = uri.path().trim_start_matches('/');
        let database = match number {
            "" => Some(0),
            number => number.parse().ok(),
        };
        let (Some(database), None, false) = (database, uri.query(), text.contains('#')) else {
            return Err(wrong(
                "after the host stands the number of a database or nothing",
            ));
        };
        Ok(Self { uri, database })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// True for a host, and a port that is a number where there is one.
fn is_well_formed(authority: &Authority) -> bool {
    let port_is_a_number = authority.port().is_some()
        || !authority
            .as_str()
            .trim_start_matches(authority.host())
            .contains(':');
    !authority.host().is_empty() && port_is_a_number
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
        Err(Malformed::new(
            "this cannot name a grant",
            "use lower-case letters, digits, `-` and `_`, at most 63, beginning and ending with a letter or digit",
        ))
    }
}

impl fmt::Display for GrantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
