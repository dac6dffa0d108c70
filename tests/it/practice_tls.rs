//! The practice world over TLS, with certificates made at run time.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

use crate::practice::{Api, Authority, Issuer, Protocol};
use crate::support::client::{self, Answer};

/// Connects as a client that trusts `authority` alone and offers these protocols.
async fn connect(
    url: &str,
    authority: &Authority,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(url.trim_start_matches("https://")).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn alpn_decides_and_both_versions_answer() {
    let authority = Authority::new().unwrap();
    let api = Api::builder().start_tls(&authority).await.unwrap();

    let stream = connect(api.url(), &authority, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut request = client::get("/x");
    *request.uri_mut() = format!("{}/x", api.url()).parse().unwrap();
    let answer = Answer::read(sender.send_request(request).await.unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 401);

    let stream = connect(api.url(), &authority, &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(client::get("/x")).await.unwrap();
    assert_eq!(Answer::read(answer).await.unwrap().status, 401);
    let versions: Vec<_> = api
        .requests()
        .all()
        .iter()
        .map(|seen| seen.version)
        .collect();
    assert_eq!(versions, [http::Version::HTTP_2, http::Version::HTTP_11]);
}

#[tokio::test]
async fn nobody_is_trusted_without_the_authority() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let issuer = Issuer::builder().start_tls(&authority).await.unwrap();
    assert!(issuer.url().starts_with("https://127.0.0.1:"));
    assert!(connect(issuer.url(), &authority, &[]).await.is_ok());
    assert!(connect(issuer.url(), &other, &[]).await.is_err());
    let api = Api::builder()
        .protocol(Protocol::Http2)
        .start_tls(&authority)
        .await
        .unwrap();
    assert!(connect(api.url(), &authority, &["http/1.1"]).await.is_err());
}
