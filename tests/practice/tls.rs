//! A certificate authority that lives as long as one test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::wire::Protocol;

/// A certificate authority with keys made at run time.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new authority that nobody trusts yet.
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Bearward practice authority");
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// The authority's certificate, for the `ca` keys of a configuration.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate and its key as PEM, for these names (DNS names or IP addresses).
    pub fn certificate(&self, names: &[&str]) -> Result<(String, String), rcgen::Error> {
        let (certificate, key) = self.sign(names)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// What a practice server needs to speak TLS as `localhost` and `127.0.0.1`.
    pub(super) fn acceptor(&self, protocol: Protocol) -> Result<TlsAcceptor, rustls::Error> {
        let general = |error: rcgen::Error| rustls::Error::General(error.to_string());
        let (certificate, key) = self.sign(&["localhost", "127.0.0.1"]).map_err(general)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = protocol.alpn();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn sign(&self, names: &[&str]) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        Ok((certificate, key))
    }
}
