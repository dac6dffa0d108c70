//! Killed at random moments, under traffic, against a certified server that detects reuse.
//!
//! One moment cannot be survived by any client: after the server has spent the refresh token and
//! before the new one is durable here. The stored intent tells that moment from all others.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::practice::{Api, Gate, Issuer, Reply};
use crate::support::oidc::{Options, Registered};
use crate::support::{Event, OidcProvider, Sidecar};

const KILLS: usize = 50;

/// How long the grant may take to show that it lives, or that it does not.
const PATIENCE: Duration = Duration::from_secs(15);

/// What became of the grant over a kill.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Alive,
    Lost,
}

/// Calls until the API answers, or until the server has refused the refresh token.
async fn fate(sidecar: &Sidecar) -> Fate {
    let began = Instant::now();
    loop {
        if sidecar.get("/").await.status == 200 {
            return Fate::Alive;
        }
        let state = sidecar.status().await["grants"][0]["state"].clone();
        if state != "live" {
            return Fate::Lost;
        }
        assert!(began.elapsed() < PATIENCE, "neither alive nor dead");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Calls for a while; false as soon as a call is not answered by the API.
async fn serves(sidecar: &Sidecar, time: Duration) -> bool {
    let mut connection = sidecar.connect().await;
    let began = Instant::now();
    while began.elapsed() < time {
        if connection.get("/").await.unwrap().status != 200 {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn fifty_kills_lose_no_grant_that_could_be_kept() {
    let client = Registered::confidential("legacy-crm");
    let provider = OidcProvider::start(Options {
        access_token_lifetime: 2,
        clients: vec![client.clone()],
        ..Options::default()
    })
    .await;
    let first = provider.consent(&client).await;
    let trust = provider.introspection(&client);
    let api = Api::builder().taking(trust).start().await;
    let mut sidecar = Sidecar::builder()
        .provider(&provider, &client, &first)
        .upstream(api.url())
        .grant("renew_floor = '0s'")
        .start()
        .await;
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut lost = 0;
    for kill in 0..KILLS {
        // A grant that was lost serves its last access token to the end, and is noticed then.
        if serves(&sidecar, Duration::from_millis(dice.u64(20..900))).await {
            sidecar.crash().await;
            sidecar.start_again_unready().await;
        }
        if fate(&sidecar).await == Fate::Alive {
            continue;
        }
        // Only a refresh without a known end explains it, and the log of this start says so.
        let explained = |event: &Event| event.message.contains("may be spent");
        assert!(
            sidecar.logs().iter().any(explained),
            "kill {kill} of seed {seed} lost the grant without an open intent"
        );
        lost += 1;
        sidecar.crash().await;
        let fresh = provider.consent(&client).await;
        let imported = sidecar.command(&["import", "crm"], &fresh).await;
        assert_eq!(imported.code, Some(0), "{}", imported.stderr);
        sidecar.start_again().await;
    }
    assert_eq!(fate(&sidecar).await, Fate::Alive);
    // The server saw a spent token only where the loss was unavoidable.
    assert_eq!(provider.events("grant.revoked").len(), lost);
    assert!(lost <= KILLS / 5, "{lost} of {KILLS} kills hit that moment");
    eprintln!("{lost} of {KILLS} kills fell between the server's commit and our fsync");
}

#[tokio::test]
async fn an_answer_that_came_while_the_process_slept_is_kept() {
    let (issuer, gate) = (Issuer::start().await, Gate::closed());
    let api = Api::start(&issuer).await;
    issuer.next(Reply::regular().hold(&gate));
    let plan = Sidecar::between(&issuer, &api).grant("token_timeout = '2s'");
    let mut sidecar = plan.start_unready().await;
    gate.reached_by(1).await;
    sidecar.signal(Signal::Stop);
    gate.open();
    sleep(Duration::from_secs(3)).await;
    sidecar.signal(Signal::Cont);
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.requests().len(), 1, "nothing was in doubt");
}
