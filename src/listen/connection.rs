//! One connection, from its first byte to its last.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::cork::Cork;
use super::outbound::Outbound;
use super::pulse::{Pulse, Timeouts};
use super::sniff::{self, Protocol};
use super::wire::Wire;
use super::{Closed, Handler, Hangup, Inbound, Limits, Metrics};
use crate::drain::Tasks;
use crate::seldom::Seldom;

/// How long a last word to the client may take, and how long we listen for what it is still
/// sending before we close: closing with unread bytes would make the system send a reset,
/// which can destroy the answer on its way.
const GOODBYE: Duration = Duration::from_secs(1);

/// How many such bytes are thrown away at most.
const GOODBYE_BYTES: u64 = 1024 * 1024;

/// What a client gets whose head did not arrive in time.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// hyper's own number of header fields, for which it needs no memory of its own.
const USUAL_HEADERS: usize = 100;

/// The least that hyper's read buffer must be able to hold, and what we let it hold for bodies.
const READ_BUFFER: usize = 64 * 1024;

/// The window of a stream of HTTP/2: what a body takes that the upstream does not read.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The greatest window that HTTP/2 has (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Bytes of answers that may wait in one stream of HTTP/2.
const SEND_BUFFER: usize = 128 * 1024;

/// Streams of HTTP/2 that a client may reset before we have looked at them. h2's default of 20 is
/// made for servers that anybody reaches; callers of gRPC that cancel many at once, or whose
/// deadlines pass, would lose the connection of all.
const MAX_RESETS: usize = 1000;

/// How often a client of HTTP/2 is asked whether it is still there, and how long it may think.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// After how long without a request a connection gives hyper's buffers back, 24 KiB of them.
const QUIET: Duration = Duration::from_secs(5);

/// How long such a connection's turn lasts. The allocator gives memory back to the system some
/// milliseconds after the last was freed, but only when more is freed then: of a thousand
/// connections that became quiet at once and let go at once, all would stay.
const TURN: Duration = Duration::from_millis(1);

/// What the connections of one worker have in common.
pub(super) struct Site<H> {
    pub(super) handler: H,
    pub(super) limits: Limits,
    pub(super) tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
    /// Held by the connection whose turn it is to give its buffers back.
    pub(super) turn: Mutex<()>,
}

/// How a connection stands when hyper has let go of it.
enum Served {
    /// It has ended.
    Ended(Closed),
    /// It is quiet, and nothing is kept of it but the wire.
    Quiet(Wire),
}

/// Serves one connection to its end.
pub(super) async fn run<H: Handler>(mut wire: Wire, pulse: Arc<Pulse>, site: Arc<Site<H>>) {
    let mut spoken = None;
    let closed = loop {
        match awaken(wire, &mut spoken, &pulse, &site).await {
            Served::Ended(closed) => break closed,
            Served::Quiet(same) => wire = same,
        }
    };
    tracing::trace!(reason = closed.as_str(), "a connection is closed");
    site.metrics.closed(closed);
}

/// Waits for the client's next bytes and serves it from there until it has ended or is quiet.
async fn awaken<H: Handler>(
    mut wire: Wire,
    spoken: &mut Option<Protocol>,
    pulse: &Arc<Pulse>,
    site: &Arc<Site<H>>,
) -> Served {
    match begun(&mut wire, pulse, site).await {
        // hyper's side is boxed, so that a connection that waits is small. The first bytes of
        // all tell the protocol, once.
        Ok(Some(found)) => match spoken.get_or_insert(found) {
            Protocol::Http1 => Box::pin(http1(wire, pulse, site)).await,
            Protocol::Http2 => Served::Ended(Box::pin(http2(wire, pulse, site)).await),
        },
        Ok(None) => Served::Ended(Closed::Done),
        Err(closed) => {
            if closed == Closed::HeaderTimeout {
                bid_farewell(wire, closed).await;
            }
            Served::Ended(closed)
        }
    }
}

/// The protocol that the client begins to speak; nothing if it goes, or we do.
async fn begun<H>(
    wire: &mut Wire,
    pulse: &Pulse,
    site: &Site<H>,
) -> Result<Option<Protocol>, Closed> {
    let mut protocol = pin!(sniff::protocol(wire));
    let mut over = pin!(pulse.over(site.limits.timeouts));
    let outcome = tokio::select! {
        biased;
        outcome = protocol.as_mut() => outcome,
        closed = over.as_mut() => return Err(closed),
        () = site.tasks.stopped() => {
            if pulse.is_idle() {
                return Ok(None);
            }
            // A request has begun: it is served before we go.
            tokio::select! {
                outcome = protocol => outcome,
                closed = over => return Err(closed),
            }
        }
    };
    outcome.map_err(|_| Closed::Error)
}

async fn http1<H: Handler>(mut wire: Wire, pulse: &Arc<Pulse>, site: &Arc<Site<H>>) -> Served {
    let limits = &site.limits;
    wire.keep_end(limits.half_close_timeout);
    let mut builder = http1::Builder::new();
    builder
        // hyper's timer is one allocation and one timer operation per request; ours is in `pulse`.
        .header_read_timeout(None)
        .max_header_size(limits.max_header_size)
        .max_buf_size(limits.max_header_size.max(READ_BUFFER));
    if limits.max_headers != USUAL_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    let service = service_fn(|request| answer(request, pulse, site));
    let mut conn = builder
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let leave = http1::UpgradeableConnection::graceful_shutdown;
    let may_be_quiet = limits.timeouts.idle.is_none_or(|idle| idle > QUIET);
    let over = over_or_quiet(pulse, limits.timeouts, may_be_quiet.then_some(&site.turn));
    let closed = drive(&mut conn, leave, over, &site.tasks).await;
    if closed == Closed::Idle && may_be_quiet {
        // It waits on for the rest of its time, without hyper.
        return match conn.into_parts() {
            Some(parts) => Served::Quiet(still(parts.io.into_inner(), parts.read_buf, pulse)),
            None => Served::Ended(closed),
        };
    }
    if pulse.is_broken() {
        if let Some(parts) = conn.into_parts() {
            parts.io.into_inner().reset();
        }
        return Served::Ended(closed);
    }
    let more_may_come = match closed {
        Closed::Malformed | Closed::HeaderTimeout => true,
        Closed::Done => pulse.has_unread(),
        Closed::Idle | Closed::Stalled | Closed::Error => false,
    };
    // There are no parts after an upgrade: the wire has a new owner then.
    if let (true, Some(parts)) = (more_may_come, conn.into_parts()) {
        bid_farewell(parts.io.into_inner(), closed).await;
    }
    Served::Ended(closed)
}

/// Ends when something is too late, or when the connection has long been quiet and it is its turn
/// to give its buffers back.
async fn over_or_quiet(pulse: &Pulse, timeouts: Timeouts, turn: Option<&Mutex<()>>) -> Closed {
    let Some(turn) = turn else {
        return pulse.over(timeouts).await;
    };
    let short = Timeouts {
        idle: Some(QUIET),
        ..timeouts
    };
    match pulse.over(short).await {
        Closed::Idle => {}
        closed => return closed,
    }
    let mine = async {
        let _mine = turn.lock().await;
        sleep(TURN).await;
    };
    tokio::select! {
        biased;
        closed = pulse.over(timeouts) => closed,
        // At once, unless a request came in meanwhile.
        () = mine => pulse.over(short).await,
    }
}

/// The wire with what hyper has read of the next head already, if anything: that head begins now.
fn still(mut wire: Wire, read: Bytes, pulse: &Pulse) -> Wire {
    if !read.is_empty() {
        pulse.read();
        wire.unread(read);
    }
    wire
}

async fn http2<H: Handler>(wire: Wire, pulse: &Arc<Pulse>, site: &Arc<Site<H>>) -> Closed {
    let limits = &site.limits;
    let mut builder = http2::Builder::new(Streams(site.tasks.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits.max_concurrent_streams))
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let (pulse_of_all, site_of_all) = (Arc::clone(pulse), Arc::clone(site));
    let service = service_fn(move |request| {
        // Each stream is a task of its own, so it needs its own handles.
        let (pulse, site) = (Arc::clone(&pulse_of_all), Arc::clone(&site_of_all));
        async move { answer(request, &pulse, &site).await }
    });
    let mut conn = builder.serve_connection(TokioIo::new(Cork::new(wire)), service);
    let leave = http2::Connection::graceful_shutdown;
    let over = pulse.over_between_streams(limits.timeouts);
    let closed = drive(&mut conn, leave, over, &site.tasks).await;
    if let Closed::Idle = closed {
        // The client is told by GOAWAY, so that it does not send into the closing connection.
        leave(Pin::new(&mut conn));
        // It is closed in any case, so how that went does not matter.
        let _ = timeout(GOODBYE, conn).await;
    }
    closed
}

/// Room for all streams at once, so that those that nobody reads do not stop the others.
fn connection_window(streams: u32) -> u32 {
    STREAM_WINDOW.saturating_mul(streams).min(MAX_WINDOW)
}

/// Answers one request; while its answer's body lives, the connection is noted as busy. It is so
/// from now on and not from the first poll, before which hyper looks whether the client is there.
fn answer<H: Handler>(
    request: Request<Incoming>,
    pulse: &Arc<Pulse>,
    site: &Site<H>,
) -> impl Future<Output = Result<Response<Outbound<H::Body>>, Hangup>> {
    let (flight, version) = (pulse.request(), request.version());
    let Limits {
        max_body,
        body_timeout,
        ..
    } = site.limits;
    let request =
        request.map(|body| Inbound::new(body, version, max_body, body_timeout, Arc::clone(pulse)));
    async move {
        let response = site.handler.handle(request).await?;
        Ok(response.map(|body| Outbound::new(body, flight, version)))
    }
}

/// Lets hyper speak until it is done or something is `over`; when the house stops, asks it
/// to `leave` after what runs now.
async fn drive<C>(
    conn: &mut C,
    leave: impl FnOnce(Pin<&mut C>),
    over: impl Future<Output = Closed>,
    tasks: &Tasks,
) -> Closed
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    let (over, stopped) = (pin!(over), pin!(tasks.stopped()));
    let (mut over, stopped) = (Seldom::new(over), Seldom::new(stopped));
    tokio::select! {
        biased;
        outcome = &mut *conn => return ended(outcome),
        closed = &mut over => return closed,
        () = stopped => leave(Pin::new(&mut *conn)),
    }
    tokio::select! {
        biased;
        outcome = conn => ended(outcome),
        closed = over => closed,
    }
}

fn ended(outcome: hyper::Result<()>) -> Closed {
    match outcome {
        Ok(()) => Closed::Done,
        Err(error) => {
            tracing::debug!(%error, "a connection broke");
            if error.is_parse() {
                Closed::Malformed
            } else {
                Closed::Error
            }
        }
    }
}

/// Says the last word, if there is one, and listens until the client has heard it.
async fn bid_farewell(mut wire: Wire, closed: Closed) {
    let farewell = async {
        if closed == Closed::HeaderTimeout {
            wire.write_all(REQUEST_TIMEOUT).await?;
        }
        wire.shutdown().await?;
        tokio::io::copy(&mut wire.take(GOODBYE_BYTES), &mut tokio::io::sink()).await
    };
    // It is closed in any case, so how that went does not matter.
    let _ = timeout(GOODBYE, farewell).await;
}

/// Runs the streams of an HTTP/2 connection.
#[derive(Clone)]
struct Streams(Tasks);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn("stream", stream);
    }
}
