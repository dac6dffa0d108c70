//! Keeps a grant alive: the office that owns the refresh token and hands out access tokens.
//!
//! Data flows so: requests ask a [`Grant`] (a handle, cheap to clone) for a [`Token`]; a hit is
//! one lookup in the [`cache`] and no await. Behind it one [`Keeper`] task per grant feeds the
//! pure [`state`] machine with events and does what it decides: load, save, refresh, publish.
//!
//! What always holds:
//! - One refresh at a time per grant; waiters share its result, the failure too.
//! - The keeper belongs to nobody's request: a caller that goes away cancels nothing.
//! - A handle can ask for a token and never sees the refresh token.

mod asks;
mod cache;
mod chores;
mod durable;
mod ending;
mod errand;
pub mod event;
mod families;
mod inject;
mod keeper;
mod lease;
mod metrics;
mod outcome;
mod parts;
mod publish;
mod schedule;
mod spend;
pub mod state;
mod status;

mod timing;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::GrantName;
use crate::store::Record;

pub use cache::{Cache, Memo};
pub use event::{Farewell, Means, Reason, Standing};
pub use keeper::Keeper;
pub use metrics::Metrics;
pub use parts::Parts;
pub use status::Status;

use asks::{Ask, Asks, Request};
use cache::Seat;
use event::Settled;

/// A handle to one grant: asks for its access token.
#[derive(Clone, Debug)]
pub struct Grant {
    name: GrantName,
    cache: Cache,
    seat: Seat,
    board: watch::Receiver<Board>,
    status: Arc<Mutex<Status>>,
    asks: Arc<Asks>,
}

/// What the keeper tells everybody who waits.
#[derive(Clone, Debug, Default)]
struct Board {
    token: Option<Arc<Token>>,
    denied: Option<(Denied, Instant)>,
}

/// An access token, ready to be put on a call.
#[derive(Debug)]
pub struct Token {
    /// The header field that carries it.
    pub name: HeaderName,
    /// The whole value, scheme included; marked sensitive.
    pub value: HeaderValue,
    /// Grows with every new token of the grant.
    pub generation: u64,
    obtained: Instant,
    ends: Option<Instant>,
    renewable_from: Instant,
    proven: AtomicBool,
}

impl Token {
    /// True while it has not ended.
    pub fn lives_at(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }

    /// True if it was asked for only then or later, by whomever.
    pub fn obtained_since(&self, moment: Instant) -> bool {
        self.obtained >= moment
    }

    /// Notes that an upstream accepted it.
    pub fn accepted(&self) {
        // Read first: writing each time would make a cache line wander between workers.
        if !self.proven.load(Ordering::Relaxed) {
            self.proven.store(true, Ordering::Relaxed);
        }
    }

    /// What is asked of the keeper when an upstream refused it.
    fn refused(&self) -> Ask {
        Ask::Another(self.generation, self.standing())
    }

    fn standing(&self) -> Standing {
        if self.proven.load(Ordering::Relaxed) {
            Standing::Proven
        } else {
            Standing::Unproven
        }
    }
}

/// No access token could be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The server's error code, or our own word for what went wrong; never a secret.
    pub code: String,
    /// When asking again may help.
    pub retry_after: Option<Duration>,
}

impl From<event::Refusal> for Denied {
    /// The refusal without its moment, which is of the keeper's clock.
    fn from(refusal: event::Refusal) -> Self {
        Self {
            reason: refusal.reason,
            code: refusal.code,
            retry_after: None,
        }
    }
}

/// What came of an import: the grant is stored, durably.
#[derive(Clone, Debug)]
pub enum Imported {
    /// It serves: an access token came with it, or a refresh brought one.
    Serves(Arc<Token>),
    /// It is kept, but no access token of it can be had, or not yet.
    Kept(Denied),
}

impl Denied {
    /// Whether what stands in the way may pass before `deadline`, so that whoever asks waits for
    /// it and is told only if it stays: a store across a network restarts, a connection breaks.
    ///
    /// So may an authorization server's trouble, but only for a call that was rejected: without
    /// a token its refusal says more than the wait, and with one the rejection would say less.
    fn may_pass(&self, ask: Ask, deadline: Instant) -> bool {
        let passing = match self.reason {
            Reason::StoreUnavailable => true,
            Reason::IssuerUnavailable => matches!(ask, Ask::Another(..)),
            _ => false,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        passing && self.retry_after.is_some_and(|wait| wait < left)
    }
}

impl Grant {
    /// The name in the configuration.
    pub fn name(&self) -> &GrantName {
        &self.name
    }

    /// The current access token if it lives: the way of nearly every request. `memo` is one
    /// worker's, for this grant alone.
    pub fn token(&self, memo: &Memo, now: Instant) -> Option<Arc<Token>> {
        self.cache
            .token_by_memo(self.seat, memo)
            .filter(|token| token.lives_at(now))
    }

    fn current(&self, now: Instant) -> Option<Arc<Token>> {
        self.cache
            .token(self.seat)
            .filter(|token| token.lives_at(now))
    }

    /// The current access token, waited for until `deadline` if need be. Cancel-safe: a caller
    /// that goes away cancels nobody's refresh.
    pub async fn token_by(&self, deadline: Instant) -> Result<Arc<Token>, Denied> {
        match self.current(Instant::now()) {
            Some(token) => Ok(token),
            None => self.wait(deadline, None, Ask::Token).await,
        }
    }

    /// A token newer than `rejected`, which an upstream refused.
    ///
    /// Nothing when there is none to be had: the rejected token is too young to be the trouble,
    /// was already renewed for a rejection in vain, or the refresh failed. Then the upstream's
    /// answer is passed on.
    pub async fn newer_than(&self, rejected: &Token, deadline: Instant) -> Option<Arc<Token>> {
        let now = Instant::now();
        let newer = |token: &Arc<Token>| token.generation > rejected.generation;
        if let Some(token) = self.current(now).filter(newer) {
            return Some(token);
        }
        if now < rejected.renewable_from {
            return None;
        }
        let floor = Some(rejected.generation);
        self.wait(deadline, floor, rejected.refused()).await.ok()
    }

    /// A token newer than the current one, because an operator wants it now. A back-off that is
    /// in force is not overruled.
    pub async fn refresh_by(&self, deadline: Instant) -> Result<Arc<Token>, Denied> {
        let current = self
            .board
            .borrow()
            .token
            .as_ref()
            .map(|token| token.generation);
        self.wait(deadline, current, Ask::Refresh).await
    }

    /// Puts another grant in, which begins a new chain in place of the one that is kept. Its
    /// access token, where it has one that lives, is served without asking the server.
    ///
    /// An error says that it is not stored; after [`Reason::TokenTimeout`], and where the store
    /// fails, it may yet be. Cancel-safe: the keeper goes on with what it has taken on.
    pub async fn import_by(&self, record: Record, deadline: Instant) -> Result<Imported, Denied> {
        let request = Request::Import(Box::new(record));
        let Settled::Imported(begun) = self.request_by(request, deadline).await? else {
            return Err(denied(Reason::TokenTimeout, "superseded"));
        };
        // A token of the chain before has a lower generation, also one that came meanwhile, and
        // what was refused to that chain is refused no more.
        let floor = begun.checked_sub(1);
        Ok(match self.wait(deadline, floor, Ask::Token).await {
            Ok(token) => Imported::Serves(token),
            Err(denied) => Imported::Kept(denied),
        })
    }

    /// Takes the grant back: at the server or here alone, and leaves a tombstone in the store.
    /// Nothing of it is served any more.
    ///
    /// Where the server does not revoke it, the grant stays as it is. Cancel-safe: the keeper
    /// goes on with what it has taken on.
    pub async fn revoke_by(&self, means: Means, deadline: Instant) -> Result<Farewell, Denied> {
        match self.request_by(Request::Disown(means), deadline).await? {
            Settled::Revoked(farewell) => Ok(farewell),
            Settled::Imported(_) => Err(denied(Reason::TokenTimeout, "superseded")),
        }
    }

    async fn request_by(&self, request: Request, deadline: Instant) -> Result<Settled, Denied> {
        let settled = self.asks.request(request);
        let heard = async {
            tokio::select! {
                biased;
                settled = settled => settled.unwrap_or_else(|_| {
                    let code = if self.has_ended() { "stopping" } else { "superseded" };
                    Err(denied(Reason::TokenTimeout, code))
                }),
                () = self.ended() => Err(denied(Reason::TokenTimeout, "stopping")),
            }
        };
        let heard = timeout_at(deadline, heard).await;
        heard.unwrap_or_else(|_| Err(denied(Reason::TokenTimeout, "still_waiting")))
    }

    /// Tells that an upstream refused `rejected`, without waiting for what follows.
    pub fn report(&self, rejected: &Token) {
        if Instant::now() >= rejected.renewable_from {
            self.asks.ask(rejected.refused());
        }
    }

    /// Gives the keeper other parts; it takes them when nothing is under way, and goes on.
    pub fn reconfigure(&self, parts: Parts) {
        self.asks.reconfigure(parts);
    }

    /// Ends the keeper once nothing is under way: the grant is no longer configured.
    pub fn retire(&self) {
        self.asks.retire();
    }

    /// Ends when the keeper has ended and let go of its store. Cancel-safe.
    pub async fn ended(&self) {
        let mut board = self.board.clone();
        while board.changed().await.is_ok() {}
    }

    /// True once the keeper has ended.
    pub fn has_ended(&self) -> bool {
        self.board.has_changed().is_err()
    }

    /// What the keeper knows, for people.
    pub fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn wait(
        &self,
        deadline: Instant,
        floor: Option<u64>,
        ask: Ask,
    ) -> Result<Arc<Token>, Denied> {
        let found = timeout_at(deadline, self.watch(floor, ask, deadline)).await;
        // What stood in the way at the end says more than that time was up.
        let told = || answer(&self.board.borrow(), floor);
        found
            .ok()
            .or_else(told)
            .unwrap_or_else(|| Err(denied(Reason::TokenTimeout, "still_waiting")))
    }

    /// Asks the keeper and reads the board until it says something that stays so.
    async fn watch(
        &self,
        floor: Option<u64>,
        ask: Ask,
        deadline: Instant,
    ) -> Result<Arc<Token>, Denied> {
        let mut board = self.board.clone();
        loop {
            let found = answer(&board.borrow_and_update(), floor);
            let pause = match found {
                Some(Err(denied)) if denied.may_pass(ask, deadline) => denied.retry_after,
                Some(found) => return found,
                None => {
                    self.asks.ask(ask);
                    None
                }
            };
            let told = timeout(pause.unwrap_or(Duration::MAX), board.changed()).await;
            if matches!(told, Ok(Err(_))) {
                return Err(denied(Reason::TokenTimeout, "stopping"));
            }
        }
    }
}

/// What the board says to somebody who needs a token newer than generation `floor`; nothing: wait.
fn answer(board: &Board, floor: Option<u64>) -> Option<Result<Arc<Token>, Denied>> {
    let now = Instant::now();
    let token = board.token.as_ref().filter(|token| token.lives_at(now));
    if let Some(token) = token.filter(|token| Some(token.generation) > floor) {
        return Some(Ok(Arc::clone(token)));
    }
    let (denied, until) = board.denied.as_ref().filter(|(_, until)| now < *until)?;
    Some(Err(Denied {
        retry_after: Some(*until - now),
        ..denied.clone()
    }))
}

fn denied(reason: Reason, code: &str) -> Denied {
    Denied {
        reason,
        code: code.to_owned(),
        retry_after: None,
    }
}
