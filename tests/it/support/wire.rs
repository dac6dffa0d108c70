//! Connections below HTTP, over TCP or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::client::PATIENCE;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix domain socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `127.0.0.1:80` or `unix:/path`, as the log tells it, or the start of a URL.
    pub fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::Unix(path.into());
        }
        let host = text.strip_prefix("http://").unwrap_or(text);
        let host = host.split('/').next().unwrap();
        let address = host.parse();
        Self::Tcp(address.unwrap_or_else(|error| panic!("`{text}`: {error}")))
    }

    /// Opens a connection.
    pub async fn connect(&self) -> std::io::Result<Wire> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Wire::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Wire::Unix),
        }
    }

    /// Sends `bytes`, then reads to the end of the connection or until nothing comes for a while.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut wire = self.connect().await.unwrap();
        wire.write_all(bytes.as_ref()).await.unwrap();
        String::from_utf8_lossy(&wire.rest().await).into_owned()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(_) => f.write_str("localhost"),
        }
    }
}

/// A connection below HTTP.
#[derive(Debug)]
pub enum Wire {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
}

impl Wire {
    /// Reads until `end` has come, and gives all that came; or what came before the connection
    /// ended.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        while !all.windows(end.len()).any(|window| window == end) {
            let mut byte = [0; 1];
            match timeout(PATIENCE, self.read(&mut byte)).await {
                Ok(Ok(1)) => all.push(byte[0]),
                _ => break,
            }
        }
        all
    }

    /// Reads until the connection ends or nothing comes for a second.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(Ok(length @ 1..)) =
            timeout(Duration::from_secs(1), self.read(&mut buffer)).await
        {
            all.extend_from_slice(&buffer[..length]);
        }
        all
    }

    /// True when the peer ends the connection within `wait`, and what came before is dropped.
    pub async fn ends_within(&mut self, wait: Duration) -> bool {
        let mut sink = Vec::new();
        timeout(wait, self.read_to_end(&mut sink)).await.is_ok()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
