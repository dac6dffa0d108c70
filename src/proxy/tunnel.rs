//! What follows a change of protocol: bytes both ways until either side ends.

use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::time::timeout;

/// How long the last word to both sides of an old tunnel may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Joins the two sides of an upgraded connection, until both directions have ended, one side
/// breaks, or it has lasted as long as it may. While the house drains it goes on like any running
/// request, to the same deadline.
pub(super) async fn join(caller: OnUpgrade, upstream: OnUpgrade, limit: Option<Duration>) {
    let (caller, upstream): (Upgraded, Upgraded) = match tokio::try_join!(caller, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "the change of protocol came to nothing");
            return;
        }
    };
    let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
    let joined = copy_bidirectional(&mut caller, &mut upstream);
    let outcome = match limit {
        None => joined.await,
        Some(limit) => {
            if let Ok(outcome) = timeout(limit, joined).await {
                outcome
            } else {
                end(&mut caller, &mut upstream).await;
                return;
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a tunnel broke");
    }
}

/// Tells both sides of a tunnel that is too old, in the only word that every protocol has.
async fn end(caller: &mut TokioIo<Upgraded>, upstream: &mut TokioIo<Upgraded>) {
    tracing::debug!("a tunnel has reached `max_stream_age`");
    // How they take it does not matter any more.
    let goodbye = async { tokio::join!(caller.shutdown(), upstream.shutdown()) };
    let _ = timeout(GOODBYE, goodbye).await;
}
