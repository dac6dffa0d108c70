//! Those who wait for a token: many are one request to the authorization server, the failure is
//! shared too, and nobody who goes away takes the refresh along.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bearward::config::{self, GrantName};
use bearward::drain::Tasks;
use bearward::grant::{Cache, Denied, Grant, Keeper, Metrics, Parts, Reason, Token};
use bearward::ready::Ready;
use bearward::{issuer, store};
use prometheus::Registry;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use crate::practice::{Api, ClientAuth, Gate, Issuer, Reply};
use crate::support::Sidecar;
use crate::support::client::{self, Connection};

/// As many as a busy service has in flight when its token ends.
const CROWD: usize = 10_000;

/// A grant of `issuer` whose access token is still to be fetched, kept in this process.
struct Kept {
    grant: Grant,
    tasks: Tasks,
    _home: TempDir,
}

impl Kept {
    async fn of(issuer: &Issuer) -> Self {
        let home = TempDir::new().unwrap();
        let seed = home.path().join("seed");
        std::fs::write(&seed, issuer.refresh_token()).unwrap();
        let settings: config::Grant = serde_json::from_value(json!({
            "client_id": issuer.client_id(),
            "client_auth": "none",
            "renew_floor": "0s",
            "token_endpoint": issuer.token_endpoint(),
            "seed": { "refresh_token": { "file": seed } },
            "store": { "file": { "path": home.path().join("store/crm.grant") } },
        }))
        .unwrap();
        let registry = Registry::new();
        let name: GrantName = "crm".parse().unwrap();
        let metrics = store::Metrics::register(&registry).unwrap();
        let parts = Parts {
            issuer: Arc::new(issuer::Issuer::new(&settings).unwrap()),
            store: store::open(&settings.store, &name, &metrics).await.unwrap(),
            holder: store::Holder::named("a test"),
            settings,
        };
        let metrics = Metrics::register(&registry).unwrap();
        let ready = Ready::default();
        let opened = Keeper::open(name, parts, Cache::default(), &metrics, &ready);
        let (keeper, grant) = opened.await.unwrap();
        let tasks = Tasks::default();
        tasks.spawn("keeper", keeper.run(tasks.clone()));
        Self {
            grant,
            tasks,
            _home: home,
        }
    }

    /// Sends `count` callers off; ends when all of them wait, or have their answer.
    async fn crowd(&self, count: usize) -> JoinSet<Result<Arc<Token>, Denied>> {
        let (mut crowd, there) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let deadline = Instant::now() + client::PATIENCE;
        for _ in 0..count {
            let (grant, there) = (self.grant.clone(), Arc::clone(&there));
            crowd.spawn(async move {
                there.fetch_add(1, Ordering::Relaxed);
                grant.token_by(deadline).await
            });
        }
        while there.load(Ordering::Relaxed) < count {
            yield_now().await;
        }
        crowd
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

async fn public_issuer() -> Issuer {
    let builder = Issuer::builder().client("legacy-crm", "", ClientAuth::None);
    builder.start().await
}

#[tokio::test]
async fn ten_thousand_are_one_token_request() {
    let (issuer, gate) = (public_issuer().await, Gate::closed());
    issuer.next(Reply::regular().hold(&gate));
    let kept = Kept::of(&issuer).await;
    let crowd = kept.crowd(CROWD).await;
    gate.reached_by(1).await;
    gate.open();
    let answers = crowd.join_all().await;
    assert_eq!(answers.len(), CROWD);
    let first = answers[0].as_ref().unwrap().generation;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().generation == first)
    );
    assert_eq!(issuer.requests().len(), 1);
}

#[tokio::test]
async fn a_failure_is_shared_and_then_remembered() {
    let (issuer, gate) = (public_issuer().await, Gate::closed());
    let busy = Reply::status(429).header("retry-after", "60");
    issuer.next(busy.hold(&gate));
    let kept = Kept::of(&issuer).await;
    let crowd = kept.crowd(CROWD).await;
    gate.reached_by(1).await;
    gate.open();
    let opened = Instant::now();
    for answer in crowd.join_all().await {
        let denied = answer.unwrap_err();
        assert_eq!(denied.reason, Reason::IssuerUnavailable);
        assert_eq!(denied.code, "http_429");
        assert!(denied.retry_after.unwrap() > Duration::from_secs(30));
    }
    // Within the back-off the next are told at once, without a further question.
    let denied = kept.crowd(CROWD).await.join_all().await;
    assert!(denied.iter().all(Result::is_err));
    assert!(
        opened.elapsed() < client::PATIENCE,
        "nobody sat out his time"
    );
    assert_eq!(issuer.requests().len(), 1);
}

#[tokio::test]
async fn a_rejected_call_waits_for_a_server_that_is_back_in_time() {
    let issuer = public_issuer().await;
    let kept = Kept::of(&issuer).await;
    let soon = || Instant::now() + client::PATIENCE;
    let first = kept.grant.token_by(soon()).await.unwrap();
    issuer.next(Reply::status(503).header("retry-after", "1"));
    let second = kept.grant.newer_than(&first, soon()).await.unwrap();
    assert!(second.generation > first.generation);
    assert_eq!(issuer.requests().len(), 3);
    // One that is not back before the call's end is not waited for.
    issuer.next(Reply::status(429).header("retry-after", "3600"));
    let asked = Instant::now();
    assert!(kept.grant.newer_than(&second, soon()).await.is_none());
    assert!(asked.elapsed() < client::PATIENCE);
}

#[tokio::test]
async fn one_who_hangs_up_cancels_nobodys_refresh() {
    let (issuer, gate) = (public_issuer().await, Gate::closed());
    issuer.next(Reply::regular().hold(&gate));
    let kept = Kept::of(&issuer).await;
    let mut first = kept.crowd(1).await;
    gate.reached_by(1).await;
    let others = kept.crowd(20).await;
    first.abort_all();
    assert!(first.join_next().await.unwrap().unwrap_err().is_cancelled());
    gate.open();
    assert!(others.join_all().await.iter().all(Result::is_ok));
    assert_eq!(issuer.requests().len(), 1);
    assert_eq!(issuer.refreshes(), 1);
}

#[tokio::test]
async fn two_hundred_connections_are_one_token_request() {
    let (issuer, gate) = (Issuer::start().await, Gate::closed());
    let api = Api::start(&issuer).await;
    issuer.next(Reply::regular().hold(&gate));
    let sidecar = Sidecar::between(&issuer, &api).start_unready().await;
    let mut crowd = JoinSet::new();
    for _ in 0..200 {
        let mut connection = sidecar.connect().await;
        crowd.spawn(async move { connection.get("/").await.unwrap().status });
    }
    gate.reached_by(1).await;
    all_wait(&sidecar, 200.0).await;
    assert!(
        api.requests().is_empty(),
        "nothing went out without a token"
    );
    gate.open();
    assert!(crowd.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(issuer.requests().len(), 1);
    assert_eq!(api.requests().len(), 200);
}

#[tokio::test]
async fn a_connection_that_closes_in_mid_wait_cancels_nobodys_refresh() {
    let (issuer, gate) = (Issuer::start().await, Gate::closed());
    let api = Api::start(&issuer).await;
    issuer.next(Reply::regular().hold(&gate));
    let sidecar = Sidecar::between(&issuer, &api).start_unready().await;
    let address = sidecar.proxy().clone();
    let mut hasty = Connection::http1(&address).await;
    let hasty = tokio::spawn(async move { hasty.get("/hasty").await.map(|answer| answer.status) });
    gate.reached_by(1).await;
    all_wait(&sidecar, 1.0).await;
    hasty.abort();
    assert!(hasty.await.unwrap_err().is_cancelled());
    all_wait(&sidecar, 0.0).await;
    gate.open();
    assert_eq!(sidecar.get("/patient").await.status, 200);
    assert_eq!(issuer.requests().len(), 1);
    assert_eq!(api.requests().len(), 1, "the one who left is not forwarded");
}

#[tokio::test]
async fn a_wait_has_its_end_and_the_refresh_goes_on() {
    let (issuer, gate) = (Issuer::start().await, Gate::closed());
    let api = Api::start(&issuer).await;
    issuer.next(Reply::regular().hold(&gate));
    let sidecar = Sidecar::between(&issuer, &api)
        .route("token_wait = '200ms'")
        .start_unready()
        .await;
    for _ in 0..3 {
        let answer = sidecar.get("/").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["error"], "token_timeout");
    }
    gate.open();
    sidecar.ready().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.requests().len(), 1);
}

/// Waits until so many requests are in flight.
async fn all_wait(sidecar: &Sidecar, count: f64) {
    let patience = Instant::now() + client::PATIENCE;
    loop {
        let flying = sidecar
            .metrics()
            .await
            .sum("bearward_requests_in_flight", &[]);
        if flying == count {
            return;
        }
        assert!(Instant::now() < patience, "{flying} of {count} wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
