//! One request and its answer, within what an authorization server may say.

use http::Request;
use tokio::time::Instant;

use crate::secret::Secret;
use crate::upstream::{self, Bounds, Dialer, NotAfter};

pub(super) use crate::upstream::{Missed, Reply};

/// The largest body that is read; no token answer and no metadata comes near.
pub(super) const LARGEST_BODY: usize = 1 << 20;

/// When a request is to be answered, and until when it may be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The end of it all.
    pub(super) deadline: Instant,
    /// The request is not handed to the wire after this.
    pub(super) not_after: Option<NotAfter>,
}

impl From<Instant> for Limits {
    fn from(deadline: Instant) -> Self {
        Self {
            deadline,
            not_after: None,
        }
    }
}

/// Sends `request` over a connection of its own and reads the answer, all within `limits`.
///
/// Not cancel-safe: dropped after the request was sent, it loses the answer.
pub(super) async fn exchange(
    dialer: &Dialer,
    request: Request<Secret<Vec<u8>>>,
    limits: impl Into<Limits>,
) -> Result<Reply, Missed> {
    let Limits {
        deadline,
        not_after,
    } = limits.into();
    let bounds = Bounds {
        largest: LARGEST_BODY,
        deadline,
        not_after,
    };
    upstream::exchange(dialer, request, bounds).await
}
