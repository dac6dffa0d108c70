//! Asks the running process at its admin address.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Failure;
use crate::config::Listen;

/// A process on the same machine answers faster, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// An authorization server may take its time.
const LONG_PATIENCE: Duration = Duration::from_secs(40);

/// More is no status of ours.
const LARGEST: usize = 16 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The `/status` of the process that listens there.
pub(super) async fn status(listen: &Listen) -> Result<Value, BoxError> {
    let (status, report) =
        timeout(PATIENCE, ask(listen, Method::GET, "/status", Bytes::new())).await??;
    if !status.is_success() {
        return Err(BoxError::from(io::Error::other(status.to_string())));
    }
    Ok(report)
}

/// Has the process that listens there do what `path` names; its word on it.
pub(super) async fn act(
    listen: &Listen,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Value), BoxError> {
    timeout(LONG_PATIENCE, ask(listen, Method::POST, path, body)).await?
}

async fn ask(
    listen: &Listen,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Value), BoxError> {
    let (status, body) = match listen {
        Listen::Tcp(address) => {
            send(TcpStream::connect(address).await?, method, path, body).await?
        }
        Listen::Unix(socket) => {
            send(UnixStream::connect(socket).await?, method, path, body).await?
        }
    };
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

async fn send<S>(
    stream: S,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().method(method).uri(path);
    let request = request.header(HOST, "bearward").body(Full::new(body))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await?;
        Ok((status, body.to_bytes()))
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

/// The process's own words on what it did not do.
pub(super) fn refused(what: &str, told: &Value) -> Failure {
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    let reason = text("error").unwrap_or("unknown");
    let code = text("code").map(|code| format!(" ({code})"));
    let message = format!("{what}: {reason}{}", code.unwrap_or_default());
    Failure::new(message).hint(text("message"))
}
