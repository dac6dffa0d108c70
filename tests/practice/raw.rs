//! A backend below HTTP: it records bytes and answers with bytes, for tests of framing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::journal::Journal;
use super::wire;

/// What a [`RawBackend`] does on each connection, one step after the other.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads until these bytes have come since the step before.
    ReadUntil(Bytes),
    /// Reads at least this many bytes.
    Read(usize),
    /// Writes these bytes.
    Write(Bytes),
    /// Waits.
    Pause(Duration),
    /// Sends back whatever comes, until the peer ends.
    Echo,
    /// Begins with the first step again, as a server that keeps its connections does.
    Again,
    /// Closes, with a reset if the peer has sent what was not read.
    Close,
}

impl Step {
    /// Reads the head of a request.
    pub fn read_head() -> Self {
        Self::ReadUntil(Bytes::from_static(b"\r\n\r\n"))
    }

    /// Writes this text.
    pub fn write(text: impl Into<Bytes>) -> Self {
        Self::Write(text.into())
    }
}

/// A TCP server that follows [`Step`]s and keeps the bytes it read, one entry per connection.
#[derive(Debug)]
pub struct RawBackend {
    address: SocketAddr,
    received: Journal<Bytes>,
    accepting: JoinHandle<()>,
}

impl RawBackend {
    /// Does these steps on each connection; at their end it reads on until the peer ends.
    pub async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = wire::bind().await;
        let address = wire::address_of(&listener);
        let received = Journal::default();
        let steps: Arc<[Step]> = steps.into_iter().collect();
        let accepting = tokio::spawn(accept(listener, steps, received.clone()));
        Self {
            address,
            received,
            accepting,
        }
    }

    /// Reads one request's head and writes `answer`, on each connection, again and again.
    pub async fn answering(answer: impl Into<Bytes>) -> Self {
        Self::start([Step::read_head(), Step::Write(answer.into()), Step::Again]).await
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was read, one entry per connection in the order they came; entries grow.
    pub fn received(&self) -> &Journal<Bytes> {
        &self.received
    }

    /// What was read on all connections, as text.
    pub fn text(&self) -> String {
        let all = self.received.all().concat();
        String::from_utf8_lossy(&all).into_owned()
    }
}

impl Drop for RawBackend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, steps: Arc<[Step]>, received: Journal<Bytes>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let place = received.push(Bytes::new());
        let connection = Raw {
            stream,
            received: received.clone(),
            place,
            unread: Vec::new(),
        };
        connections.spawn(connection.follow(Arc::clone(&steps)));
        while connections.try_join_next().is_some() {}
    }
}

struct Raw {
    stream: TcpStream,
    received: Journal<Bytes>,
    place: usize,
    unread: Vec<u8>,
}

impl Raw {
    async fn follow(mut self, steps: Arc<[Step]>) {
        let mut next = 0;
        while let Some(step) = steps.get(next) {
            next += 1;
            let done = match step {
                Step::Again => {
                    next = 0;
                    Some(())
                }
                Step::Close => return,
                step => self.step(step).await,
            };
            if done.is_none() {
                return;
            }
        }
        while self.more().await.is_some() {}
    }

    /// Nothing when the connection has ended.
    async fn step(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::ReadUntil(end) => loop {
                let mut windows = self.unread.windows(end.len().max(1));
                if let Some(place) = windows.position(|window| window == end.as_ref()) {
                    self.unread.drain(..place + end.len());
                    return Some(());
                }
                self.more().await?;
            },
            Step::Read(count) => {
                while self.unread.len() < *count {
                    self.more().await?;
                }
                self.unread.drain(..*count);
                Some(())
            }
            Step::Write(bytes) => self.stream.write_all(bytes).await.ok(),
            Step::Pause(pause) => {
                tokio::time::sleep(*pause).await;
                Some(())
            }
            Step::Echo => loop {
                let bytes = std::mem::take(&mut self.unread);
                self.stream.write_all(&bytes).await.ok()?;
                self.more().await?;
            },
            Step::Again | Step::Close => Some(()),
        }
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 16 * 1024];
        let length = self.stream.read(&mut buffer).await.ok()?;
        let bytes = buffer.get(..length).filter(|bytes| !bytes.is_empty())?;
        self.unread.extend_from_slice(bytes);
        self.received.update(self.place, |received| {
            let mut all = BytesMut::from(std::mem::take(received));
            all.extend_from_slice(bytes);
            *received = all.freeze();
        });
        Some(())
    }
}
