//! The task that owns one grant: feeds the state machine and does what it decides.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::asks::{Asks, Pending, Reply, Request};
use super::cache::Seat;
use super::chores::{Renewing, claim, load, look, release, save};
use super::event::{
    Decision, Event, Issued, Moment, Now, Reason, Refusal, Right, Settled, Standing,
};
use super::inject::Inject;
use super::metrics::GrantMetrics;
use super::parts::Parts;
use super::state::Machine;
use super::status::{RefusalStatus, Status};
use super::{Board, Cache, Denied, Grant, Metrics, Token};
use crate::config::GrantName;
use crate::drain::Tasks;
use crate::issuer::NotAfter;
use crate::oauth::Failure;
use crate::ready::{Blocker, Ready};
use crate::secret::Secret;
use crate::store::Store;
use crate::telemetry::chain;

/// How often the files are compared that a person may change: the seed, and the client's secret
/// while the server refuses it.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// The task that owns one grant.
pub struct Keeper {
    name: GrantName,
    machine: Machine,
    parts: Parts,
    inject: Inject,
    cache: Cache,
    seat: Seat,
    /// Closed after `parts` is dropped, so that whoever sees it closed finds the store free.
    board: watch::Sender<Board>,
    status: Arc<Mutex<Status>>,
    asks: Arc<Asks>,
    /// Who waits to hear what came of a request.
    reply: Option<Reply>,
    metrics: GrantMetrics,
    ready: Ready,
    blocker: Option<Blocker>,
    /// The zero of the machine's monotonic clock.
    start: Instant,
    work: Option<Work>,
    /// The hash of the client's secret as it was last used.
    secret: Option<String>,
    /// The hash of the seed as it was last seen.
    seed: Option<String>,
    watch_at: Instant,
}

/// The one piece of work under way, and the event it will tell.
type Work = Pin<Box<dyn Future<Output = Event> + Send>>;

impl Keeper {
    /// Reads the stored record and takes it up. A record that cannot be read is an error: it is
    /// never treated as empty. A shared store that is away is none: the grant is not ready yet.
    pub async fn open(
        name: GrantName,
        parts: Parts,
        cache: Cache,
        metrics: &Metrics,
        ready: &Ready,
    ) -> Result<(Self, Grant), crate::store::Error> {
        let machine = parts.machine().await?;
        let (board, reader) = watch::channel(Board::default());
        let asks = Arc::new(Asks::default());
        let status = Arc::new(Mutex::new(Status::of(
            &name,
            machine.record(),
            Timestamp::now(),
        )));
        let seat = cache.seat();
        let grant = Grant {
            name: name.clone(),
            cache: cache.clone(),
            seat,
            board: reader,
            status: Arc::clone(&status),
            asks: Arc::clone(&asks),
        };
        let keeper = Self {
            inject: Inject::new(&parts.settings.inject),
            metrics: metrics.of(&name),
            blocker: Some(ready.block(format!("grant {name}"))),
            ready: ready.clone(),
            start: Instant::now(),
            work: None,
            secret: None,
            seed: None,
            watch_at: Instant::now() + WATCH_INTERVAL,
            name,
            machine,
            parts,
            cache,
            seat,
            board,
            status,
            asks,
            reply: None,
        };
        Ok((keeper, grant))
    }

    /// Keeps the grant until stopping is asked for, and then until nothing is under way and the
    /// record is saved. Not cancel-safe: dropped in the middle, an answer may be lost.
    pub async fn run(mut self, tasks: Tasks) {
        let seed = self.begin_with();
        self.seed = seed.as_ref().map(Secret::hash);
        let now = self.now();
        let decisions = self.machine.begin(seed, now);
        self.follow(decisions);
        while let Some(event) = self.next(&tasks).await {
            let now = self.now();
            let decisions = self.machine.on(event, now);
            self.follow(decisions);
        }
        let decisions = self.machine.flush();
        self.follow(decisions);
        while let Some(work) = self.work.take() {
            let event = work.await;
            let now = self.now();
            let decisions = self.machine.on(event, now);
            self.follow(decisions);
            if self.machine.resting() {
                break;
            }
        }
        self.metrics.forget();
    }

    /// Waits for the next event; nothing when the keeper is to end and no work is under way.
    async fn next(&mut self, tasks: &Tasks) -> Option<Event> {
        loop {
            let ends = self.ends();
            if let Some(work) = &mut self.work {
                tokio::select! {
                    event = work.as_mut() => {
                        self.work = None;
                        return Some(event);
                    }
                    // A server or a disk that does not answer keeps no dead token ready.
                    () = sleep_until(ends.unwrap_or_else(Instant::now)), if ends.is_some() => self.tell(),
                }
                continue;
            }
            let tick = self.machine.wakes_at().map(|at| self.start + at);
            let wake = tick.into_iter().chain(ends).min();
            tokio::select! {
                () = tasks.stopped() => return None,
                () = self.asks.called() => {}
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => return Some(Event::Tick),
                () = sleep_until(self.watch_at) => {
                    self.watch_at = Instant::now() + WATCH_INTERVAL;
                    if let Some(event) = self.changed() {
                        return Some(event);
                    }
                }
            }
            let asked = self.asks.take();
            if asked.retire {
                return None;
            }
            if let Some(event) = self.heard(asked) {
                return Some(event);
            }
        }
    }

    /// The end of the token in use, at which readiness changes.
    fn ends(&self) -> Option<Instant> {
        let token = self.board.borrow().token.clone();
        let ends = token.and_then(|token| token.ends);
        ends.filter(|ends| *ends > Instant::now())
    }

    /// What follows from what was asked since the last look.
    fn heard(&mut self, asked: Pending) -> Option<Event> {
        if let Some(parts) = asked.parts {
            self.machine.reconfigure(parts.settings());
            self.inject = Inject::new(&parts.settings.inject);
            self.parts = *parts;
            self.tell();
        }
        if let Some((request, reply)) = asked.request {
            self.reply = Some(reply);
            return Some(match request {
                Request::Import(record) => Event::Imported(record, self.seed.clone()),
                Request::Disown(means) => Event::Disowned(means),
            });
        }
        match asked.rejected {
            _ if asked.demanded => Some(Event::Demanded),
            Some((generation, standing)) => Some(Event::Rejected(generation, standing)),
            None => asked.wanted.then_some(Event::Wanted),
        }
    }

    fn follow(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            self.obey(decision);
        }
        self.tell();
    }

    fn obey(&mut self, decision: Decision) {
        match decision {
            Decision::Load => self.begin(load(self.store())),
            Decision::Look(known) => self.begin(look(self.store(), known)),
            Decision::Save(record, if_generation) => {
                self.begin(save(self.store(), record, if_generation));
            }
            Decision::Claim(ttl) => {
                self.begin(claim(self.store(), self.parts.holder.clone(), ttl));
            }
            Decision::Release(lease) => self.begin(release(self.store(), lease)),
            Decision::Refresh(refresh_token, right) => self.refresh(refresh_token, right),
            Decision::Revoke(refresh_token, access_token) => {
                self.revoke(refresh_token, access_token);
            }
            Decision::Publish(issued) => self.publish(&issued),
            Decision::Withdraw => self.withdraw(),
            Decision::Settle(settled) => self.settle(settled),
            Decision::Refuse(refusal) => self.deny(refusal),
            Decision::Relent => self.board.send_modify(|board| board.denied = None),
            Decision::Notice(notice) => self.metrics.notice(&notice),
        }
    }

    fn begin(&mut self, work: impl Future<Output = Event> + Send + 'static) {
        self.work = Some(Box::pin(work));
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.parts.store)
    }

    fn refresh(&mut self, refresh_token: Secret<String>, right: Option<Right>) {
        let issuer = Arc::clone(&self.parts.issuer);
        let duration = self.metrics.refresh_duration.clone();
        let not_after = right.as_ref().map(|right| NotAfter {
            mono: self.start + right.not_after.mono,
            wall: right.not_after.wall,
        });
        let renewing = right.map(|right| Renewing {
            store: self.store(),
            lease: right.lease,
            lost: self.metrics.turns.lost.clone(),
        });
        self.secret = issuer.secret_hash();
        self.begin(async move {
            let timer = Instant::now();
            let call = issuer.refresh(&refresh_token, not_after);
            let attempt = match renewing {
                Some(renewing) => renewing.beside(call).await,
                None => call.await,
            };
            duration.observe(timer.elapsed().as_secs_f64());
            Event::Answered(attempt.answer, attempt.sent_at)
        });
    }

    fn revoke(&mut self, refresh_token: Secret<String>, access_token: Option<Secret<String>>) {
        let (issuer, grant) = (Arc::clone(&self.parts.issuer), self.name.clone());
        self.begin(async move {
            let revoked = issuer.revoke(&refresh_token, access_token.as_ref()).await;
            Event::Revoked(revoked.map_err(|error| {
                tracing::warn!(%grant, error = %chain(&error), "the grant is not revoked");
                Failure::from(&error)
            }))
        });
    }

    fn withdraw(&self) {
        self.cache.withdraw(self.seat);
        self.board.send_modify(|board| board.token = None);
    }

    /// Tells who asked; nobody may listen any more.
    fn settle(&mut self, settled: Result<Settled, Refusal>) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let now = self.moment(Instant::now());
        let _ = reply.send(settled.map_err(|refusal| {
            let wait = refusal.until.checked_sub(now);
            Denied {
                retry_after: wait.filter(|wait| !wait.is_zero()),
                ..Denied::from(refusal)
            }
        }));
    }

    fn publish(&mut self, issued: &Issued) {
        let Some(value) = self.inject.value(&issued.value) else {
            tracing::error!(grant = %self.name, "access token holds characters that a header cannot carry");
            return;
        };
        let before = self.board.borrow().token.clone();
        let same = before.filter(|token| token.generation == issued.generation);
        let proven = same.is_some_and(|token| token.standing() == Standing::Proven);
        let token = Arc::new(Token {
            name: self.inject.name.clone(),
            value,
            generation: issued.generation,
            obtained: self.start + issued.obtained,
            ends: issued.ends.map(|ends| self.start + ends),
            renewable_from: self.start + issued.renewable_from,
            proven: proven.into(),
        });
        self.cache.put(self.seat, Arc::clone(&token));
        self.board.send_modify(|board| {
            board.token = Some(token);
            board.denied = None;
        });
    }

    fn deny(&self, refusal: Refusal) {
        let until = self.start + refusal.until;
        let denied = Denied::from(refusal);
        self.board
            .send_modify(|board| board.denied = Some((denied, until)));
    }

    /// Puts status, gauges and readiness in line with the machine.
    fn tell(&mut self) {
        let mut status = Status::of(&self.name, self.machine.record(), Timestamp::now());
        status.refresh_token_expires_at = self.machine.refresh_token_ends();
        status.refresh_token_lives_from = self.machine.refresh_token_lives_from();
        status.unsaved = self.machine.unsaved();
        status.lease_holder = self.machine.lease_holder().map(str::to_owned);
        let (trouble, now) = (self.machine.trouble(), self.moment(Instant::now()));
        status.refusal = trouble.map(|refusal| RefusalStatus::of(&refusal, now));
        self.metrics.show(&status);
        let token = self.board.borrow().token.clone();
        let lives = token.is_some_and(|token| token.lives_at(Instant::now()));
        let well = lives && !self.machine.unsaved();
        match (well, self.blocker.is_some()) {
            (true, true) => self.blocker = None,
            (false, false) => self.blocker = Some(self.ready.block(format!("grant {}", self.name))),
            _ => {}
        }
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The seed that the process starts with.
    fn begin_with(&self) -> Option<Secret<String>> {
        let seed = self.parts.settings.seed.as_ref()?;
        match seed.refresh_token.read() {
            Ok(secret) => Some(secret),
            Err(error) => {
                tracing::warn!(grant = %self.name, %error, "seed cannot be read");
                None
            }
        }
    }

    /// What a person has changed since the last look.
    fn changed(&mut self) -> Option<Event> {
        if let Some(seed) = self.parts.settings.seed.as_ref()
            && let Ok(seed) = seed.refresh_token.read()
        {
            let hash = Some(seed.hash());
            if self.seed != hash {
                self.seed = hash;
                return Some(Event::SeedChanged(seed));
            }
        }
        let refused = self.machine.refusal().map(|refusal| refusal.reason);
        let watched = matches!(refused, Some(Reason::ClientRefused | Reason::GrantDead));
        (watched && self.parts.issuer.secret_hash() != self.secret).then_some(Event::SecretChanged)
    }

    fn now(&self) -> Now {
        Now {
            wall: Timestamp::now(),
            mono: self.moment(Instant::now()),
        }
    }

    fn moment(&self, instant: Instant) -> Moment {
        instant.saturating_duration_since(self.start)
    }
}
