//! Connections to an authorization server, whichever of its endpoints is meant.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;

use crate::config::{self, Url};
use crate::tls::{self, Alpn};
use crate::upstream::Dialer;

/// What every connection to one authorization server shares.
pub(super) struct Wires {
    /// Made when the first `https` URL is meant: reading the system's roots takes longer than all
    /// the rest of a start.
    client: OnceLock<Arc<ClientConfig>>,
    settings: config::Tls,
    connect_timeout: Duration,
}

impl Wires {
    /// Reads nothing yet.
    pub(super) fn new(settings: config::Tls, connect_timeout: Duration) -> Self {
        Self {
            client: OnceLock::new(),
            settings,
            connect_timeout,
        }
    }

    /// Reads the files that the settings name, so that what is wrong with them is known at once.
    pub(super) fn prepare(&self) -> Result<(), tls::Error> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<Arc<ClientConfig>, tls::Error> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        // Token requests are few and each has a connection of its own: HTTP/1.1 is enough, and
        // its end is plain to see.
        let client = tls::with_alpn(&tls::client(&self.settings)?, Alpn::Http1);
        Ok(Arc::clone(self.client.get_or_init(|| client)))
    }

    /// Connections to `url`.
    pub(super) fn dial(&self, url: &Url) -> Result<Dialer, tls::Error> {
        if !url.is_https() {
            return Dialer::new(url, &self.settings, Alpn::Http1, self.connect_timeout);
        }
        let name = self.settings.server_name.as_deref();
        Dialer::secured(url, self.client()?, name, self.connect_timeout)
    }
}
