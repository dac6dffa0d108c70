//! What follows a change of protocol: bytes both ways until either side ends.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// Joins the two sides of an upgraded connection, until both directions have ended or one side
/// breaks. While the house drains it goes on like any running request, to the same deadline.
pub(super) async fn join(caller: OnUpgrade, upstream: OnUpgrade) {
    let (caller, upstream): (Upgraded, Upgraded) = match tokio::try_join!(caller, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "the change of protocol came to nothing");
            return;
        }
    };
    let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
    if let Err(error) = copy_bidirectional(&mut caller, &mut upstream).await {
        tracing::debug!(%error, "a tunnel broke");
    }
}
