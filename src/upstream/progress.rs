//! Whose turn it is in a call, and since when: what decides that an answer is too late.
//!
//! What always holds: the upstream's time runs only while it is the upstream's turn, that is
//! after a piece of the request was handed out and before the next is asked for, and after the
//! last. A client that is slow to send costs the upstream nothing. With HTTP/1.1 one of these
//! lives as long as its connection, whose task looks at it, so a call arms no timer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Whose turn it is, and since when.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    /// When the upstream's turn began, in milliseconds since `start`, or [`NOT`].
    turn: AtomicU64,
    answered: AtomicBool,
    sending: AtomicBool,
    late: AtomicBool,
}

/// It is not the upstream's turn.
const NOT: u64 = u64::MAX;

/// How often a connection without limit is looked at.
const RARELY: Duration = Duration::from_secs(3600);

impl Progress {
    /// Nothing was sent yet.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            turn: AtomicU64::new(NOT),
            answered: AtomicBool::new(true),
            sending: AtomicBool::new(false),
            late: AtomicBool::new(false),
        }
    }

    /// A call begins.
    pub(super) fn begun(&self) {
        self.answered.store(false, Relaxed);
        self.handed();
    }

    /// The call has a body, of which nothing was handed out yet.
    pub(super) fn sends(&self) {
        self.sending.store(true, Relaxed);
    }

    /// All of the request was handed out, or nothing more of it will be: the upstream's turn.
    pub(super) fn sent(&self) {
        // Where there is no body, the turn was handed over as the call began.
        if self.sending.swap(false, Relaxed) {
            self.handed();
        }
    }

    /// True while more of the request may be handed out.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.load(Relaxed)
    }

    /// A piece of the request, or its end, was handed out: the upstream's turn.
    pub(super) fn handed(&self) {
        if !self.answered.load(Relaxed) {
            let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NOT - 1);
            self.turn.store(now, Relaxed);
        }
    }

    /// The next piece of the request is awaited: not the upstream's turn.
    pub(super) fn awaited(&self) {
        self.turn.store(NOT, Relaxed);
    }

    /// The answer began.
    pub(super) fn answered(&self) {
        self.answered.store(true, Relaxed);
        self.turn.store(NOT, Relaxed);
    }

    /// True once the answer of the call that runs has begun.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// True if the answer was found to be too late.
    pub(super) fn was_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// Ends when an answer is later than `limit`. Cancel-safe.
    pub(super) async fn late(&self, limit: Option<Duration>) {
        let pause = limit.unwrap_or(RARELY).max(Duration::from_millis(1));
        loop {
            let now = Instant::now();
            let next = match (self.turn.load(Relaxed), limit) {
                (NOT, _) | (_, None) => now + pause,
                (turn, Some(limit)) => self.start + Duration::from_millis(turn) + limit,
            };
            if next <= now {
                self.late.store(true, Relaxed);
                return;
            }
            sleep_until(next).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn time_runs_only_in_the_upstreams_turn() {
        let progress = Progress::new();
        let late = progress.late(Some(LIMIT));
        let story = async {
            sleep(LIMIT * 5).await;
            progress.begun();
            sleep(LIMIT / 2).await;
            progress.awaited();
            sleep(LIMIT * 5).await;
            progress.handed();
            sleep(LIMIT * 9 / 10).await;
            progress.answered();
            progress.handed();
            sleep(LIMIT * 5).await;
            progress.begun();
            Instant::now()
        };
        let ((), begun) = tokio::join!(late, story);
        let took = begun.elapsed();
        assert!(
            (LIMIT..LIMIT + Duration::from_millis(5)).contains(&took),
            "{took:?}"
        );
        assert!(progress.was_late());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_is_late() {
        let progress = Progress::new();
        progress.begun();
        assert!(timeout(LIMIT * 10_000, progress.late(None)).await.is_err());
    }
}
