//! What a listener allows.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::pulse::Timeouts;
use crate::config;

/// What a listener allows. Clones share the count of connections, so that it holds over all
/// workers.
#[derive(Clone, Debug)]
pub struct Limits {
    pub(super) connections: Arc<Semaphore>,
    pub(super) max_headers: usize,
    pub(super) max_header_size: usize,
    pub(super) max_body: u64,
    pub(super) max_concurrent_streams: u32,
    pub(super) body_timeout: Option<Duration>,
    pub(super) half_close_timeout: Option<Duration>,
    pub(super) timeouts: Timeouts,
}

impl From<&config::Proxy> for Limits {
    fn from(proxy: &config::Proxy) -> Self {
        let connections = usize::try_from(proxy.max_connections).unwrap_or(usize::MAX);
        let body_timeout = proxy.body_timeout.duration();
        Self {
            connections: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            max_headers: proxy.max_headers.into(),
            max_header_size: proxy.max_header_size.len(),
            max_body: proxy.max_body.map_or(u64::MAX, config::Size::bytes),
            max_concurrent_streams: proxy.max_concurrent_streams,
            body_timeout,
            half_close_timeout: proxy.half_close_timeout.duration(),
            timeouts: Timeouts {
                header: proxy.header_timeout.duration(),
                idle: proxy.idle_timeout.duration(),
                // A body in the other direction: the same patience for who takes it.
                stall: body_timeout,
            },
        }
    }
}
