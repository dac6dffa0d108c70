//! hyper's half of an HTTP/1.1 connection, run by the call that holds the connection.
//!
//! A task of its own would be woken twice per call, and would wake the caller as often. So the
//! half is a part of whoever waits for it, and the system's event wakes that task alone.
//!
//! What always holds: whoever waits has run the half since the last event. A half that nobody
//! holds is run by nobody; its pool looks at it now and then. A half whose call goes on in two
//! directions at once has a task after all, or a reader that stands still would stop the writing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::timeout;

use crate::drain::Tasks;

/// How long the last word to an upstream may take, TLS' among others.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs hyper's half of a connection.
pub(super) struct Engine {
    /// Nothing once it has ended or has a task of its own.
    half: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    relay: Arc<Relay>,
    /// The relay as the half knows it: always the same, so that nothing is registered anew.
    waker: Waker,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("is_here", &self.is_here())
            .finish_non_exhaustive()
    }
}

/// Tells the task that holds the connection what would wake the half.
#[derive(Default)]
struct Relay {
    holder: AtomicWaker,
    /// True while the holder does what it runs the half for afterwards anyway.
    hushed: AtomicBool,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.hushed.load(Relaxed) {
            self.holder.wake();
        }
    }
}

impl Engine {
    /// Runs `half`, which ends with the connection.
    pub(super) fn new(half: impl Future<Output = ()> + Send + 'static) -> Self {
        let relay = Arc::new(Relay::default());
        Self {
            half: Some(Box::pin(half)),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
        }
    }

    /// Does something to the other end of the half's channels, which is no reason to wake anybody:
    /// the half is run afterwards, or not waited for.
    pub(super) fn hushed<T>(&self, act: impl FnOnce() -> T) -> T {
        self.relay.hushed.store(true, Relaxed);
        let outcome = act();
        self.relay.hushed.store(false, Relaxed);
        outcome
    }

    /// Runs the half and then looks whether what it makes is there.
    pub(super) fn run_for<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.run(cx) {
            return look(cx);
        }
        self.look(look)
    }

    /// The same, for what may be there from an earlier run.
    pub(super) fn feed<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.is_here()
            && let there @ Poll::Ready(_) = self.look(&mut look)
        {
            return there;
        }
        self.run_for(cx, look)
    }

    /// Looks for what only the half makes, so that nobody need be told of it.
    fn look<T>(&self, mut look: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.hushed(|| look(&mut Context::from_waker(Waker::noop())))
    }

    /// Runs the half while nobody waits for it.
    pub(super) fn idle(&mut self) {
        self.run(&mut Context::from_waker(Waker::noop()));
    }

    /// Gives the half, if it is here, a task of its own.
    pub(super) fn depart(&mut self, tasks: &Tasks) {
        if let Some(half) = self.half.take() {
            tasks.spawn("upstream connection", half);
        }
    }

    /// Lets the half, if it is here, say goodbye: the connection has taken its last call.
    pub(super) fn part(mut self, tasks: &Tasks) {
        if let Some(half) = self.half.take() {
            tasks.spawn("upstream goodbye", async move {
                // It is closed in any case, so how that went does not matter.
                let _ = timeout(GOODBYE, half).await;
            });
        }
    }

    /// Runs the half, if it is here, for the task behind `cx`; false if it is not, or not any more.
    fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(half) = &mut self.half else {
            return false;
        };
        self.relay.holder.register(cx.waker());
        let mut relayed = Context::from_waker(&self.waker);
        if half.as_mut().poll(&mut relayed).is_ready() {
            self.half = None;
        }
        self.is_here()
    }

    fn is_here(&self) -> bool {
        self.half.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::{Notify, mpsc};
    use tokio::time::sleep;

    use super::*;

    /// A half that makes a number whenever it is notified.
    fn counting() -> (Engine, Arc<Notify>, mpsc::UnboundedReceiver<u32>) {
        let (notify, (sender, numbers)) = (Arc::new(Notify::new()), mpsc::unbounded_channel());
        let events = Arc::clone(&notify);
        let engine = Engine::new(async move {
            for number in 0..3 {
                events.notified().await;
                sender.send(number).unwrap();
            }
        });
        (engine, notify, numbers)
    }

    async fn every_second(notify: Arc<Notify>) {
        loop {
            sleep(Duration::from_secs(1)).await;
            notify.notify_one();
        }
    }

    /// Remembers that it was rung.
    #[derive(Default)]
    struct Bell(AtomicBool);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_runs_it_and_is_woken_for_it() {
        let (mut engine, notify, mut numbers) = counting();
        tokio::spawn(every_second(notify));
        for number in 0..3 {
            let made = poll_fn(|cx| engine.feed(cx, |cx| numbers.poll_recv(cx))).await;
            assert_eq!(made, Some(number));
        }
        // It has ended, and what it left is found without it.
        let made = poll_fn(|cx| engine.feed(cx, |cx| numbers.poll_recv(cx))).await;
        assert_eq!(made, None);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_runs_it_while_nobody_holds_it() {
        let (mut engine, notify, mut numbers) = counting();
        engine.idle();
        notify.notify_one();
        sleep(Duration::from_secs(1)).await;
        assert!(numbers.try_recv().is_err());
        engine.idle();
        assert_eq!(numbers.try_recv(), Ok(0));
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_task_of_its_own_it_runs_by_itself() {
        let (mut engine, notify, mut numbers) = counting();
        let tasks = Tasks::default();
        engine.depart(&tasks);
        notify.notify_one();
        let made = poll_fn(|cx| engine.feed(cx, |cx| numbers.poll_recv(cx)));
        assert_eq!(timeout(Duration::from_secs(1), made).await, Ok(Some(0)));
    }

    #[tokio::test]
    async fn what_the_holder_does_itself_does_not_wake_it() {
        let (mut engine, notify, _numbers) = counting();
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        engine.run(&mut Context::from_waker(&waker));
        engine.hushed(|| notify.notify_one());
        assert!(!bell.0.load(Relaxed));
        engine.run(&mut Context::from_waker(&waker));
        notify.notify_one();
        assert!(bell.0.load(Relaxed));
    }
}
