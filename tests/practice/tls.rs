//! A certificate authority that lives as long as one test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::wire::Protocol;

/// On what terms a practice server speaks TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// The one name that its certificate carries, where that is not its address.
    pub(super) name: Option<String>,
    /// The one version that it speaks.
    pub(super) version: Option<&'static SupportedProtocolVersion>,
    /// Whom it speaks to.
    pub(super) clients: Clients,
}

/// Whom a practice server speaks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clients {
    /// Anybody.
    #[default]
    Anybody,
    /// Those with a certificate by its own authority.
    Certified,
}

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
        self.acceptor_on(protocol, &Terms::default())
    }

    /// The same on other terms.
    pub(super) fn acceptor_on(
        &self,
        protocol: Protocol,
        terms: &Terms,
    ) -> Result<TlsAcceptor, rustls::Error> {
        let general = |error: String| rustls::Error::General(error);
        let name = terms.name.as_deref();
        let names = name.map_or_else(|| vec!["localhost", "127.0.0.1"], |name| vec![name]);
        let (certificate, key) = self.sign(&names).map_err(|e| general(e.to_string()))?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = terms
            .version
            .map_or(rustls::ALL_VERSIONS.to_vec(), |only| vec![only]);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)?;
        let builder = match terms.clients {
            Clients::Anybody => builder.with_no_client_auth(),
            Clients::Certified => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(self.pem.as_bytes());
                roots.add(root.map_err(|e| general(e.to_string()))?)?;
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build().map_err(|e| general(e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
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
