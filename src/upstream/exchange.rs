//! One request and its answer, over a connection of its own.
//!
//! What always holds: "was it sent?" has an answer. Whatever fails before the request is handed
//! to the wire is [`Missed::Unsent`]; after that the request counts as sent, whether or not a
//! byte of it arrived; only a server whose TLS refuses our certificate says itself that nothing
//! did. A connection is never used twice, so no request dies on a stale one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::AlertDescription;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::{DialError, Dialer, Wire};
use crate::secret::Secret;

/// The largest head of an answer; the reader may take in twice as much before it notices.
const LARGEST_HEAD: usize = 64 * 1024;

/// The most header fields in an answer.
const MOST_FIELDS: usize = 100;

/// What came back. Its body may be a secret, so there is no `Debug`.
pub struct Reply {
    /// The status of the answer.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The body as far as it came; wiped when dropped.
    pub body: Zeroizing<Vec<u8>>,
    /// Why the body is not whole (`cut`, `timeout`, `too_large`), if it is not.
    pub cut: Option<&'static str>,
    /// The wall clock just before the request was sent.
    pub sent_at: Timestamp,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum Missed {
    /// No connection stood; the request was not sent.
    Unreached(DialError),
    /// The connection broke before the request was handed to it, or time was up by then.
    Unsent(&'static str),
    /// The request was handed to the wire at this time, and no answer followed.
    Unanswered(&'static str, Timestamp),
}

/// What bounds an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The largest body that is read, in bytes.
    pub largest: usize,
    /// The end of it all.
    pub deadline: Instant,
    /// The request is not handed to the wire after this.
    pub not_after: Option<NotAfter>,
}

/// The last moment at which a request may leave, by two clocks: the monotonic one stands while
/// the machine sleeps, and the wall's can be set back.
#[derive(Clone, Copy, Debug)]
pub struct NotAfter {
    /// By the monotonic clock.
    pub mono: Instant,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl NotAfter {
    fn has_passed(&self) -> bool {
        Instant::now() > self.mono || Timestamp::now() > self.wall
    }
}

/// How long an answer that came in time may take to be read after the deadline.
const AWAKENING: Duration = Duration::from_millis(50);

/// What an unsent request is called whose right to be sent has run out.
pub const LEASE_LOST: &str = "lease_lost";

/// Sends `request` over a connection of its own and reads the answer, all within `bounds`.
/// Redirects are answers like any other; interim answers (1xx) are passed over.
///
/// For calls that are few and whose fate must be known; what carries traffic has a pool.
///
/// Not cancel-safe: dropped after the request was sent, it loses the answer.
pub async fn exchange(
    dialer: &Dialer,
    mut request: Request<Secret<Vec<u8>>>,
    bounds: Bounds,
) -> Result<Reply, Missed> {
    let Bounds {
        largest,
        deadline,
        not_after,
    } = bounds;
    let wire = match timeout_at(deadline, dialer.connect()).await {
        Ok(wire) => wire.map_err(Missed::Unreached)?,
        Err(_) => return Err(Missed::Unsent("connect_timeout")),
    };
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let request = request.map(|body| Full::new(Bytes::from_owner(Wiped(body))));
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .handshake::<_, Full<Bytes>>(TokioIo::new(wire))
        .await
        .map_err(|_| Missed::Unsent("connection_closed"))?;
    // This process may have been stopped while it connected, and wakes up in another time.
    if not_after.is_some_and(|last| last.has_passed()) {
        return Err(Missed::Unsent(LEASE_LOST));
    }
    let mut progress = Progress {
        largest,
        sent_at: Timestamp::now(),
        reply: None,
    };
    let outcome = {
        let work = pin!(beside(connection, progress.run(sender, request)));
        in_time(deadline, work).await
    };
    match outcome {
        Ok(outcome) => outcome?,
        Err(_) => progress.cut("timeout")?,
    }
    progress
        .reply
        .ok_or(Missed::Unanswered("cut", progress.sent_at))
}

/// `work` until the deadline. A process that slept beyond it wakes to the deadline first, although
/// the answer has been lying in the socket; so what lies there is still read.
async fn in_time<T>(
    deadline: Instant,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Elapsed> {
    match timeout_at(deadline, work.as_mut()).await {
        Ok(done) => Ok(done),
        Err(_) => timeout(AWAKENING, work).await,
    }
}

/// What has come so far; kept outside the future that a deadline may drop.
struct Progress {
    largest: usize,
    sent_at: Timestamp,
    reply: Option<Reply>,
}

impl Progress {
    async fn run(
        &mut self,
        mut sender: http1::SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<(), Missed> {
        let response = sender
            .try_send_request(request)
            .await
            .map_err(|mut error| {
                // Given back, it was never looked at by the connection, which had ended before.
                if error.take_message().is_some() {
                    Missed::Unsent("connection_closed")
                } else {
                    missed(error.error(), self.sent_at)
                }
            })?;
        self.read(response).await
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<(), Missed> {
        let (head, mut body) = response.into_parts();
        let told = head.headers.get(CONTENT_LENGTH);
        let told = told.and_then(|length| length.to_str().ok()?.parse().ok());
        let reply = self.reply.insert(Reply {
            status: head.status,
            headers: head.headers,
            // Room at once where the length is told, so that growing leaves no copies behind.
            body: Zeroizing::new(Vec::with_capacity(told.unwrap_or(4096).min(self.largest))),
            cut: None,
            sent_at: self.sent_at,
        });
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return self.cut("cut");
            };
            let data = frame.into_data().unwrap_or_default();
            if reply.body.len() + data.len() > self.largest {
                return self.cut("too_large");
            }
            reply.body.extend_from_slice(&data);
        }
        Ok(())
    }

    /// Says how it ended too early.
    fn cut(&mut self, how: &'static str) -> Result<(), Missed> {
        match &mut self.reply {
            Some(reply) => {
                reply.cut = Some(how);
                Ok(())
            }
            None => Err(Missed::Unanswered(how, self.sent_at)),
        }
    }
}

/// What a connection's end without an answer means.
fn missed(error: &hyper::Error, sent_at: Timestamp) -> Missed {
    if turned_away(error) {
        Missed::Unsent("tls_failed")
    } else if error.is_parse() || error.is_parse_too_large() {
        Missed::Unanswered("not_http", sent_at)
    } else {
        Missed::Unanswered("cut", sent_at)
    }
}

/// Whether the server's TLS turned us away for our certificate. In TLS 1.3 (RFC 8446 §4.4.2.4)
/// that is heard only after the request has left, but nothing behind TLS has seen it.
fn turned_away(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let cause = cause.and_then(io::Error::get_ref);
    matches!(
        cause.and_then(|cause| cause.downcast_ref()),
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
        ))
    )
}

/// Drives `connection` while `work` runs, in one task: no connection outlives its exchange.
async fn beside<T>(
    connection: http1::Connection<TokioIo<Wire>, Full<Bytes>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut connection = Some(Box::pin(connection));
    poll_fn(move |cx| {
        let ended = connection
            .as_mut()
            .is_some_and(|connection| connection.as_mut().poll(cx).is_ready());
        if ended {
            // Dropped at once, so that a request it will never look at comes back. What it ended
            // with reaches `work` by its own way.
            connection = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// A request's body, wiped when the last handle to it is dropped.
struct Wiped(Secret<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
