//! The map of current access tokens.
//!
//! Moka is the map and an outer bound of lifetime. Whether a token lives is decided by our own
//! clock ([`Token::lives_at`]), and single-flight lives in the keeper: moka's own would start a
//! second refresh when the first caller goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
}

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
        let seats = Arc::default();
        Self { tokens, seats }
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

    /// Puts a token in; only the grant's keeper does, so an older one never follows a newer.
    pub(super) fn put(&self, seat: Seat, token: Arc<Token>) {
        self.tokens.insert(seat, token);
    }

    /// Takes the token out again: the grant was taken back.
    pub(super) fn withdraw(&self, seat: Seat) {
        self.tokens.invalidate(&seat);
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
