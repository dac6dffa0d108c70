//! Where the browser comes back to: the redirection endpoint on loopback (RFC 8252 §7.3).
//!
//! A return goes so: the browser gets the redirect address with the answer in its query → the
//! query is handed over as a [`Returned`] and the browser sent on, by 303, to a page of its own
//! without a query, so that no code stays in its address bar or history → that page is held until
//! somebody calls [`Returned::answer`], and can be loaded again until [`Loopback::close`].
//!
//! What always holds: it listens on loopback only, and answers only to loopback's names, so that
//! no site reaches it by a name of its own (DNS rebinding). Only a person's own navigation counts:
//! no prefetch, no frame, no `HEAD`. The same query comes through once. Everything has a limit.

mod address;
mod door;
mod slot;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::page::{self, Ending};
use crate::config::{self, Deadline, Size, Url};
use crate::drain::Tasks;
use crate::listen::{self, Bound, Limits};
use crate::secret::Secret;

pub use address::BindError;

use address::Address;
use door::Door;
use slot::{Slot, Slots};

/// Connections at once. A browser opens some to spare.
const CONNECTIONS: u32 = 32;

/// Bytes of a request's head: a code may be a whole token.
const HEAD: Size = Size::kib(32);

/// How long a head may take, and a connection without a request be kept.
const PATIENCE: Deadline = Deadline::seconds(10);

/// Returns that nobody has looked at yet; one is usual.
const WAITING: usize = 8;

/// How long an ending waits for the browser to fetch it.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long connections may then take to end.
const GOODBYE: Duration = Duration::from_secs(2);

/// The redirection endpoint; it listens until this is dropped.
#[derive(Debug)]
pub struct Loopback {
    redirect_uri: String,
    returns: mpsc::Receiver<Returned>,
    slots: Slots,
    tasks: Tasks,
}

impl Loopback {
    /// Listens where `redirect` says, which must be an `http` address of loopback; without it, or
    /// where it names no port, on a free one that the system chooses. `localhost` is both of its
    /// addresses, as far as they exist.
    ///
    /// Panics outside a runtime.
    pub fn bind(redirect: Option<&Url>) -> Result<Self, BindError> {
        let address = Address::read(redirect)?;
        let (port, bound) = address.listen()?;
        let (sender, returns) = mpsc::channel(WAITING);
        let slots = Slots::default();
        let door = Door::new(address.path(), port, slots.clone(), sender);
        // Nobody reads these counts, and they are registered nowhere else, so this cannot fail.
        let metrics = listen::Metrics::register(&Registry::new());
        let metrics = Arc::new(metrics.map_err(|error| address.not_bound(error.into()))?);
        let tasks = Tasks::default();
        // One count of connections for both addresses.
        let limits = limits();
        for bound in bound {
            let (door, limits, metrics) = (door.clone(), limits.clone(), Arc::clone(&metrics));
            let own = tasks.clone();
            tasks.spawn("loopback", serve(bound, door, limits, own, metrics));
        }
        Ok(Self {
            redirect_uri: address.uri(port),
            returns,
            slots,
            tasks,
        })
    }

    /// The `redirect_uri` (RFC 6749 §3.1.2), to be sent as it stands, in both requests.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The next browser that comes back with an answer, whosever answer it is. Cancel-safe.
    ///
    /// Nobody may ever come: whoever waits sets a limit.
    pub async fn returned(&mut self) -> Returned {
        match self.returns.recv().await {
            Some(returned) => returned,
            // The listener has failed and said so in the log.
            None => pending().await,
        }
    }

    /// Waits until each browser has fetched the ending it was given, a few seconds at most, and
    /// then listens no more.
    pub async fn close(mut self) {
        // What nobody has looked at is answered in a general way.
        self.returns.close();
        while self.returns.try_recv().is_ok() {}
        // Where a browser has gone, there is nobody to show anything to.
        let _ = timeout(FAREWELL, self.slots.fetched()).await;
        self.tasks.stop();
        let _ = timeout(GOODBYE, self.tasks.finished()).await;
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// A browser that came back, and now waits for a page.
#[derive(Debug)]
pub struct Returned {
    query: Secret<String>,
    slot: Arc<Slot>,
}

impl Returned {
    /// The query as it came, without its `?`: the code may be in it.
    pub fn query(&self) -> &Secret<String> {
        &self.query
    }

    /// Shows this browser how it ended. What is not ours (another `state`) is answered so too,
    /// and then waiting goes on.
    pub fn answer(self, ending: &Ending) {
        self.slot.give(page::html(ending));
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        self.slot.abandon();
    }
}

async fn serve(
    bound: Bound,
    door: Door,
    limits: Limits,
    tasks: Tasks,
    metrics: Arc<listen::Metrics>,
) {
    if let Err(error) = listen::serve(bound, door, limits, tasks, metrics).await {
        tracing::error!(%error, "the redirect address cannot be listened on");
    }
}

fn limits() -> Limits {
    Limits::from(&config::Proxy {
        max_connections: CONNECTIONS,
        max_header_size: HEAD,
        max_body: Some(HEAD),
        header_timeout: PATIENCE,
        body_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        ..config::Proxy::default()
    })
}

#[cfg(test)]
mod tests;
