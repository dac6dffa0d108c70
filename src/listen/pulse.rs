//! What a connection is doing and since when: what its one timer looks at when it fires.
//!
//! What always holds: a request costs two notes here and no timer operation. The timer is set
//! for the earliest moment at which anything could be too late, and when it fires it either
//! finds that something is, or sleeps on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Closed;

/// The limits that a connection's timer enforces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a head that has begun.
    pub(super) header: Option<Duration>,
    /// For a connection on which nothing has begun.
    pub(super) idle: Option<Duration>,
    /// For a peer that takes nothing of what is written.
    pub(super) stall: Option<Duration>,
}

/// What a connection is doing. One task of one thread writes it, so relaxed order suffices;
/// the atomics are there because tasks must be `Send`.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// Requests that run: 0 or 1 with HTTP/1.1.
    running: AtomicU32,
    /// When the last request ended, or the connection began.
    idle_since: AtomicU64,
    /// When the head that is being read began, or [`NEVER`].
    head_since: AtomicU64,
    /// Since when the peer takes nothing, or [`NEVER`].
    stalled_since: AtomicU64,
    /// Whether a request's body was left unread.
    unread: AtomicBool,
    /// Whether a request's body still comes.
    receiving: AtomicBool,
    /// Whether more of it was asked for than has come.
    wanting: AtomicBool,
    /// Whether an answer broke off whose reader takes the connection's end for its own.
    broken: AtomicBool,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// None runs.
    Between,
    /// Its body is not taken as far as it has come, so it may have come whole.
    Unasked,
    /// More of its body is waited for.
    Body,
    /// It has come whole.
    Answer,
}

/// Milliseconds since `start` that are never reached.
const NEVER: u64 = u64::MAX;

/// What the timer finds when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing can be too late before this.
    Look(Instant),
    /// Something is too late.
    Over(Closed),
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            running: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
            unread: AtomicBool::new(false),
            receiving: AtomicBool::new(false),
            wanting: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// Notes that bytes came. Between requests they are the beginning of the next head.
    pub(super) fn read(&self) {
        if self.running.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// Notes that the peer did not take what was to be written.
    pub(super) fn stalled(&self) {
        if self.stalled_since.load(Relaxed) == NEVER {
            self.stalled_since.store(self.now(), Relaxed);
        }
    }

    /// Notes that the peer took something.
    pub(super) fn written(&self) {
        if self.stalled_since.load(Relaxed) != NEVER {
            self.stalled_since.store(NEVER, Relaxed);
        }
    }

    /// Notes that a request runs, until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>) -> Flight {
        self.running.fetch_add(1, Relaxed);
        self.head_since.store(NEVER, Relaxed);
        Flight(Arc::clone(self))
    }

    /// True when an answer broke off and only a reset says so (see [`Flight::breaks_off`]).
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// Notes that a request's body was left unread, so that its rest may still be under way.
    pub(super) fn left_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Notes that a request has a body that still comes.
    pub(super) fn receives(&self) {
        self.receiving.store(true, Relaxed);
        self.wanting.store(false, Relaxed);
    }

    /// Notes that nothing more of a request's body is asked for.
    pub(super) fn received(&self) {
        self.receiving.store(false, Relaxed);
    }

    /// Notes what came of asking for more of a request's body.
    pub(super) fn asked<T>(&self, outcome: &Poll<T>) {
        self.wanting.store(outcome.is_pending(), Relaxed);
    }

    /// How far the request is that runs; of one connection with HTTP/1.1.
    pub(super) fn stage(&self) -> Stage {
        if self.running.load(Relaxed) == 0 {
            Stage::Between
        } else if !self.receiving.load(Relaxed) {
            Stage::Answer
        } else if self.wanting.load(Relaxed) {
            Stage::Body
        } else {
            Stage::Unasked
        }
    }

    /// True if some request's body was left unread.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// True while neither a request runs nor a head has begun.
    pub(super) fn is_idle(&self) -> bool {
        self.running.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER
    }

    /// Ends when something is too late. Cancel-safe.
    pub(super) async fn over(&self, timeouts: Timeouts) -> Closed {
        loop {
            match self.verdict(timeouts, Instant::now()) {
                Verdict::Over(closed) => return closed,
                Verdict::Look(at) => sleep_until(at).await,
            }
        }
    }

    /// The same for HTTP/2, where bytes between requests are no head but frames of all kinds;
    /// they do not keep a connection open.
    pub(super) async fn over_between_streams(&self, timeouts: Timeouts) -> Closed {
        let timeouts = Timeouts {
            header: timeouts.idle,
            ..timeouts
        };
        match self.over(timeouts).await {
            Closed::HeaderTimeout => Closed::Idle,
            closed => closed,
        }
    }

    fn verdict(&self, timeouts: Timeouts, now: Instant) -> Verdict {
        let head = self.head_since.load(Relaxed);
        let stall = self.stalled_since.load(Relaxed);
        let (since, limit, closed) = if stall != NEVER {
            (stall, timeouts.stall, Closed::Stalled)
        } else if self.running.load(Relaxed) > 0 {
            // Nothing is measured now. What begins from now on is found at the next look.
            return Verdict::Look(now + timeouts.shortest());
        } else if head != NEVER {
            (head, timeouts.header, Closed::HeaderTimeout)
        } else {
            let idle = self.idle_since.load(Relaxed);
            (idle, timeouts.idle, Closed::Idle)
        };
        match limit.map(|limit| self.start + Duration::from_millis(since) + limit) {
            Some(due) if due <= now => Verdict::Over(closed),
            // Something shorter may begin before that.
            Some(due) => Verdict::Look(due.min(now + timeouts.shortest())),
            None => Verdict::Look(now + timeouts.shortest()),
        }
    }

    fn now(&self) -> u64 {
        // A connection does not live for half a billion years.
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

impl Timeouts {
    /// The shortest of them: nothing that begins now is too late before it has passed.
    fn shortest(self) -> Duration {
        const RARELY: Duration = Duration::from_secs(3600);
        [self.header, self.idle, self.stall]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(RARELY)
            .max(Duration::from_millis(1))
    }
}

/// A request that runs, until this is dropped.
#[derive(Debug)]
pub(super) struct Flight(Arc<Pulse>);

impl Flight {
    /// Notes that its answer broke off, for a reader of HTTP/1.0: that takes the end of the
    /// connection for the end of the answer, if it has an end at all.
    pub(super) fn breaks_off(&self) {
        self.0.broken.store(true, Relaxed);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.running.fetch_sub(1, Relaxed);
    }
}
