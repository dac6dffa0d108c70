//! Dialling: name → addresses → TCP → TLS, all within one timeout.
//!
//! What always holds: a [`Wire`] that exists is ready for HTTP, and with `https` its peer has
//! proved the name that the configuration says. Every dial asks the resolver again, so that a
//! change in DNS is followed by the next connection.

mod error;
mod race;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Wire;
use crate::config::{self, Url};
use crate::keepalive;
use crate::tls::{self, Alpn};

pub use error::{DialError, DialFailure};

/// Opens connections to one upstream. Cheap to clone; clones share TLS sessions.
#[derive(Clone)]
pub struct Dialer {
    target: Arc<Target>,
}

struct Target {
    url: Url,
    tls: Option<Tls>,
    connect_timeout: Duration,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Dialer {
    /// Will dial `url`. Reads the files that `tls` names, if the URL is `https`.
    pub fn new(
        url: &Url,
        tls: &config::Tls,
        alpn: Alpn,
        connect_timeout: Duration,
    ) -> Result<Self, tls::Error> {
        if !url.is_https() {
            return Ok(Self::plain(url, connect_timeout));
        }
        let config = tls::with_alpn(&tls::client(tls)?, alpn);
        Self::secured(url, config, tls.server_name.as_deref(), connect_timeout)
    }

    /// Will dial `url` without TLS.
    fn plain(url: &Url, connect_timeout: Duration) -> Self {
        let target = Target {
            url: url.clone(),
            tls: None,
            connect_timeout,
        };
        Self {
            target: Arc::new(target),
        }
    }

    /// Will dial `url` with a TLS configuration that is made already and offers what it should
    /// by ALPN. The peer must prove `server_name`, or else the URL's host.
    pub fn secured(
        url: &Url,
        config: Arc<ClientConfig>,
        server_name: Option<&str>,
        connect_timeout: Duration,
    ) -> Result<Self, tls::Error> {
        let tls = Tls {
            connector: TlsConnector::from(config),
            name: tls::server_name(server_name.unwrap_or(url.host()))?,
        };
        let target = Target {
            url: url.clone(),
            tls: Some(tls),
            connect_timeout,
        };
        Ok(Self {
            target: Arc::new(target),
        })
    }

    /// The URL that is dialled.
    pub fn url(&self) -> &Url {
        &self.target.url
    }

    /// How long a connection may take to stand.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.target.connect_timeout
    }

    /// Opens a connection, within the timeout. Cancel-safe: what was begun is closed.
    pub async fn connect(&self) -> Result<Wire, DialError> {
        let target = &*self.target;
        match timeout(target.connect_timeout, target.open()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DialError::new(DialFailure::Timeout, None)),
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dialer").field(&self.target.url).finish()
    }
}

impl Target {
    async fn open(&self) -> Result<Wire, DialError> {
        let addresses = self.resolve().await.map_err(DialError::resolve)?;
        let stream = race::first(addresses, TcpStream::connect)
            .await
            .map_err(DialError::connect)?;
        // A head and a first chunk leave in one write, so waiting for more never helps.
        stream.set_nodelay(true).map_err(DialError::connect)?;
        keepalive::watch(&stream).map_err(DialError::connect)?;
        let Some(tls) = &self.tls else {
            return Ok(Wire::tcp(stream));
        };
        let stream = tls
            .connector
            .connect(tls.name.clone(), stream)
            .await
            .map_err(DialError::tls)?;
        Ok(Wire::tls(stream))
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found = lookup_host((self.url.host(), self.url.port())).await?;
        Ok(race::interleaved(found))
    }
}

#[cfg(test)]
pub(super) mod tests;
