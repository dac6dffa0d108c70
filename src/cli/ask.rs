//! Asks the running process at its admin address.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::Listen;

/// A process on the same machine answers faster, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// More is no status of ours.
const LARGEST: usize = 16 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The `/status` of the process that listens there.
pub(super) async fn status(listen: &Listen) -> Result<Value, BoxError> {
    let asked = timeout(PATIENCE, async {
        match listen {
            Listen::Tcp(address) => get(TcpStream::connect(address).await?, "/status").await,
            Listen::Unix(path) => get(UnixStream::connect(path).await?, "/status").await,
        }
    });
    Ok(serde_json::from_slice(&asked.await??)?)
}

async fn get<S>(stream: S, path: &str) -> Result<Bytes, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, "bearward")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(BoxError::from(io::Error::other(
                response.status().to_string(),
            )));
        }
        Ok(Limited::new(response.into_body(), LARGEST)
            .collect()
            .await?
            .to_bytes())
    };
    // The connection is driven here and not in a task of its own: it ends with the answer.
    tokio::pin!(connection);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            ended = &mut connection => ended?,
        }
    }
}
