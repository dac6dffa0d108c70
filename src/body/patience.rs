//! How long a body may be silent between two pieces.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A limit to the time between two pieces of a body.
///
/// The timer is made when the first piece is not there at once, and is only moved when it
/// fires: a piece that arrives in time costs no timer operation.
#[derive(Debug)]
pub struct Patience {
    limit: Option<Duration>,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Waits as long as `limit` for each piece, or for ever.
    pub fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            waiting_since: None,
            timer: None,
        }
    }

    /// A piece came: the next one has the whole time again.
    pub fn restored(&mut self) {
        self.waiting_since = None;
    }

    /// No piece is there: ready when it has been so for too long.
    pub fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let due = *self.waiting_since.get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            // It was set for an earlier piece.
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn lost(patience: &mut Patience) {
        poll_fn(|cx| patience.poll_lost(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn is_lost_after_the_limit() {
        let start = Instant::now();
        lost(&mut Patience::new(Some(LIMIT))).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_restores_it() {
        let mut patience = Patience::new(Some(LIMIT));
        for _ in 0..5 {
            let early = timeout(LIMIT * 9 / 10, lost(&mut patience)).await;
            assert!(early.is_err());
            patience.restored();
        }
        let start = Instant::now();
        lost(&mut patience).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_asks_does_not_count() {
        let mut patience = Patience::new(Some(LIMIT));
        assert!(timeout(LIMIT / 2, lost(&mut patience)).await.is_err());
        patience.restored();
        sleep(LIMIT * 3).await;
        let start = Instant::now();
        lost(&mut patience).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_lasts() {
        let mut patience = Patience::new(None);
        assert!(timeout(LIMIT * 1000, lost(&mut patience)).await.is_err());
    }
}
