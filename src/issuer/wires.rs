//! Connections to an authorization server, whichever of its endpoints is meant.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::config::{self, Url};
use crate::tls::{self, Alpn};
use crate::upstream::Dialer;

/// What every connection to one authorization server shares.
pub(super) struct Wires {
    client: Arc<ClientConfig>,
    settings: config::Tls,
    connect_timeout: Duration,
}

impl Wires {
    /// Reads the files that `settings` name.
    pub(super) fn new(
        settings: config::Tls,
        connect_timeout: Duration,
    ) -> Result<Self, tls::Error> {
        Ok(Self {
            // Token requests are few and each has a connection of its own: HTTP/1.1 is enough,
            // and its end is plain to see.
            client: tls::with_alpn(&tls::client(&settings)?, Alpn::Http1),
            settings,
            connect_timeout,
        })
    }

    /// Connections to `url`.
    pub(super) fn dial(&self, url: &Url) -> Result<Dialer, tls::Error> {
        if !url.is_https() {
            return Dialer::new(url, &self.settings, Alpn::Http1, self.connect_timeout);
        }
        let name = self.settings.server_name.as_deref();
        Dialer::secured(url, Arc::clone(&self.client), name, self.connect_timeout)
    }
}
