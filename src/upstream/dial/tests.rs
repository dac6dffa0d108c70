//! Real sockets on loopback, certificates made on the spot.

use std::error::Error as _;
use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const LONG: Duration = Duration::from_secs(10);

/// A certificate authority with its certificate in a file.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// What a server does with those who connect.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Clients {
    Unknown,
    Certified,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn settings(&self) -> config::Tls {
        config::Tls {
            ca: Some(self.folder.path().join("ca.pem")),
            system_roots: false,
            ..config::Tls::default()
        }
    }

    fn sign(&self, params: &CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// The same settings with a client certificate of this authority.
    fn certified(&self) -> config::Tls {
        let (cert, key) = self.sign(&names(&["client"]));
        let (cert_path, key_path) = (
            self.folder.path().join("client.pem"),
            self.folder.path().join("client.key"),
        );
        fs::write(&cert_path, cert.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        config::Tls {
            cert: Some(cert_path),
            key: Some(key_path),
            ..self.settings()
        }
    }

    /// The server's side of a handshake.
    pub(crate) fn acceptor(
        &self,
        params: &CertificateParams,
        clients: Clients,
        alpn: &[&str],
    ) -> TlsAcceptor {
        let (cert, key) = self.sign(params);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap();
        let builder = match clients {
            Clients::Unknown => builder.with_no_client_auth(),
            Clients::Certified => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
                )
                .build()
                .unwrap(),
            ),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server that greets whoever gets through the handshake; the URL's host is `localhost`.
    async fn serve(&self, params: &CertificateParams, clients: Clients, alpn: &[&str]) -> Url {
        let acceptor = self.acceptor(params, clients, alpn);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(greet(listener, acceptor));
        format!("https://localhost:{port}/").parse().unwrap()
    }
}

async fn greet(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.write_all(b"hello").await;
            let _ = stream.shutdown().await;
        }
    }
}

pub(crate) fn names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

async fn greeting(dialer: &Dialer) -> Result<String, DialError> {
    let mut wire = dialer.connect().await?;
    let mut text = String::new();
    wire.read_to_string(&mut text)
        .await
        .map_err(DialError::tls)?;
    Ok(text)
}

#[tokio::test]
async fn a_proved_server_is_talked_to() {
    let authority = Authority::new();
    let url = authority
        .serve(&names(&["localhost"]), Clients::Unknown, &[])
        .await;
    let dialer = Dialer::new(&url, &authority.settings(), Alpn::Http1, LONG).unwrap();
    assert_eq!(greeting(&dialer).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_refused() {
    let authority = Authority::new();
    let mut expired = names(&["localhost"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2020, 2, 1);
    let stranger = Authority::new();
    for (params, settings, clients) in [
        (names(&["localhost"]), stranger.settings(), Clients::Unknown),
        (
            names(&["other.example"]),
            authority.settings(),
            Clients::Unknown,
        ),
        (expired, authority.settings(), Clients::Unknown),
        (
            names(&["localhost"]),
            authority.settings(),
            Clients::Certified,
        ),
    ] {
        let url = authority.serve(&params, clients, &[]).await;
        let dialer = Dialer::new(&url, &settings, Alpn::Http1, LONG).unwrap();
        let error = greeting(&dialer).await.unwrap_err();
        assert_eq!(error.as_str(), "tls_failed");
        assert_eq!(
            error.to_string(),
            "the TLS handshake with the server failed"
        );
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn a_name_can_be_given_apart_from_the_host() {
    let authority = Authority::new();
    let url = authority
        .serve(&names(&["api.internal"]), Clients::Unknown, &[])
        .await;
    let settings = config::Tls {
        server_name: Some(String::from("api.internal")),
        ..authority.settings()
    };
    let dialer = Dialer::new(&url, &settings, Alpn::Http1, LONG).unwrap();
    assert_eq!(greeting(&dialer).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_demanded() {
    let authority = Authority::new();
    let url = authority
        .serve(&names(&["localhost"]), Clients::Certified, &[])
        .await;
    let dialer = Dialer::new(&url, &authority.certified(), Alpn::Http1, LONG).unwrap();
    assert_eq!(greeting(&dialer).await.unwrap(), "hello");
}

#[tokio::test]
async fn alpn_decides_the_protocol() {
    let authority = Authority::new();
    for (offer, server, h2) in [
        (Alpn::Either, &["h2", "http/1.1"][..], true),
        (Alpn::Either, &["http/1.1"], false),
        (Alpn::Either, &[], false),
        (Alpn::Http1, &["h2", "http/1.1"], false),
        (Alpn::Http2, &["h2", "http/1.1"], true),
    ] {
        let url = authority
            .serve(&names(&["localhost"]), Clients::Unknown, server)
            .await;
        let dialer = Dialer::new(&url, &authority.settings(), offer, LONG).unwrap();
        assert_eq!(
            dialer.connect().await.unwrap().is_h2(),
            h2,
            "{offer:?} {server:?}"
        );
    }
    let url = authority
        .serve(&names(&["localhost"]), Clients::Unknown, &["http/1.1"])
        .await;
    let dialer = Dialer::new(&url, &authority.settings(), Alpn::Http2, LONG).unwrap();
    assert_eq!(dialer.connect().await.unwrap_err().kind(), DialFailure::Tls);
}

#[tokio::test]
async fn plain_tcp_is_dialled_or_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url: Url = format!("http://localhost:{port}").parse().unwrap();
    let dialer = Dialer::new(&url, &config::Tls::default(), Alpn::Either, LONG).unwrap();
    let wire = dialer.connect().await.unwrap();
    assert!(!wire.is_h2());
    drop(listener);
    assert_eq!(
        dialer.connect().await.unwrap_err().as_str(),
        "connect_refused"
    );
}

#[tokio::test]
async fn a_server_that_never_speaks_tls_runs_into_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url: Url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let settings = config::Tls::default();
    let dialer = Dialer::new(&url, &settings, Alpn::Either, Duration::from_millis(50)).unwrap();
    let error = dialer.connect().await.unwrap_err();
    assert_eq!(error.as_str(), "connect_timeout");
    assert!(error.source().is_none());
}

#[tokio::test]
async fn a_name_without_an_address_says_so() {
    let url: Url = "http://nobody.invalid".parse().unwrap();
    let dialer = Dialer::new(&url, &config::Tls::default(), Alpn::Either, LONG).unwrap();
    assert_eq!(dialer.connect().await.unwrap_err().as_str(), "dns_failed");
}

#[test]
fn a_url_whose_host_no_certificate_can_carry_is_an_error_at_once() {
    let url: Url = "https://a..b/".parse().unwrap();
    let error = Dialer::new(&url, &config::Tls::default(), Alpn::Either, LONG).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`a..b` is neither a DNS name nor an IP address"
    );
}
