//! Five replicas on one grant in Redis, for two minutes, while everything goes wrong.
//!
//! The server rotates, detects reuse and gives no window. So one moment cannot be survived by any
//! client: the server has spent the refresh token, and whoever asked is killed or stopped before
//! the new one is stored. The stored intent tells that moment from all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::practice::{Api, Journal};
use crate::support::client::{Address, Connection};
use crate::support::oidc::{Options, Registered};
use crate::support::redis::Redis;
use crate::support::settings::quoted;
use crate::support::{Event, OidcProvider, Sidecar, SidecarBuilder};

const REPLICAS: usize = 5;

/// How long all of it lasts.
const LASTS: Duration = Duration::from_secs(120);

/// How long one process is watched alone, to have something to compare with.
const ALONE: Duration = Duration::from_secs(15);

/// How long a lease is: the token call's deadline and what is added for the store.
const LEASE: Duration = Duration::from_secs(7);

/// Seconds that an access token lives.
const LIFETIME: u32 = 2;

struct World {
    provider: OidcProvider,
    client: Registered,
    api: Api,
    redis: Redis,
}

impl World {
    async fn begin() -> Self {
        let client = Registered::confidential("legacy-crm");
        let provider = OidcProvider::start(Options {
            access_token_lifetime: LIFETIME,
            clients: vec![client.clone()],
            ..Options::default()
        })
        .await;
        let api = Api::builder()
            .taking(provider.introspection(&client))
            .start()
            .await;
        Self {
            api,
            redis: Redis::start().await,
            provider,
            client,
        }
    }

    /// One replica's configuration: all are the same.
    fn plan(&self) -> SidecarBuilder {
        let store = format!(
            "redis = {{ url = {}, key = \"none\", timeout = \"3s\" }}",
            quoted(self.redis.url())
        );
        Sidecar::builder()
            .client(
                self.provider.url(),
                &self.client.id,
                self.client.secret.as_deref(),
            )
            .watch(self.provider.secrets())
            .upstream(self.api.url())
            .grant("token_timeout = \"2s\"\nrenew_floor = \"0s\"")
            // A lease whose holder was killed, a store that is away and a stop may follow each other.
            .route("token_wait = \"30s\"")
            .kept_in(&store)
    }

    /// A person logs in, and the grant is put into the store from outside.
    async fn log_in(&self) {
        let fresh = self.provider.consent(&self.client).await;
        let imported = self.plan().command(&["import", "crm"], &fresh).await;
        assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    }

    fn refreshes(&self) -> usize {
        let granted = self.provider.events("grant.success");
        let is_refresh = |event: &&serde_json::Value| event["grant_type"] == "refresh_token";
        granted.iter().filter(is_refresh).count()
    }

    fn revocations(&self) -> usize {
        self.provider.events("grant.revoked").len()
    }
}

/// What befalls the replicas, or what they share.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    Stop,
    RestartRedis,
    PauseRedis,
}

const TROUBLES: [Trouble; 5] = [
    Trouble::Kill,
    Trouble::Kill,
    Trouble::Stop,
    Trouble::RestartRedis,
    Trouble::PauseRedis,
];

/// The callers of one replica: what failed, beside calls to a process that was killed.
#[derive(Clone, Default)]
struct Calls {
    made: Arc<AtomicUsize>,
    failed: Journal<(Timestamp, String)>,
    /// The process is about to be killed or stopped, or starts again or goes on.
    excused: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

/// Calls until it is told to stop. A call that the process is killed or stopped under is excused:
/// of a refresh that it was stopped under, it believes on waking that it took too long.
async fn call(address: Address, calls: Calls) {
    while !calls.stop.load(Ordering::Relaxed) {
        if calls.excused.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5)).await;
            continue;
        }
        let mut connection = Connection::http1(&address).await;
        loop {
            let answer = connection.get("/orders").await;
            if calls.excused.load(Ordering::Relaxed) || calls.stop.load(Ordering::Relaxed) {
                break;
            }
            calls.made.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok(answer) if answer.status == 200 => sleep(Duration::from_millis(20)).await,
                Ok(answer) => {
                    let said = format!("{} {}", answer.status, answer.text());
                    calls.failed.push((Timestamp::now(), said));
                    sleep(Duration::from_millis(100)).await;
                }
                Err(_) => break,
            }
        }
    }
}

/// A replica and its callers.
struct Replica {
    sidecar: Sidecar,
    calls: Calls,
    callers: JoinSet<()>,
}

impl Replica {
    async fn start(plan: SidecarBuilder) -> Self {
        let mut replica = Self {
            sidecar: plan.start().await,
            calls: Calls::default(),
            callers: JoinSet::new(),
        };
        replica.be_called();
        replica
    }

    fn be_called(&mut self) {
        for _ in 0..2 {
            let address = self.sidecar.proxy().clone();
            self.callers.spawn(call(address, self.calls.clone()));
        }
    }

    /// Kills the process and starts another, as an orchestrator would.
    async fn be_killed(&mut self) {
        self.calls.excused.store(true, Ordering::Relaxed);
        self.sidecar.crash().await;
        self.callers.shutdown().await;
        self.sidecar.start_again_unready().await;
        self.calls.excused.store(false, Ordering::Relaxed);
        self.be_called();
    }

    /// True if its log says that the refresh token may have been spent.
    fn tells_of_doubt(&self) -> bool {
        let doubt = |event: &Event| event.message.contains("may be spent");
        self.sidecar.logs().iter().any(doubt)
    }

    /// What it said around each call that failed, beside the lines about calls.
    fn explain(&self) {
        for (when, said) in self.calls.failed.all() {
            eprintln!("{when} a call of {} failed: {said}", self.sidecar.id());
            let around = |event: &Event| {
                let at: Option<Timestamp> = event.field("timestamp").parse().ok();
                let apart = at.map_or(SignedDuration::MAX, |at| when.duration_since(at).abs());
                let is_call = event.message == "request" && event.field("status") == "200";
                apart < SignedDuration::from_secs(4) && !is_call
            };
            for event in self.sidecar.logs().iter().filter(|event| around(event)) {
                eprintln!("  {}", serde_json::to_string(&event.fields).unwrap());
            }
        }
    }

    async fn end(mut self) {
        self.calls.stop.store(true, Ordering::Relaxed);
        self.callers.shutdown().await;
        self.sidecar.stop().await;
    }
}

/// One process alone: refreshes per second.
async fn alone(world: &World) -> f64 {
    let replica = Replica::start(world.plan()).await;
    let (before, began) = (world.refreshes(), Instant::now());
    sleep(ALONE).await;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let refreshes = (world.refreshes() - before) as f64;
    let rate = refreshes / began.elapsed().as_secs_f64();
    replica.end().await;
    rate
}

#[tokio::test]
async fn five_replicas_live_through_two_bad_minutes_on_one_grant() {
    let mut world = World::begin().await;
    world.log_in().await;
    let rate = alone(&world).await;
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start(world.plan()).await);
    }
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);
    let (before, began) = (world.refreshes(), Instant::now());
    let (mut lost, mut failed) = (0, 0);
    while began.elapsed() < LASTS {
        sleep(Duration::from_millis(dice.u64(500..3_000))).await;
        let trouble = dice.choice(TROUBLES).unwrap();
        eprintln!("{} {trouble:?}", Timestamp::now());
        befall(trouble, &mut world, &mut replicas, &mut dice).await;
        if world.revocations() > lost {
            lost += 1;
            begin_anew(&world, &replicas, seed).await;
            failed = failures(&replicas);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let refreshes = (world.refreshes() - before) as f64;
    let expected = rate * began.elapsed().as_secs_f64();
    // Long enough for a token that was spent by a killed process to be sent again.
    sleep(LEASE + Duration::from_secs(3)).await;
    if world.revocations() > lost {
        lost += 1;
        begin_anew(&world, &replicas, seed).await;
        failed = failures(&replicas);
    }
    for replica in &replicas {
        assert_eq!(
            replica.sidecar.get("/orders").await.status,
            200,
            "seed {seed}"
        );
    }
    let made: usize = replicas
        .iter()
        .map(|it| it.calls.made.load(Ordering::Relaxed))
        .sum();
    eprintln!(
        "{made} calls, {} failed; {refreshes} refreshes against {expected:.0} of one process; {lost} grants lost",
        failures(&replicas)
    );
    if failures(&replicas) > failed {
        replicas.iter().for_each(Replica::explain);
    }
    assert_eq!(failures(&replicas), failed, "seed {seed}");
    assert!(
        refreshes <= 1.2 * expected,
        "seed {seed}: {refreshes} refreshes, {expected:.0} alone"
    );
    assert_eq!(world.revocations(), lost, "seed {seed}");
    for replica in replicas {
        replica.end().await;
    }
}

/// The grant is lost: only a refresh without a known end explains it, and a log says so.
async fn begin_anew(world: &World, replicas: &[Replica], seed: u64) {
    let told = replicas.iter().any(Replica::tells_of_doubt);
    assert!(
        told,
        "seed {seed}: the grant is lost without an open intent"
    );
    world.log_in().await;
    sleep(Duration::from_secs(8)).await;
}

fn failures(replicas: &[Replica]) -> usize {
    replicas.iter().map(|it| it.calls.failed.len()).sum()
}

async fn befall(
    trouble: Trouble,
    world: &mut World,
    replicas: &mut [Replica],
    dice: &mut fastrand::Rng,
) {
    let place = dice.usize(..replicas.len());
    match trouble {
        Trouble::Kill => replicas[place].be_killed().await,
        Trouble::Stop => {
            let replica = &mut replicas[place];
            replica.calls.excused.store(true, Ordering::Relaxed);
            replica.sidecar.signal(Signal::Stop);
            // Longer than any lease.
            sleep(LEASE + Duration::from_secs(2)).await;
            replica.sidecar.signal(Signal::Cont);
            sleep(Duration::from_secs(1)).await;
            replica.calls.excused.store(false, Ordering::Relaxed);
        }
        Trouble::RestartRedis => world.redis.restart().await,
        Trouble::PauseRedis => {
            world.redis.pause();
            sleep(Duration::from_millis(dice.u64(200..2_500))).await;
            world.redis.go_on();
        }
    }
}
