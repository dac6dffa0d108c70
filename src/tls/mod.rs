//! TLS towards upstreams and authorization servers: rustls configurations made from files
//! or from PEM texts that stand in one.
//!
//! What always holds: a configuration that exists trusts somebody, and has read and checked every
//! file it names. TLS 1.2 and 1.3 only, one crypto provider, sessions resumed. Nothing of a
//! private key reaches an error: a parser's message can quote the line it stumbled over, so
//! such messages are replaced by our own words.

mod error;
mod pem;
mod roots;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};

use crate::config;

pub use error::Error;
pub use pem::Pem;

/// The protocols that are offered by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1` only.
    Http1,
    /// `h2` only.
    Http2,
    /// `h2`, else `http/1.1`.
    Either,
}

impl Alpn {
    fn names(self) -> Vec<Vec<u8>> {
        let (h2, http1) = (b"h2".to_vec(), b"http/1.1".to_vec());
        match self {
            Self::Http1 => vec![http1],
            Self::Http2 => vec![h2],
            Self::Either => vec![h2, http1],
        }
    }
}

impl From<config::HttpVersion> for Alpn {
    fn from(version: config::HttpVersion) -> Self {
        match version {
            config::HttpVersion::Auto => Self::Either,
            config::HttpVersion::Http1 => Self::Http1,
            config::HttpVersion::Http2 => Self::Http2,
        }
    }
}

/// The client configuration that `settings` describe; reads the files they name, so not for
/// the request path. It offers no protocol by ALPN yet, see [`with_alpn`].
pub fn client(settings: &config::Tls) -> Result<Arc<ClientConfig>, Error> {
    let roots = roots::trusted(settings)?;
    let identity = match (&settings.cert, &settings.key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((Pem::read(cert)?, Pem::read(key)?)),
        (Some(_), None) => return Err(Error::Incomplete { missing: "key" }),
        (None, Some(_)) => return Err(Error::Incomplete { missing: "cert" }),
    };
    let identity = identity.as_ref().map(|(cert, key)| (cert, key));
    build(roots, identity)
}

/// The client configuration that trusts `ca` alone, or the system's authorities where it is
/// nothing, and proves itself with `identity`, a certificate's chain and its private key.
pub fn client_with(
    ca: Option<&Pem>,
    identity: Option<(&Pem, &Pem)>,
) -> Result<Arc<ClientConfig>, Error> {
    let roots = match ca {
        Some(ca) => roots::only(ca)?,
        None => roots::trusted(&config::Tls::default())?,
    };
    build(roots, identity)
}

fn build(roots: RootCertStore, identity: Option<(&Pem, &Pem)>) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .with_root_certificates(roots);
    let Some((cert, key)) = identity else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let config = builder
        .with_client_auth_cert(cert.certificates()?, key.private_key()?)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::KeyMismatch {
                cert: cert.path().to_owned(),
                key: key.path().to_owned(),
            },
            rustls::Error::InvalidCertificate(_) => Error::unusable(cert.path(), "certificate"),
            _ => Error::unusable(key.path(), "private key"),
        })?;
    Ok(Arc::new(config))
}

/// The same configuration, offering `alpn`. The copy shares the sessions that can be resumed.
pub fn with_alpn(config: &Arc<ClientConfig>, alpn: Alpn) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = alpn.names();
    Arc::new(config)
}

/// The name that a server's certificate must carry; a DNS name or an IP address.
pub fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName {
        name: name.to_owned(),
    })
}

/// The process's one provider of cryptography; it is handed to every configuration rather than
/// installed as a global, so that no library can choose another one for us.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(default_provider())))
}

#[cfg(test)]
mod tests;
