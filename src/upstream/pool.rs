//! Which connection a call gets, and where it goes afterwards.
//!
//! What always holds: with HTTP/1.1 there are never more connections than `max_connections`.
//! A call holds a permit from before it has a connection until after it has put it back, and
//! dials only when none waits, so every connection is either held by a permit or was put back
//! by one. With HTTP/2 there is one connection, and one dial at a time, on which all wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::DialError;
use super::http1::Connection;
use super::http2::Channel;
use super::idle::{Idle, Reusable};
use super::lease::{Lease, Own};
use super::metrics::RouteMetrics;
use super::{SendBody, SendError, Settings, Usage, Wire};
use crate::config::HttpVersion;
use crate::drain::Tasks;

/// How often the connections that wait are looked at: those that the upstream has closed go.
const LOOK: Duration = Duration::from_secs(1);

/// The connections of one upstream in one worker.
#[derive(Debug)]
pub(super) struct Pool<B: SendBody> {
    pub(super) settings: Settings,
    pub(super) metrics: RouteMetrics,
    pub(super) tasks: Tasks,
    permits: Arc<Semaphore>,
    /// Held by whoever dials where one connection may serve all who wait.
    dialling: tokio::sync::Mutex<()>,
    state: Mutex<State<B>>,
}

#[derive(Debug)]
struct State<B: SendBody> {
    speaks: Speaks,
    idle: Idle<Box<Connection<B>>>,
    shared: Option<Shared<B>>,
    sweeping: bool,
    /// The last dial for all that failed, and how many have.
    failure: Option<Arc<DialError>>,
    failures: u64,
}

/// The shared connection of HTTP/2, and when it was last used.
#[derive(Debug)]
struct Shared<B> {
    channel: Channel<B>,
    used: Instant,
}

/// What the upstream speaks, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Unknown,
    Http1,
    Http2,
}

/// Which connection of HTTP/1.1 will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// One that waits, if any does.
    Waiting,
    /// A new one.
    New,
}

/// How to get a connection.
enum Way<B: SendBody> {
    /// Through a share in the one that is there.
    Share(Lease<B>),
    /// As HTTP/1.1 does.
    Own,
    /// By dialling for all.
    Dial,
}

impl<B: SendBody> Pool<B> {
    pub(super) fn new(settings: Settings, tasks: Tasks, metrics: RouteMetrics) -> Self {
        let speaks = match settings.http {
            HttpVersion::Auto if settings.dialer.url().is_https() => Speaks::Unknown,
            HttpVersion::Auto | HttpVersion::Http1 => Speaks::Http1,
            HttpVersion::Http2 => Speaks::Http2,
        };
        let most = usize::try_from(settings.pool.max_connections).unwrap_or(usize::MAX);
        let state = State {
            speaks,
            idle: Idle::new(
                settings.pool.idle_timeout.duration(),
                settings.pool.max_age.duration(),
            ),
            shared: None,
            sweeping: false,
            failure: None,
            failures: 0,
        };
        Self {
            settings,
            metrics,
            tasks,
            permits: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            dialling: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    /// A connection for one call: one that waits, or a new one. Cancel-safe.
    pub(super) async fn lease(self: &Arc<Self>, take: Take) -> Result<Lease<B>, SendError> {
        match self.at_hand(take) {
            Some(lease) => Ok(lease),
            // Boxed: a call that need not wait for a dial is not to carry the room for it about.
            None => Box::pin(self.waited_for(take)).await,
        }
    }

    /// A connection that can be had at once.
    fn at_hand(self: &Arc<Self>, take: Take) -> Option<Lease<B>> {
        if self.state().speaks != Speaks::Http1 {
            return self.share();
        }
        if take == Take::New {
            return None;
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        self.waiting(take, permit).ok()
    }

    /// A connection that has to be dialled, or waited for.
    async fn waited_for(self: &Arc<Self>, take: Take) -> Result<Lease<B>, SendError> {
        let failures = self.state().failures;
        match self.way(failures)? {
            Way::Share(lease) => return Ok(lease),
            Way::Own => return self.own(take).await,
            Way::Dial => {}
        }
        let dialling = self.dialling.lock().await;
        // Whoever dialled before us may have settled it.
        match self.way(failures)? {
            Way::Share(lease) => return Ok(lease),
            Way::Own => {
                drop(dialling);
                return self.own(take).await;
            }
            Way::Dial => {}
        }
        let wire = self.dial().await.inspect_err(|error| self.failed(error));
        self.settle(wire.map_err(SendError::Dial)?, None).await
    }

    /// How to get a connection, as things are; fails if a dial for all has failed since
    /// `failures` were counted.
    fn way(&self, failures: u64) -> Result<Way<B>, SendError> {
        let state = self.state();
        if state.speaks == Speaks::Http1 {
            return Ok(Way::Own);
        }
        if let (true, Some(failure)) = (state.failures > failures, &state.failure) {
            return Err(SendError::Dial(Arc::clone(failure)));
        }
        drop(state);
        Ok(self.share().map_or(Way::Dial, Way::Share))
    }

    /// A connection of HTTP/1.1.
    async fn own(self: &Arc<Self>, take: Take) -> Result<Lease<B>, SendError> {
        match self.waiting(take, self.permit().await?) {
            Ok(lease) => Ok(lease),
            Err(permit) => {
                let wire = self.dial().await.map_err(SendError::Dial)?;
                self.settle(wire, Some(permit)).await
            }
        }
    }

    /// A connection of HTTP/1.1 that waits, if one does and will do; else the permit again.
    fn waiting(
        self: &Arc<Self>,
        take: Take,
        permit: OwnedSemaphorePermit,
    ) -> Result<Lease<B>, OwnedSemaphorePermit> {
        // Where a new one is wanted, one that waits makes room for it.
        let waiting = self.state().idle.take(Instant::now());
        let Some(connection) = waiting else {
            return Err(permit);
        };
        if take == Take::New {
            connection.part();
            return Err(permit);
        }
        self.metrics.reused();
        Ok(Lease::Own(Own::new(connection, self, permit)))
    }

    /// A share in the connection of HTTP/2, if there is a good one.
    fn share(&self) -> Option<Lease<B>> {
        let now = Instant::now();
        let mut state = self.state();
        let shared = state.shared.as_mut()?;
        let old = (self.settings.pool.max_age.duration())
            .is_some_and(|limit| now >= shared.channel.opened() + limit);
        if old || !shared.channel.is_open() {
            state.shared = None;
            return None;
        }
        shared.used = now;
        let channel = shared.channel.clone();
        drop(state);
        self.metrics.reused();
        Some(Lease::Share {
            channel,
            usage: Usage::Again,
        })
    }

    /// A place among the connections, in the order of asking.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, SendError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let wait = Arc::clone(&self.permits).acquire_owned();
        match timeout(self.settings.dialer.connect_timeout(), wait).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes the semaphore, so this is the time being over.
            _ => Err(SendError::Busy),
        }
    }

    async fn dial(&self) -> Result<Wire, Arc<DialError>> {
        match self.settings.dialer.connect().await {
            Ok(wire) => Ok(wire.counted(self.metrics.opened())),
            Err(error) => {
                self.metrics.failed(error.kind());
                Err(Arc::new(error))
            }
        }
    }

    fn failed(&self, error: &Arc<DialError>) {
        let mut state = self.state();
        state.failures += 1;
        state.failure = Some(Arc::clone(error));
    }

    /// Speaks over a new wire what it is for.
    async fn settle(
        self: &Arc<Self>,
        wire: Wire,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Lease<B>, SendError> {
        let http2 = match self.settings.http {
            HttpVersion::Http1 => false,
            HttpVersion::Http2 => true,
            HttpVersion::Auto => wire.is_h2(),
        };
        let broken = |source| SendError::Closed {
            reused: false,
            source,
        };
        if http2 {
            let channel = Channel::open(wire, &self.tasks).await.map_err(broken)?;
            self.install(&channel);
            return Ok(Lease::Share {
                channel,
                usage: Usage::First,
            });
        }
        self.state().speaks = Speaks::Http1;
        let permit = match permit {
            Some(permit) => permit,
            None => self.permit().await?,
        };
        let connection = Connection::open(wire, &self.settings, &self.tasks)
            .await
            .map_err(broken)?;
        Ok(Lease::Own(Own::new(Box::new(connection), self, permit)))
    }

    /// Lets all share a connection of HTTP/2.
    fn install(self: &Arc<Self>, channel: &Channel<B>) {
        let shared = Shared {
            channel: channel.clone(),
            used: Instant::now(),
        };
        let mut state = self.state();
        state.speaks = Speaks::Http2;
        state.shared = Some(shared);
        self.sweep_from_now_on(&mut state);
    }

    /// Shares a connection of HTTP/2 no more: it has taken its last call.
    pub(super) fn forsake(&self, channel: &Channel<B>) {
        let mut state = self.state();
        if (state.shared.as_ref()).is_some_and(|shared| shared.channel.is_same(channel)) {
            state.shared = None;
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(self: &Arc<Self>, connection: Box<Connection<B>>) {
        if self.tasks.stopping() {
            return connection.part();
        }
        let mut state = self.state();
        state.idle.put(connection, Instant::now());
        self.sweep_from_now_on(&mut state);
    }

    /// Starts the one sweeper, unless it runs.
    fn sweep_from_now_on(self: &Arc<Self>, state: &mut State<B>) {
        if !state.sweeping {
            state.sweeping = true;
            let sweeper = sweep(Arc::downgrade(self), self.tasks.clone());
            self.tasks.spawn("upstream sweeper", sweeper);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: SendBody> State<B> {
    /// Drops what has waited for too long; the moment of the next look, if anything is left.
    fn sweep(&mut self, settings: &Settings, now: Instant) -> Option<Instant> {
        let next = self.idle.sweep(now);
        let Some(shared) = &self.shared else {
            return next;
        };
        let due = settings
            .pool
            .idle_timeout
            .duration()
            .map(|limit| shared.used + limit);
        let idles = shared.channel.is_unused() && due.is_some_and(|due| due <= now);
        if idles || !shared.channel.is_open() {
            self.shared = None;
            return next;
        }
        let rarely = now + Duration::from_secs(60);
        let due = due.filter(|due| *due > now).unwrap_or(rarely).min(rarely);
        Some(next.map_or(due, |next| next.min(due)))
    }
}

/// Closes what idles for too long, while anything idles and the pool lives.
async fn sweep<B: SendBody>(pool: Weak<Pool<B>>, tasks: Tasks) {
    loop {
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            let mut state = pool.state();
            if tasks.stopping() {
                state.idle.clear();
                state.shared = None;
            }
            let now = Instant::now();
            let next = state.sweep(&pool.settings, now);
            state.sweeping = next.is_some();
            next.map(|next| next.min(now + LOOK))
        };
        let Some(next) = next else { return };
        tokio::select! {
            () = sleep_until(next) => {}
            () = tasks.stopped() => {}
        }
    }
}
