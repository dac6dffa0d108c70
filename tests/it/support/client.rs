//! A small HTTP client: one call or a kept connection, HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use super::wire::{Address, Wire};

/// No step of a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A body to send: whole or streamed.
pub type Sent = BoxBody<Bytes, Infallible>;

/// A kept HTTP connection.
pub struct Connection {
    sender: Sender,
    host: String,
}

enum Sender {
    Http1(http1::SendRequest<Sent>),
    Http2(http2::SendRequest<Sent>),
}

impl Connection {
    /// Speaks HTTP/1.1 to `address`.
    pub async fn http1(address: &Address) -> Self {
        let wire = TokioIo::new(address.connect().await.unwrap());
        let (sender, connection) = http1::handshake(wire).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self {
            sender: Sender::Http1(sender),
            host: address.to_string(),
        }
    }

    /// Speaks HTTP/2 to `address`, by prior knowledge (RFC 9113 §3.3).
    pub async fn http2(address: &Address) -> Self {
        let wire = TokioIo::new(address.connect().await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(256 * 1024);
        let handshake = builder.handshake(wire).await;
        let (sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        Self {
            sender: Sender::Http2(sender),
            host: address.to_string(),
        }
    }

    /// Sends `request` and gives the answer while its body still comes.
    pub async fn open(&mut self, request: Request<Sent>) -> hyper::Result<Response<Incoming>> {
        let answer = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(with_host(request, &self.host)).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(absolute(request, &self.host)).await
                }
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer in time")
    }

    /// Sends `request` and reads the whole answer.
    pub async fn send(&mut self, request: Request<Sent>) -> hyper::Result<Answer> {
        let response = self.open(request).await?;
        timeout(PATIENCE, Answer::read(response))
            .await
            .expect("the whole answer in time")
    }

    /// Gets `path`.
    pub async fn get(&mut self, path: &str) -> hyper::Result<Answer> {
        self.send(get(path)).await
    }

    /// False once the server has ended the connection.
    pub fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }
}

fn with_host(mut request: Request<Sent>, host: &str) -> Request<Sent> {
    if !request.headers().contains_key("host") {
        let host = host.parse().unwrap();
        request.headers_mut().insert("host", host);
    }
    request
}

/// HTTP/2 needs scheme and authority (RFC 9113 §8.3.1).
fn absolute(mut request: Request<Sent>, host: &str) -> Request<Sent> {
    *request.version_mut() = Version::HTTP_2;
    if request.uri().authority().is_none() {
        let host = match request.headers_mut().remove("host") {
            Some(host) => host.to_str().unwrap().to_owned(),
            None => host.to_owned(),
        };
        let path = request.uri().path_and_query().unwrap().as_str();
        *request.uri_mut() = Uri::try_from(format!("http://{host}{path}")).unwrap();
    }
    request
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The version it was sent with.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    /// The content.
    pub body: Bytes,
    /// The trailers, if any came.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        })
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {}", self.text()),
        }
    }

    /// The first value of a header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A `GET` request.
pub fn get(path: &str) -> Request<Sent> {
    request(Method::GET, path, "")
}

/// A `POST` request with a body of known length.
pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Sent> {
    request(Method::POST, path, body)
}

/// A request with a body of known length.
pub fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Sent> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

/// A `POST` request with a form, `application/x-www-form-urlencoded`.
pub fn form(path: &str, fields: &[(&str, &str)]) -> Request<Sent> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let mut request = post(path, body);
    let kind = "application/x-www-form-urlencoded".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    request
}

/// Sends one request over a connection of its own.
pub async fn call(address: &Address, request: Request<Sent>) -> hyper::Result<Answer> {
    Connection::http1(address).await.send(request).await
}

/// A body that is sent as its frames are handed in, and ends when the sender is dropped.
pub fn streamed() -> (mpsc::Sender<Frame<Bytes>>, Sent) {
    let (sender, frames) = mpsc::channel(1);
    (sender, Streamed(frames).boxed())
}

struct Streamed(mpsc::Receiver<Frame<Bytes>>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}
