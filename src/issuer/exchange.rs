//! One request and its answer, within what an authorization server may say.

use http::Request;
use tokio::time::Instant;

use crate::secret::Secret;
use crate::upstream::{self, Dialer};

pub(super) use crate::upstream::{Missed, Reply};

/// The largest body that is read; no token answer and no metadata comes near.
pub(super) const LARGEST_BODY: usize = 1 << 20;

/// Sends `request` over a connection of its own and reads the answer, all before `deadline`.
///
/// Not cancel-safe: dropped after the request was sent, it loses the answer.
pub(super) async fn exchange(
    dialer: &Dialer,
    request: Request<Secret<Vec<u8>>>,
    deadline: Instant,
) -> Result<Reply, Missed> {
    upstream::exchange(dialer, request, LARGEST_BODY, deadline).await
}
