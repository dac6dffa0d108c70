//! How a practice server listens: loopback, port 0, HTTP/1.1 and HTTP/2, plain or TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::body::{Body, Cut};

/// The HTTP versions a practice server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Both: by ALPN over TLS, by prior knowledge without.
    #[default]
    Both,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

impl Protocol {
    /// What is offered by ALPN (RFC 7301).
    pub(super) fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Both => &[b"h2", b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// One connection, as a handler sees it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its number, from 1.
    pub(super) number: u64,
    close: Notify,
}

impl Connection {
    /// Closes the connection after the answer that is being made, without saying so before.
    pub(super) fn close_after_this(&self) {
        self.close.notify_one();
    }
}

/// What answers.
pub(super) trait Handler: Send + Sync + 'static {
    /// Answers one request, or cuts its connection.
    fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Cut>> + Send;
}

/// A listening server. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub(super) struct Server<H> {
    address: SocketAddr,
    shared: Arc<Shared<H>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared<H> {
    handler: Arc<H>,
    tls: Option<Tls>,
    protocol: Protocol,
    connections: AtomicU64,
}

/// `TlsAcceptor` has no `Debug`.
struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Binds a loopback port that the system chooses.
pub(super) async fn bind() -> TcpListener {
    #[allow(
        clippy::expect_used,
        reason = "a machine without a free loopback port can practise nothing"
    )]
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port on loopback")
}

/// The address that a bound listener has.
pub(super) fn address_of(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

impl<H: Handler> Server<H> {
    /// Listens on `listener` and answers with `handler`.
    pub(super) fn start(
        listener: TcpListener,
        handler: Arc<H>,
        protocol: Protocol,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let address = address_of(&listener);
        let shared = Arc::new(Shared {
            handler,
            tls: tls.map(Tls),
            protocol,
            connections: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(Arc::clone(&shared).accept(listener));
        Self {
            address,
            shared,
            accepting: Mutex::new(Some(accepting)),
        }
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes the listener and cuts every connection: whoever comes now is refused.
    pub(super) async fn go_down(&self) {
        if let Some(accepting) = self.accepting.lock().await.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again at the same address.
    pub(super) async fn come_back(&self) -> std::io::Result<()> {
        let mut accepting = self.accepting.lock().await;
        if accepting.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *accepting = Some(tokio::spawn(Arc::clone(&self.shared).accept(listener)));
        }
        Ok(())
    }
}

impl<H> Drop for Server<H> {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.get_mut().take() {
            accepting.abort();
        }
    }
}

impl<H: Handler> Shared<H> {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        // Connections end with this set, and it with this task.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(Arc::clone(&self).serve(stream));
            while connections.try_join_next().is_some() {}
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let connection = Arc::new(Connection {
            number: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            close: Notify::new(),
        });
        let Some(Tls(tls)) = &self.tls else {
            let version = match self.protocol {
                Protocol::Both => spoken(&stream).await,
                Protocol::Http1 => Version::Http1,
                Protocol::Http2 => Version::Http2,
            };
            return self.speak(stream, connection, version).await;
        };
        // A peer that does not trust us is the test's business, not ours.
        if let Ok(stream) = tls.accept(stream).await {
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Version::Http2,
                _ => Version::Http1,
            };
            self.speak(stream, connection, version).await;
        }
    }

    async fn speak<S>(&self, stream: S, connection: Arc<Connection>, version: Version)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handler = Arc::clone(&self.handler);
        let ours = Arc::clone(&connection);
        let service =
            service_fn(move |request| Arc::clone(&handler).answer(Arc::clone(&ours), request));
        let stream = TokioIo::new(stream);
        // How a connection ends shows in what its peer makes of it, so errors are not kept.
        match version {
            Version::Http1 => {
                let served = http1::Builder::new().serve_connection(stream, service);
                let mut served = std::pin::pin!(served.with_upgrades());
                tokio::select! {
                    biased;
                    _ = &mut served => return,
                    () = connection.close.notified() => served.as_mut().graceful_shutdown(),
                }
                let _ = served.await;
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                let served = builder
                    .max_concurrent_streams(1000)
                    .max_header_list_size(256 * 1024)
                    .serve_connection(stream, service);
                let mut served = std::pin::pin!(served);
                tokio::select! {
                    biased;
                    _ = &mut served => return,
                    () = connection.close.notified() => served.as_mut().graceful_shutdown(),
                }
                let _ = served.await;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

/// The version a peer begins with: HTTP/2 has a preface (RFC 9113 §3.4) that no method shares.
async fn spoken(stream: &TcpStream) -> Version {
    const PREFACE: &[u8] = b"PRI";
    let mut start = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut start).await {
            Ok(_) if start == PREFACE => return Version::Http2,
            Ok(length @ 1..) if PREFACE.get(..length) == start.get(..length) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            _ => return Version::Http1,
        }
    }
}
