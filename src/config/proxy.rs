//! `[proxy]` and `[reload]`: the side that faces the legacy service, and when the file is read again.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Deadline, Listen, Period, Size};

/// The side that faces the legacy service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// Where the service sends its calls: a loopback address, or a Unix socket as `unix:/path`; taken over where systemd listens on it already.
    pub listen: Listen,
    /// The permissions of the Unix socket, in octal, unless systemd made it.
    pub socket_mode: String,
    /// Threads that carry traffic; a request stays on one.
    pub workers: u16,
    /// Connections accepted at once over all workers; more wait in the system's queue.
    pub max_connections: u32,
    /// Header fields in a request of HTTP/1.1; more is answered with 431.
    pub max_headers: u16,
    /// Bytes of a request's line and header fields together; more is answered with 431 (or 414).
    pub max_header_size: Size,
    /// Bytes of a request's body; more is answered with 413. Absent: no limit, since bodies stream.
    pub max_body: Option<Size>,
    /// HTTP/2 streams open at once on one connection.
    pub max_concurrent_streams: u32,
    /// Time for a request's line and header fields to arrive; longer is answered with 408.
    pub header_timeout: Deadline,
    /// Time between two pieces of a request's body; longer is answered with 408.
    pub body_timeout: Deadline,
    /// How long a client that has ended its own side may wait in silence for its answer; it is most likely gone.
    pub half_close_timeout: Deadline,
    /// How long a connection without a request is kept open.
    pub idle_timeout: Deadline,
    /// Time to go on serving after SIGTERM, no longer ready, before the end begins: for a service that gets the signal at the same moment.
    pub linger: Period,
    /// Time for running requests to end after SIGTERM; what still runs then is cut.
    pub drain_timeout: Period,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            socket_mode: String::from("0600"),
            workers: 1,
            max_connections: 10_000,
            max_headers: 100,
            max_header_size: Size::kib(64),
            max_body: None,
            max_concurrent_streams: 200,
            header_timeout: Deadline::seconds(30),
            body_timeout: Deadline::seconds(60),
            half_close_timeout: Deadline::seconds(3),
            idle_timeout: Deadline::seconds(75),
            linger: Period::seconds(0),
            drain_timeout: Period::seconds(25),
        }
    }
}

/// When the configuration is read again, beside SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// How often the file and the certificates it names are compared with what runs.
    pub interval: Deadline,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            interval: Deadline::seconds(5),
        }
    }
}
