//! Where the grant is: one server, a cluster's node, or whoever the sentinels call primary.
//!
//! What always holds: passwords and the files of TLS are read again for each connection, so that
//! a rotated one is taken up by itself; no place is tried for longer than its share of the time.

use std::fmt;
use std::sync::{Arc, OnceLock};

use redis::{RedisError, ServerErrorKind, Value, cmd};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::trouble;
use crate::config::{self, RedisUrl, Source, Url};
use crate::store::file::blocking;
use crate::store::{Error, ErrorKind};
use crate::tls::{self, Alpn};
use crate::upstream::Dialer;

/// The port of a server where none is written.
const PORT: u16 = 6379;
/// The port of a sentinel where none is written.
const SENTINEL_PORT: u16 = 26379;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
    database: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
}

impl Address {
    fn new(url: &RedisUrl, port: u16) -> Self {
        Self {
            scheme: if url.is_tls() {
                Scheme::Tls
            } else {
                Scheme::Plain
            },
            host: url.host().to_owned(),
            port: url.port().unwrap_or(port),
            database: url.database(),
        }
    }

    /// Another server that this one tells of, reached in the same way.
    fn beside(&self, host: &str, port: u16) -> Self {
        // A node that does not know its own name means the one that was asked.
        let host = if host.is_empty() { &self.host } else { host };
        Self {
            host: host.to_owned(),
            port,
            ..self.clone()
        }
    }

    /// The same for a dialler, which knows the web's schemes and looks at host and port alone.
    fn url(&self) -> Option<Url> {
        let scheme = match self.scheme {
            Scheme::Plain => "http",
            Scheme::Tls => "https",
        };
        format!("{scheme}://{}", self.authority()).parse().ok()
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "redis",
            Scheme::Tls => "rediss",
        };
        write!(f, "{scheme}://{}", self.authority())?;
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

/// Where a node of a cluster sends whoever asks it for a key of another's.
pub(super) struct Redirection {
    pub(super) to: Address,
    /// Whether it is for this one time, and the other node is to be told so.
    pub(super) once: bool,
}

impl Redirection {
    /// What `error` says of another node, if that is what it says.
    pub(super) fn of(error: &RedisError, asked: &Address) -> Option<Self> {
        let (node, _slot) = error.redirect_node()?;
        let (host, port) = node.rsplit_once(':')?;
        let host = host.trim_matches(['[', ']']);
        Some(Self {
            to: asked.beside(host, port.parse().ok()?),
            once: error.kind() == redis::ErrorKind::Server(ServerErrorKind::Ask),
        })
    }
}

/// The way to the server that has the grant.
#[derive(Debug)]
pub(super) struct Route {
    places: Places,
    user: User,
    trust: Trust,
}

#[derive(Debug)]
enum Places {
    /// Any of these; a node of a cluster leads to the right one.
    Servers(Vec<Address>),
    /// Whichever server these call by this name.
    Sentinels {
        at: Vec<Address>,
        master: String,
        user: User,
    },
}

/// Who we are.
#[derive(Debug)]
struct User {
    name: Option<String>,
    password: Option<Source>,
}

impl Route {
    /// Reads the files of TLS, so that what is wrong with them is known at once; connects to
    /// nothing.
    pub(super) fn new(settings: &config::RedisStore) -> Result<Self, Error> {
        let places = match &settings.sentinel {
            Some(sentinel) => Places::Sentinels {
                at: addresses(&sentinel.urls, SENTINEL_PORT),
                master: sentinel.master.clone(),
                user: User {
                    name: sentinel.username.clone(),
                    password: sentinel.password.clone(),
                },
            },
            None => Places::Servers(addresses(
                settings.url.iter().chain(&settings.cluster),
                PORT,
            )),
        };
        let route = Self {
            places,
            user: User {
                name: settings.username.clone(),
                password: settings.password.clone(),
            },
            trust: Trust {
                settings: settings.tls.clone(),
                system: OnceLock::new(),
            },
        };
        let secured = |address: &Address| address.scheme == Scheme::Tls;
        if route.addresses().iter().any(secured) {
            route.trust.read()?;
        }
        Ok(route)
    }

    /// A connection to the server that has the grant, or to one that knows which has.
    pub(super) async fn open(&self, deadline: Instant) -> Result<Link, Error> {
        let mut trouble = None;
        let addresses = self.addresses();
        for (tried, address) in addresses.iter().enumerate() {
            let share = share(deadline, addresses.len() - tried);
            let opened = match &self.places {
                Places::Servers(_) => self.link(address, share).await,
                Places::Sentinels { master, user, .. } => {
                    self.primary(address, (master, user), share).await
                }
            };
            match opened {
                Ok(link) => return Ok(link),
                Err(error) => trouble = Some(error),
            }
        }
        Err(trouble.unwrap_or_else(|| Error::new(ErrorKind::Refused, "no server is configured")))
    }

    /// A connection to this server, as the configured user.
    pub(super) async fn link(&self, address: &Address, deadline: Instant) -> Result<Link, Error> {
        self.greet(address, &self.user, deadline).await
    }

    /// A connection to the server that this sentinel calls primary.
    async fn primary(
        &self,
        sentinel: &Address,
        (master, user): (&str, &User),
        deadline: Instant,
    ) -> Result<Link, Error> {
        let at = Address {
            database: 0,
            ..sentinel.clone()
        };
        let mut link = self.greet(&at, user, deadline).await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer = ask(&mut link, &question, deadline).await?;
        let told = redis::from_redis_value::<Option<(String, u16)>>(answer);
        let (host, port) = told.map_err(|_| trouble::strange(&at))?.ok_or_else(|| {
            let message = format!("the sentinel at `{at}` knows no primary `{master}`");
            Error::new(ErrorKind::Away, message).with_hint("look at `sentinel.master`")
        })?;
        let address = sentinel.beside(&host, port);
        let mut link = self.link(&address, deadline).await?;
        // A sentinel can be behind the times.
        let answer = ask(&mut link, &cmd("ROLE"), deadline).await?;
        match answer {
            Value::Array(parts) if parts.first() == Some(&Value::BulkString(b"master".into())) => {
                Ok(link)
            }
            _ => {
                let message = format!("Redis at `{address}` is no primary any more");
                Err(Error::new(ErrorKind::Away, message))
            }
        }
    }

    async fn greet(&self, at: &Address, user: &User, deadline: Instant) -> Result<Link, Error> {
        let connected = timeout_at(deadline, self.connect(at, deadline)).await;
        let mut link = connected.unwrap_or_else(|_| Err(late(at)))?;
        if let Some(password) = &user.password {
            let password = password.read().map_err(|cause| {
                let message = "the password for Redis cannot be had";
                Error::new(ErrorKind::Refused, message).because(cause)
            })?;
            let mut auth = cmd("AUTH");
            auth.arg(&user.name).arg(password.expose());
            ask(&mut link, &auth, deadline).await?;
        }
        if at.database != 0 {
            let mut select = cmd("SELECT");
            ask(&mut link, select.arg(at.database), deadline).await?;
        }
        Ok(link)
    }

    async fn connect(&self, at: &Address, deadline: Instant) -> Result<Link, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let url = at.url().ok_or_else(|| trouble::strange(at))?;
        let settings = &self.trust.settings;
        let dialer = match at.scheme {
            Scheme::Plain => Dialer::new(&url, settings, Alpn::Http1, left),
            Scheme::Tls => {
                let name = settings.server_name.as_deref();
                Dialer::secured(&url, self.trust.client().await?, name, left)
            }
        };
        let wire = dialer.map_err(untrusted)?.connect().await;
        let wire = wire.map_err(|error| trouble::unreachable(at, error))?;
        let link = Link::new(at.clone(), wire).await;
        link.map_err(|error| trouble::said(at, &error))
    }

    fn addresses(&self) -> &[Address] {
        match &self.places {
            Places::Servers(at) | Places::Sentinels { at, .. } => at,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{address}`")?;
        }
        Ok(())
    }
}

/// Whom to trust and how to prove who we are.
#[derive(Debug)]
struct Trust {
    settings: config::Tls,
    /// Kept where no file is named: the system's roots change with the system.
    system: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    async fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(client) = self.system.get() {
            return Ok(Arc::clone(client));
        }
        let settings = self.settings.clone();
        blocking(move || tls::client(&settings).map_err(untrusted)).await
    }

    fn read(&self) -> Result<(), Error> {
        let client = tls::client(&self.settings).map_err(untrusted)?;
        let files = [&self.settings.ca, &self.settings.cert, &self.settings.key];
        if files.iter().all(|file| file.is_none()) {
            self.system.get_or_init(|| client);
        }
        Ok(())
    }
}

fn addresses<'u>(urls: impl IntoIterator<Item = &'u RedisUrl>, port: u16) -> Vec<Address> {
    urls.into_iter()
        .map(|url| Address::new(url, port))
        .collect()
}

/// Asks something over a link of which nothing else is known yet.
async fn ask(link: &mut Link, command: &redis::Cmd, deadline: Instant) -> Result<Value, Error> {
    let answer = timeout_at(deadline, link.ask(command)).await;
    let Ok(answer) = answer else {
        return Err(late(link.address()));
    };
    answer.map_err(|error| trouble::said(link.address(), &error))
}

fn late(address: &Address) -> Error {
    let message = format!("Redis at `{address}` took too long");
    Error::new(ErrorKind::Away, message)
}

fn untrusted(cause: tls::Error) -> Error {
    let message = "TLS towards Redis cannot be set up";
    Error::new(ErrorKind::Refused, message).because(cause)
}

/// An equal part of the time that is left, for one of `places` that are still to be tried.
fn share(deadline: Instant, places: usize) -> Instant {
    let now = Instant::now();
    let left = deadline.saturating_duration_since(now);
    let parts = u32::try_from(places.max(1)).unwrap_or(u32::MAX);
    now + left / parts
}
