//! Asks the running process at its admin address.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
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

/// What is posted with an action.
pub(super) enum Content {
    /// Nothing.
    Nothing,
    /// A grant's record as JSON.
    Record(Bytes),
}

/// The `/status` of the process that listens there.
pub(super) async fn status(listen: &Listen) -> Result<Value, BoxError> {
    let asked = ask(listen, Method::GET, "/status", Content::Nothing);
    let (status, report) = timeout(PATIENCE, asked).await??;
    if !status.is_success() {
        return Err(BoxError::from(io::Error::other(status.to_string())));
    }
    Ok(serde_json::from_slice(&report).unwrap_or_default())
}

/// What stands at `path`, in words, if it comes in so much time.
pub(super) async fn page(
    listen: &Listen,
    path: &str,
    patience: Duration,
) -> Result<(StatusCode, String), BoxError> {
    let asked = ask(listen, Method::GET, path, Content::Nothing);
    let (status, text) = timeout(patience.min(PATIENCE), asked).await??;
    Ok((status, String::from_utf8_lossy(&text).trim().to_owned()))
}

/// Has the process that listens there do what `path` names; its word on it.
pub(super) async fn act(
    listen: &Listen,
    path: &str,
    content: Content,
) -> Result<(StatusCode, Value), BoxError> {
    let asked = ask(listen, Method::POST, path, content);
    let (status, told) = timeout(LONG_PATIENCE, asked).await??;
    Ok((status, serde_json::from_slice(&told).unwrap_or_default()))
}

async fn ask(
    listen: &Listen,
    method: Method,
    path: &str,
    content: Content,
) -> Result<(StatusCode, Bytes), BoxError> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(HOST, "bearward");
    let request = match content {
        Content::Nothing => request.body(Full::default())?,
        Content::Record(json) => request
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(json))?,
    };
    match listen {
        Listen::Tcp(address) => send(TcpStream::connect(address).await?, request).await,
        Listen::Unix(socket) => send(UnixStream::connect(socket).await?, request).await,
    }
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
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
    let message = format!("{what}: {}", why(told));
    Failure::new(message).hint(told.get("message").and_then(Value::as_str))
}

/// What went wrong, in the process's two words for it.
pub(super) fn why(told: &Value) -> String {
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    let reason = text("error").unwrap_or("unknown");
    let code = text("code").map(|code| format!(" ({code})"));
    format!("{reason}{}", code.unwrap_or_default())
}
