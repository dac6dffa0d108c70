//! A future beside a busy one, polled only when it has asked for it. Pure: no clock, no I/O.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Polls `future` only after it was woken itself.
///
/// A connection's task is woken some times per request, its timer and the signal to stop once
/// in its life. Asking those each time would cost locks; asking the bell costs one load.
pub struct Seldom<F> {
    future: F,
    bell: Option<Arc<Bell>>,
}

impl<F> fmt::Debug for Seldom<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seldom").finish_non_exhaustive()
    }
}

struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<F> Seldom<F> {
    /// Will poll `future` when it asks.
    pub fn new(future: F) -> Self {
        Self { future, bell: None }
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // The task that polls may have changed since; then the bell must ring for the new one.
        let known = this.bell.take();
        let bell = match known {
            Some(bell) if bell.task.will_wake(cx.waker()) => bell,
            _ => Arc::new(Bell {
                rung: AtomicBool::new(true),
                task: cx.waker().clone(),
            }),
        };
        let bell = this.bell.insert(bell);
        if !bell.rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(bell));
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_polled_only_when_it_asked() {
        let mut polls = 0;
        let mut slow = Box::pin(sleep(Duration::from_secs(10)));
        let counted = poll_fn(|cx| {
            polls += 1;
            slow.as_mut().poll(cx)
        });
        let mut seldom = Seldom::new(counted);
        let mut busy = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                biased;
                () = &mut seldom => break,
                _ = busy.tick() => {}
            }
        }
        assert_eq!(polls, 2);
    }

    #[tokio::test]
    async fn follows_to_another_task() {
        let notify = Arc::new(Notify::new());
        let inner = Arc::clone(&notify);
        let mut seldom = Box::pin(Seldom::new(Box::pin(async move {
            inner.notified().await;
        })));
        let first = poll_fn(|cx| Poll::Ready(seldom.as_mut().poll(cx).is_pending()));
        assert!(first.await);
        let moved = tokio::spawn(seldom);
        tokio::task::yield_now().await;
        notify.notify_one();
        moved.await.unwrap();
    }
}
