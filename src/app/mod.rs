//! Builds the rooms and runs them.
//!
//! Threads: the control thread (the caller's) runs keepers, stores, admin, reload and signals on
//! one runtime; `workers` threads carry traffic, each with its own runtime, accept loop and
//! upstream connections, so that a request stays on one core.
//!
//! What always holds: listeners are bound and stores opened before anything is served, so a start
//! fails wholly or not at all; stopping goes data first, then keepers, then admin.

mod house;
mod metrics;
mod notify;
mod reload;
mod signals;
mod workers;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::config::{Config, Listen, ReadError};
use crate::drain::Tasks;
use crate::listen::{Handed, Unusable};
use crate::store;

use house::House;
use notify::{Phase, tell};
use signals::{Signal, Signals};

/// Why the house could not be started or reloaded.
#[derive(Debug)]
pub struct Error {
    message: String,
    hint: Option<&'static str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    fn because(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            message: message.into(),
            hint: None,
            source: Some(source.into()),
        }
    }

    fn with_hint(self, hint: Option<&'static str>) -> Self {
        Self { hint, ..self }
    }

    /// What a person can do about it, where that is known here or below.
    pub fn hint(&self) -> Option<&str> {
        let chain = std::iter::successors(std::error::Error::source(self), |error| error.source());
        let mut hints = chain.filter_map(|error| {
            let store = error.downcast_ref().and_then(store::Error::hint);
            store.or_else(|| error.downcast_ref().and_then(ReadError::hint))
        });
        self.hint.or_else(|| hints.next())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

/// How long keepers may take to finish and save after the last request has ended, beyond what is
/// left of `drain_timeout`: an answer on its way is worth more than a fast end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A running Bearward.
pub struct App {
    house: House,
    /// Connections and what belongs to requests.
    data: Tasks,
    /// Keepers.
    control: Tasks,
    /// The admin side, which answers to the last.
    admin: Tasks,
    linger: Duration,
    drain_timeout: Duration,
    proxy_address: Listen,
    admin_address: Listen,
}

impl App {
    /// Binds, opens, and begins to serve, on the runtime that this is called in (the control
    /// thread's) and on worker threads of its own.
    pub async fn start(config: Config) -> Result<Self, Error> {
        Self::start_on(Handed::default(), config).await
    }

    /// The same on sockets that were handed over, each of which must be configured.
    async fn start_on(mut handed: Handed, config: Config) -> Result<Self, Error> {
        let (data, control, admin) = (Tasks::default(), Tasks::default(), Tasks::default());
        let mode = &config.proxy.socket_mode;
        let proxy = workers::bind(&mut handed, &config.proxy.listen, mode)?;
        let door = workers::bind(&mut handed, &config.admin.listen, mode)?;
        workers::refuse_left(&handed)?;
        let (proxy_address, admin_address) = (workers::address(&proxy)?, workers::address(&door)?);
        let (linger, drain_timeout) = (
            config.proxy.linger.duration(),
            config.proxy.drain_timeout.duration(),
        );
        let house = House::build(config, &control).await?;
        house.open_admin(door, &admin);
        house.open_workers(&proxy, &data)?;
        tracing::info!(room = "admin", address = %admin_address, "listening");
        tracing::info!(room = "proxy", address = %proxy_address, "listening");
        Ok(Self {
            house,
            data,
            control,
            admin,
            linger,
            drain_timeout,
            proxy_address,
            admin_address,
        })
    }

    /// Where the service sends its calls, with the real port.
    pub fn proxy_address(&self) -> &Listen {
        &self.proxy_address
    }

    /// Where health, metrics and status are, with the real port.
    pub fn admin_address(&self) -> &Listen {
        &self.admin_address
    }

    /// Takes another configuration, wholly or not at all.
    pub async fn reload(&mut self, config: Config) -> Result<(), Error> {
        self.house.reload(config, &self.control).await
    }

    /// Lingers, stops accepting, lets running requests end, saves what is owed, and ends.
    pub async fn stop(self) {
        let _stopping = self.house.ready().block("stopping");
        if !self.linger.is_zero() {
            let linger = format!("{:?}", self.linger);
            tracing::info!(linger, "asked to stop; serving on for a while");
            sleep(self.linger).await;
        }
        tracing::info!("stopping");
        self.data.stop();
        let begun = tokio::time::Instant::now();
        if timeout(self.drain_timeout, self.data.finished())
            .await
            .is_err()
        {
            let running = format!("{:?}", self.data.running());
            tracing::warn!(
                running,
                "the drain timeout has passed; what still runs is cut"
            );
        }
        self.control.stop();
        let left = self.drain_timeout.saturating_sub(begun.elapsed()) + LAST_WORDS;
        if timeout(left, self.control.finished()).await.is_err() {
            tracing::warn!("a refresh is still under way; its intent is stored");
        }
        self.admin.stop();
        let _ = timeout(LAST_WORDS, self.admin.finished()).await;
        tracing::info!("stopped");
    }
}

fn unusable(error: Unusable) -> Error {
    let hint = "a socket unit needs `ListenStream=`, with a path or an IP address, and `Accept=no`";
    Error::because("the service manager's sockets cannot be used", error).with_hint(Some(hint))
}

/// Runs Bearward until SIGTERM or SIGINT; reads `path` again on SIGHUP and when it changes.
///
/// Blocks the calling thread, which becomes the control thread. A second SIGTERM or SIGINT ends
/// the drain at once.
pub fn run(path: PathBuf, config: Config) -> Result<(), Error> {
    // Before there is a thread that could read the environment meanwhile.
    let handed = Handed::over().map_err(unusable)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Error::because("no runtime could be made", error))?;
    let ended = runtime.block_on(async move {
        let mut signals = Signals::install()?;
        let mut watch = reload::Watch::new(path, &config);
        let mut app = App::start_on(handed, config).await?;
        tell(Phase::Ready);
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => break,
                    Signal::Reload => reload::again(&mut app, &mut watch).await,
                },
                () = watch.changed() => reload::again(&mut app, &mut watch).await,
            }
        }
        tell(Phase::Stopping);
        tokio::select! {
            () = app.stop() => {}
            () = signals.stop() => tracing::warn!("asked twice: stopped at once"),
        }
        Ok(())
    });
    // Blocking store work that is still under way is let go: what is durable was acknowledged.
    runtime.shutdown_background();
    ended
}
