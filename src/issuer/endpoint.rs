//! Where refreshes go: to the endpoint set by hand, or to the discovered one.
//!
//! What always holds: a discovered endpoint is kept; it is asked for again only after a day, or
//! after an answer that suggests a move, and then at most once in five minutes; while discovery
//! fails, the endpoint that is known goes on being used.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Url;

/// An endpoint that nothing is wrong with is asked for again after this long.
const FRESH_FOR: Duration = Duration::from_secs(24 * 3600);

/// An endpoint that seems to have moved is asked for again no sooner than this.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// The discovered token endpoint, once there is one.
#[derive(Debug, Default)]
pub(super) struct Discovered(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    endpoint: Url,
    /// When discovery was last tried, with whatever result.
    asked_at: Instant,
    seems_moved: bool,
}

impl Discovered {
    /// The endpoint as far as it is known.
    pub(super) fn known(&self) -> Option<Url> {
        self.with(|known| known.as_ref().map(|known| known.endpoint.clone()))
    }

    /// Whether discovery is due. Saying so counts as the try, so that a discovery that fails is
    /// not repeated at once.
    pub(super) fn take_due(&self, now: Instant) -> bool {
        self.with(|known| {
            let Some(known) = known else {
                return true;
            };
            let age = now.saturating_duration_since(known.asked_at);
            let due = age >= FRESH_FOR || (known.seems_moved && age >= AGAIN_AFTER);
            if due {
                known.asked_at = now;
            }
            due
        })
    }

    /// Takes up what discovery found.
    pub(super) fn found(&self, endpoint: Url, now: Instant) {
        self.with(|known| {
            *known = Some(Known {
                endpoint,
                asked_at: now,
                seems_moved: false,
            });
        });
    }

    /// Notes that the last answer suggests a move.
    pub(super) fn seems_moved(&self) {
        self.with(|known| {
            if let Some(known) = known {
                known.seems_moved = true;
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Known>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_is_due_when_something_suggests_it_but_not_often() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let discovered = Discovered::default();
        // Nothing is known: each refresh asks, and the keeper's back-off spaces the refreshes.
        assert!(discovered.take_due(after(0)) && discovered.take_due(after(1)));
        discovered.found("https://as.example/t".parse().unwrap(), after(2));
        assert!(!discovered.take_due(after(3)));
        assert!(!discovered.take_due(after(86_401)));
        assert!(discovered.take_due(after(86_402)));
        // That try failed, so nothing was found, and the old one stays.
        assert!(!discovered.take_due(after(86_403)));
        discovered.seems_moved();
        assert!(!discovered.take_due(after(86_701)));
        assert!(discovered.take_due(after(86_702)));
        assert!(!discovered.take_due(after(86_703)));
        assert_eq!(
            discovered.known().unwrap().to_string(),
            "https://as.example/t"
        );
        discovered.found("https://as.example/u".parse().unwrap(), after(86_704));
        assert!(!discovered.take_due(after(90_000)));
        assert_eq!(
            discovered.known().unwrap().to_string(),
            "https://as.example/u"
        );
    }
}
