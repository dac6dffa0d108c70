//! One signal to stop, and one way to know that all have stopped.
//!
//! What always holds: every task of the house is spawned through [`Tasks::spawn`], under a
//! name, so that at the end [`Tasks::finished`] waits for all of them and whoever is late can
//! be named. Stopping is asked for once and cannot be taken back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::watch;

/// The tasks of the house. Cloning gives another handle to the same set.
#[derive(Clone, Debug)]
pub struct Tasks {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Shared {
    stop: watch::Sender<bool>,
    running: watch::Sender<usize>,
    /// Shared with the children, so that whoever is late can be named in one place.
    names: Names,
}

type Names = Arc<Mutex<BTreeMap<&'static str, usize>>>;

impl Default for Tasks {
    fn default() -> Self {
        let (stop, stopped) = watch::channel(false);
        let (running, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            stop,
            running,
            names: Names::default(),
        });
        Self {
            shared,
            stop: stopped,
        }
    }
}

impl Tasks {
    /// Runs `task` on the current runtime and counts it under `name` until it ends, also by
    /// panic or abort.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = self.count(name);
        drop(tokio::spawn(Counted { task, running }));
    }

    /// A set of its own that stops with this one: a worker waits for its own tasks only.
    #[must_use]
    pub fn child(&self) -> Self {
        let (running, _) = watch::channel(0);
        let shared = Shared {
            stop: self.shared.stop.clone(),
            running,
            names: Arc::clone(&self.shared.names),
        };
        Self {
            shared: Arc::new(shared),
            stop: self.stop.clone(),
        }
    }

    /// Counts something that is not a task of its own, a worker thread for example, until the
    /// guard is dropped.
    pub fn count(&self, name: &'static str) -> Running {
        self.shared.running.send_modify(|count| *count += 1);
        self.shared.change(name, |count| count + 1);
        Running {
            shared: Arc::clone(&self.shared),
            name,
        }
    }

    /// Asks everybody to stop.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    /// True once stopping was asked for.
    pub fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends when stopping is asked for. Cancel-safe.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // The sender lives in `shared`, which `self` holds, so this cannot fail.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Ends when nothing runs any more. Cancel-safe.
    pub async fn finished(&self) {
        let mut running = self.shared.running.subscribe();
        let _ = running.wait_for(|count| *count == 0).await;
    }

    /// What still runs, by name and number.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.shared
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shared {
    fn change(&self, name: &'static str, by: impl FnOnce(usize) -> usize) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by(names.get(name).copied().unwrap_or(0));
        if count == 0 {
            names.remove(name);
        } else {
            names.insert(name, count);
        }
    }
}

pin_project! {
    /// A task that is counted until it is dropped. Not an async block: that would hold the task
    /// twice, as what it was given and as what it waits for.
    struct Counted<F> {
        #[pin]
        task: F,
        running: Running,
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

/// Something that runs; it has ended when this is dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    name: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.change(self.name, |count| count - 1);
        self.shared.running.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn finishes_when_the_last_task_has_ended() {
        let tasks = Tasks::default();
        let inner = tasks.clone();
        tasks.spawn("connection", async move {
            inner.stopped().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        assert_eq!(tasks.running(), BTreeMap::from([("connection", 1)]));
        let start = tokio::time::Instant::now();
        tasks.stop();
        tasks.finished().await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_finishes_alone() {
        let tasks = Tasks::default();
        let _other = tasks.count("worker");
        let child = tasks.child();
        let inner = child.clone();
        child.spawn("connection", async move { inner.stopped().await });
        tasks.stop();
        child.finished().await;
        assert_eq!(tasks.running(), BTreeMap::from([("worker", 1)]));
    }

    #[tokio::test]
    async fn a_panic_is_an_end_too() {
        let tasks = Tasks::default();
        tasks.spawn("doomed", async { panic!("on purpose, to end the task") });
        tasks.finished().await;
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn stopping_is_seen_by_those_who_come_late() {
        let tasks = Tasks::default();
        assert!(!tasks.stopping());
        tasks.stop();
        tasks.clone().stopped().await;
        assert!(tasks.stopping());
    }
}
