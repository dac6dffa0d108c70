//! The map of current access tokens.
//!
//! Moka is the map and an outer bound of lifetime. Whether a token lives is decided by our own
//! clock ([`Token::lives_at`]), and single-flight lives in the keeper: moka's own would start a
//! second refresh when the first caller goes away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::Expiry;
use tokio::time::Instant;

use super::Token;

/// The most grants whose tokens are held at once.
const CAPACITY: u64 = 10_000;

/// The current access token of each grant. Cloning gives another handle to the same map.
#[derive(Clone, Debug)]
pub struct Cache {
    tokens: moka::sync::Cache<Seat, Arc<Token>>,
    seats: Arc<AtomicU64>,
    /// How often anything was put in or taken out.
    changes: Arc<AtomicU64>,
}

/// What one worker found last for one grant, good until anything changes in the map.
///
/// Moka's lookup notes each hit for its eviction, which costs twenty times what this does. The lock
/// is the worker's own, so it is free whenever it is taken.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Option<(u64, Arc<Token>)>>);

/// The place of one keeper's token. Not the grant's name: one that is taken out of the
/// configuration and comes back, for another server perhaps, must not find the old token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seat(u64);

impl Default for Cache {
    fn default() -> Self {
        let tokens = moka::sync::Cache::builder()
            .max_capacity(CAPACITY)
            .expire_after(Outer)
            .build();
        Self {
            tokens,
            seats: Arc::default(),
            changes: Arc::default(),
        }
    }
}

impl Cache {
    /// A place that nobody else has.
    pub(super) fn seat(&self) -> Seat {
        Seat(self.seats.fetch_add(1, Ordering::Relaxed))
    }

    /// The token that was put in last, living or not.
    pub(super) fn token(&self, seat: Seat) -> Option<Arc<Token>> {
        self.tokens.get(&seat)
    }

    /// The same, by what `memo` remembers where that still holds.
    pub(super) fn token_by_memo(&self, seat: Seat, memo: &Memo) -> Option<Arc<Token>> {
        // Read before the map: a change after this is found out at the next call.
        let changes = self.changes.load(Ordering::Acquire);
        let mut memo = memo.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*memo {
            Some((then, token)) if *then == changes => Some(Arc::clone(token)),
            _ => {
                let found = self.token(seat);
                *memo = found.clone().map(|token| (changes, token));
                found
            }
        }
    }

    /// Puts a token in; only the grant's keeper does, so an older one never follows a newer.
    pub(super) fn put(&self, seat: Seat, token: Arc<Token>) {
        self.tokens.insert(seat, token);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Takes the token out again: the grant was taken back.
    pub(super) fn withdraw(&self, seat: Seat) {
        self.tokens.invalidate(&seat);
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// Drops a token that has ended. Both creation and update set the time: with only the first, a
/// successor would be dropped at its predecessor's end.
struct Outer;

impl Outer {
    fn left(token: &Token) -> Option<Duration> {
        token
            .ends
            .map(|ends| ends.saturating_duration_since(Instant::now()))
    }
}

impl Expiry<Seat, Arc<Token>> for Outer {
    fn expire_after_create(
        &self,
        _: &Seat,
        token: &Arc<Token>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Self::left(token)
    }

    fn expire_after_update(
        &self,
        _: &Seat,
        token: &Arc<Token>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Self::left(token)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;

    fn token(generation: u64) -> Arc<Token> {
        Arc::new(Token {
            name: AUTHORIZATION,
            value: HeaderValue::from_static("Bearer a"),
            generation,
            obtained: Instant::now(),
            ends: None,
            renewable_from: Instant::now(),
            proven: false.into(),
        })
    }

    #[test]
    fn what_is_remembered_holds_until_anything_changes() {
        let (cache, memo) = (Cache::default(), Memo::default());
        let (seat, other) = (cache.seat(), cache.seat());
        let found = || Some(cache.token_by_memo(seat, &memo)?.generation);
        assert_eq!(found(), None);
        cache.put(seat, token(1));
        assert_eq!((found(), found()), (Some(1), Some(1)));
        cache.put(seat, token(2));
        assert_eq!(found(), Some(2));
        cache.put(other, token(9));
        assert_eq!(found(), Some(2));
        cache.withdraw(seat);
        assert_eq!(found(), None);
    }
}
