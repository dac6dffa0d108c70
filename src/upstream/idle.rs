//! Connections of HTTP/1.1 that wait for the next call: the last one in is the first one out.
//!
//! Last in, first out keeps the busy ones warm and lets the others grow old, so that after a
//! peak the pool shrinks by itself. Pure: `now` is handed in.

use std::time::Duration;

use tokio::time::Instant;

/// A connection that can be used again while it is open.
pub(super) trait Reusable {
    /// Whether it is, as far as is known.
    fn is_open(&self) -> bool;
    /// Finds out whether the other side has closed it.
    fn look(&mut self);
    /// When it was opened.
    fn opened(&self) -> Instant;
    /// Closes it politely.
    fn part(self);
}

/// The connections that wait.
#[derive(Debug)]
pub(super) struct Idle<C> {
    waiting: Vec<(C, Instant)>,
    timeout: Option<Duration>,
    max_age: Option<Duration>,
}

impl<C: Reusable> Idle<C> {
    pub(super) fn new(timeout: Option<Duration>, max_age: Option<Duration>) -> Self {
        Self {
            waiting: Vec::new(),
            timeout,
            max_age,
        }
    }

    /// Keeps a connection for the next call, unless it is too old or closed.
    pub(super) fn put(&mut self, connection: C, now: Instant) {
        if connection.is_open() && !self.is_old(&connection, now) {
            self.waiting.push((connection, now));
        } else {
            connection.part();
        }
    }

    /// The connection that waited for the shortest time; what is closed or too old goes.
    pub(super) fn take(&mut self, now: Instant) -> Option<C> {
        while let Some((connection, since)) = self.waiting.pop() {
            if self.is_good(&connection, since, now) {
                return Some(connection);
            }
            connection.part();
        }
        None
    }

    /// Drops what is closed, too old, or idle for too long. Gives the moment at which the next
    /// one will be, if anything waits.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let gone = waiting.extract_if(.., |(connection, since)| {
            connection.look();
            !self.is_good(connection, *since, now)
        });
        gone.for_each(|(connection, _)| connection.part());
        self.waiting = waiting;
        let ends = self.waiting.iter().map(|(connection, since)| {
            let idle = self.timeout.map(|limit| *since + limit);
            let old = self.max_age.map(|limit| connection.opened() + limit);
            // What closes by itself is dropped at least this often.
            let rarely = now + Duration::from_secs(60);
            idle.into_iter().chain(old).fold(rarely, Instant::min)
        });
        ends.min()
    }

    /// Lets all go.
    pub(super) fn clear(&mut self) {
        let all = self.waiting.drain(..);
        all.for_each(|(connection, _)| connection.part());
    }

    fn is_good(&self, connection: &C, since: Instant, now: Instant) -> bool {
        let idles = self.timeout.is_some_and(|limit| now >= since + limit);
        connection.is_open() && !idles && !self.is_old(connection, now)
    }

    fn is_old(&self, connection: &C, now: Instant) -> bool {
        self.max_age
            .is_some_and(|limit| now >= connection.opened() + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Fake {
        name: &'static str,
        opened: Instant,
        open: bool,
    }

    impl Reusable for Fake {
        fn is_open(&self) -> bool {
            self.open
        }

        fn look(&mut self) {}

        fn part(self) {}

        fn opened(&self) -> Instant {
            self.opened
        }
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn idle() -> (Idle<Fake>, Instant, impl Fn(&'static str, u64) -> Fake) {
        let start = Instant::now();
        let fake = move |name, at| Fake {
            name,
            opened: start + seconds(at),
            open: true,
        };
        (
            Idle::new(Some(seconds(30)), Some(seconds(100))),
            start,
            fake,
        )
    }

    #[test]
    fn last_in_first_out_within_the_limits() {
        let (mut idle, start, fake) = idle();
        idle.put(fake("a", 0), start);
        idle.put(fake("b", 0), start + seconds(20));
        idle.put(fake("c", 0), start + seconds(21));
        let name = |taken: Option<Fake>| taken.map(|fake| fake.name);
        assert_eq!(name(idle.take(start + seconds(22))), Some("c"));
        assert_eq!(name(idle.take(start + seconds(49))), Some("b"));
        assert_eq!(name(idle.take(start + seconds(49))), None);
    }

    #[test]
    fn what_is_closed_or_old_is_neither_kept_nor_given() {
        let (mut idle, start, fake) = idle();
        idle.put(fake("old", 0), start + seconds(100));
        let closed = Fake {
            open: false,
            ..fake("closed", 90)
        };
        idle.put(closed, start + seconds(100));
        assert_eq!(idle.take(start + seconds(100)), None);
        idle.put(fake("ages", 0), start + seconds(99));
        assert_eq!(idle.take(start + seconds(100)), None);
    }

    #[test]
    fn a_sweep_tells_when_the_next_is_due() {
        let (mut idle, start, fake) = idle();
        assert_eq!(idle.sweep(start), None);
        idle.put(fake("a", 0), start + seconds(80));
        idle.put(fake("b", 60), start + seconds(81));
        assert_eq!(idle.sweep(start + seconds(82)), Some(start + seconds(100)));
        assert_eq!(idle.sweep(start + seconds(100)), Some(start + seconds(111)));
        assert_eq!(idle.sweep(start + seconds(111)), None);
    }
}
