//! The accept loop of one worker.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::bound::{Bound, Listening};
use super::connection::{self, Site};
use super::pulse::Pulse;
use super::wire::{Stream, Wire};
use super::{Handler, Limits, Metrics};
use crate::backoff::Backoff;
use crate::drain::Tasks;

/// How long to leave the queue alone when the system cannot give us a connection: it has run
/// out of descriptors or memory, and asking at once again would only burn the processor.
const EXHAUSTED: Backoff = Backoff {
    first: Duration::from_millis(20),
    most: Duration::from_secs(1),
};

/// Accepts connections on the current runtime and serves them with `handler`, until `tasks`
/// is asked to stop; then it closes its handle to the address and returns, while the
/// connections end politely as tasks of their own: running requests are finished, with
/// `Connection: close` or GOAWAY.
///
/// Fails only if the runtime does not take the socket.
pub async fn serve<H: Handler>(
    bound: Bound,
    handler: H,
    limits: Limits,
    tasks: Tasks,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    let listening = bound.listening()?;
    let site = Arc::new(Site {
        handler,
        limits,
        tasks: tasks.clone(),
        metrics,
        turn: Mutex::default(),
    });
    tokio::select! {
        biased;
        () = tasks.stopped() => {}
        () = accept(&listening, &site) => {}
    }
    Ok(())
}

async fn accept<H: Handler>(listening: &Listening, site: &Arc<Site<H>>) {
    let mut failures = 0;
    while let Some(permit) = admit(&site.limits.connections).await {
        match listening.accept().await {
            Ok(stream) => {
                failures = 0;
                spawn(stream, permit, Arc::clone(site));
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                failures += 1;
                sleep(EXHAUSTED.wait(failures, fastrand::f64())).await;
            }
        }
    }
}

async fn admit(connections: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // Nobody closes the semaphore.
    Arc::clone(connections).acquire_owned().await.ok()
}

fn spawn<H: Handler>(stream: Stream, permit: OwnedSemaphorePermit, site: Arc<Site<H>>) {
    let pulse = Arc::new(Pulse::new());
    let open = site.metrics.accepted();
    let wire = Wire::new(stream, Arc::clone(&pulse), permit, open);
    let tasks = site.tasks.clone();
    tasks.spawn("connection", connection::run(wire, pulse, site));
}

/// True when a connection was gone before it was accepted, which says nothing about us.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected,
    };
    matches!(
        error.kind(),
        // The last two come from setting an option on a socket that is closed already.
        ConnectionAborted | ConnectionReset | Interrupted | NotConnected | InvalidInput
    )
}
