//! Which address of loopback the browser comes back to.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{self, Url};
use crate::listen::Bound;

/// What stands where nobody chose: an address and no name, because what `localhost` is depends on
/// the machine (RFC 8252 §8.3).
const HOST: &str = "127.0.0.1";
const PATH: &str = "/callback";

/// How often a free port is looked for that is free on both addresses of `localhost`.
const TRIES: usize = 8;

/// An address of loopback, perhaps without a port.
#[derive(Debug)]
pub(super) struct Address {
    /// The configured URL, where it has a port.
    fixed: Option<String>,
    /// As it stands in a URL.
    host: String,
    port: u16,
    path_and_query: String,
}

impl Address {
    /// Reads the configured address; without one, the system's choice.
    pub(super) fn read(redirect: Option<&Url>) -> Result<Self, BindError> {
        let Some(url) = redirect else {
            return Ok(Self {
                fixed: None,
                host: HOST.to_owned(),
                port: 0,
                path_and_query: PATH.to_owned(),
            });
        };
        if url.is_https() || !url.is_loopback() {
            return Err(BindError {
                message: format!("`{url}` is no place where this machine can be come back to"),
                hint: "write the `redirect_uri` as `http://127.0.0.1:PORT/path`, or log in with `--paste`",
                source: None,
            });
        }
        let uri = url.uri();
        let port = uri.port_u16().unwrap_or(0);
        let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            fixed: (port != 0).then(|| url.to_string()),
            host: uri.host().unwrap_or(HOST).to_owned(),
            port,
            path_and_query: path_and_query.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The redirect URI, of which only the port may be another than what is registered
    /// (RFC 8252 §7.3).
    pub(super) fn uri(&self, port: u16) -> String {
        let Self {
            host,
            path_and_query,
            ..
        } = self;
        match &self.fixed {
            Some(fixed) => fixed.clone(),
            None => format!("http://{host}:{port}{path_and_query}"),
        }
    }

    /// Listens on each address that the host has; all have the same port.
    pub(super) fn listen(&self) -> Result<(u16, Vec<Bound>), BindError> {
        let mut tries = 1;
        loop {
            match self.try_to_listen() {
                // Free on the first, taken on the second: another one may be free on both.
                Err(error)
                    if self.port == 0 && error.kind() == ErrorKind::AddrInUse && tries < TRIES =>
                {
                    tries += 1;
                }
                outcome => return outcome.map_err(|error| self.not_bound(error.into())),
            }
        }
    }

    fn try_to_listen(&self) -> io::Result<(u16, Vec<Bound>)> {
        let mut port = self.port;
        let mut bound = Vec::new();
        let mut absent = None;
        for address in self.addresses() {
            let place = config::Listen::Tcp(SocketAddr::new(address, port));
            match Bound::bind(&place, 0) {
                Ok(one) => {
                    port = tcp_port(&one)?;
                    bound.push(one);
                }
                Err(error) if is_decisive(error.kind()) => return Err(error),
                Err(error) => absent = Some(error),
            }
        }
        match absent {
            Some(error) if bound.is_empty() => Err(error),
            _ => Ok((port, bound)),
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let host = self.host.trim_matches(['[', ']']);
        match host.parse() {
            Ok(address) => vec![address],
            Err(_) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }

    /// The error that it cannot be listened there.
    pub(super) fn not_bound(&self, source: BoxError) -> BindError {
        let kind = source.downcast_ref().map(io::Error::kind);
        let Self { host, port, .. } = self;
        let message = match kind {
            Some(ErrorKind::AddrInUse) if *port != 0 => {
                format!("port {port} of the `redirect_uri` is taken")
            }
            _ => format!("cannot listen on {host}, port {port}, for the browser to come back"),
        };
        let hint = match kind {
            Some(ErrorKind::AddrInUse) => {
                "end what listens there (`ss -ltnp` names it), or use another port, here and where the client is registered"
            }
            Some(ErrorKind::PermissionDenied) => {
                "use a port above 1023, here and where the client is registered"
            }
            _ => "log in with `--paste`, which needs no address",
        };
        BindError {
            message,
            hint,
            source: Some(source),
        }
    }
}

fn tcp_port(bound: &Bound) -> io::Result<u16> {
    match bound.address()? {
        config::Listen::Tcp(address) => Ok(address.port()),
        config::Listen::Unix(_) => Err(ErrorKind::Unsupported.into()),
    }
}

/// True for an error that is about the port, and not about an address this machine has not.
fn is_decisive(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The redirect address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    message: String,
    hint: &'static str,
    source: Option<BoxError>,
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> &str {
        self.hint
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source: &(dyn std::error::Error + 'static) = self.source.as_deref()?;
        Some(source)
    }
}
