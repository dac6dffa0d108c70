//! A server that behaves badly by script, and remembers what it heard.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a server does with one connection.
#[derive(Clone)]
pub(super) enum Turn {
    /// Reads the request, says this, and closes.
    Say(String),
    /// Reads the request, says this, and then nothing more.
    SayAndHang(String),
    /// Closes without reading.
    Close,
    /// Reads a little of the request and resets.
    Reset,
    /// Reads the request, and says this byte by byte.
    Drip(String),
}

/// A server that plays its turns in order, the last one again and again.
pub(super) struct Server {
    pub(super) address: std::net::SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Plays `turns` over plain TCP.
    pub(super) async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::announced(|_| turns.into_iter().collect()).await
    }

    /// Plays turns that need to know the server's own origin.
    pub(super) async fn announced(turns: impl FnOnce(&str) -> Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        Self::run(listener, turns(&origin), None)
    }

    /// Plays `turns` over TLS.
    pub(super) async fn secured(turns: Vec<Turn>, tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::run(listener, turns, Some(tls))
    }

    fn run(listener: TcpListener, turns: Vec<Turn>, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            let last = turns.last().cloned().unwrap();
            let mut turns = turns.into_iter();
            while let Ok((stream, _)) = listener.accept().await {
                let turn = turns.next().unwrap_or_else(|| last.clone());
                tokio::spawn(meet(stream, turn, tls.clone(), Arc::clone(&ears)));
            }
        });
        Self { address, heard }
    }

    /// The URL of a path here.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn meet(
    mut stream: TcpStream,
    turn: Turn,
    tls: Option<TlsAcceptor>,
    ears: Arc<Mutex<Vec<String>>>,
) {
    if let Turn::Reset = turn {
        let mut some = [0; 16];
        let _ = stream.read(&mut some).await;
        // Closing with unread bytes in the queue makes the system reset.
        return;
    }
    let Some(tls) = tls else {
        return play(stream, &turn, &ears).await;
    };
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => play(stream, &turn, &ears).await,
        Err((_, mut stream)) => {
            // Read to its end, so that closing is no reset that overtakes the alert.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    }
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    turn: &Turn,
    ears: &Mutex<Vec<String>>,
) {
    if matches!(turn, Turn::Close) {
        return;
    }
    let request = hear(&mut stream).await;
    ears.lock().unwrap().push(request);
    match turn {
        Turn::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Turn::SayAndHang(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Turn::Drip(text) => {
            for byte in text.bytes() {
                let _ = stream.write_all(&[byte]).await;
                tokio::task::yield_now().await;
            }
            let _ = stream.shutdown().await;
        }
        Turn::Close | Turn::Reset => {}
    }
}

/// A request's head and body, by its `Content-Length`.
async fn hear<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut text = String::new();
    let mut piece = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => text.push_str(std::str::from_utf8(&piece[..count]).unwrap()),
        }
    }
}

/// A JSON answer with its length.
pub(super) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Whether a server wants a certificate of its clients.
#[derive(Clone, Copy)]
pub(super) enum Clients {
    Unknown,
    Certified,
}

/// A server's certificate for `localhost`, and the file that makes it trusted.
pub(super) fn certified(folder: &Path, clients: Clients) -> (TlsAcceptor, PathBuf) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
    let path = folder.join("ca.pem");
    std::fs::write(&path, cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Clients::Unknown => builder.with_no_client_auth(),
        Clients::Certified => {
            let mut roots = RootCertStore::empty();
            roots.add(cert.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = builder
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), path)
}
