//! Grants that a person puts in whole, and takes back again.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::practice::{Api, Issuer};
use crate::support::client::{self, Answer, request};
use crate::support::oidc::{Options, Registered};
use crate::support::settings::quoted;
use crate::support::{Exit, OidcProvider, Sidecar, SidecarBuilder};

/// The same sidecar with an admin side that commands find by the configuration.
fn reachable(plan: SidecarBuilder, actions: &str) -> SidecarBuilder {
    let socket = quoted(format!("unix:{}", plan.home().join("admin").display()));
    plan.config(&format!("[admin]\nlisten = {socket}\nactions = {actions}"))
}

/// What a call gets that must not be forwarded.
fn assert_revoked(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    let told = answer.json();
    assert_eq!(
        (&told["error"], &told["code"]),
        (&json!("no_grant"), &json!("revoked"))
    );
}

fn assert_done(exit: &Exit, says: &str) {
    let told = (exit.code, exit.stderr.as_str());
    assert_eq!(told, (Some(0), ""), "{}", exit.stdout);
    assert!(exit.stdout.contains(says), "{}", exit.stdout);
}

fn assert_failed(exit: &Exit, says: &[&str]) {
    assert_eq!(
        (exit.code, exit.stdout.as_str()),
        (Some(1), ""),
        "{}",
        exit.stderr
    );
    for part in says {
        assert!(exit.stderr.contains(part), "`{part}`:\n{}", exit.stderr);
    }
}

async fn post(sidecar: &Sidecar, path: &str, media_type: &str, body: String) -> Answer {
    let mut request = request(http::Method::POST, path, body);
    let media_type = media_type.parse().unwrap();
    request.headers_mut().insert("content-type", media_type);
    client::call(sidecar.admin(), request).await.unwrap()
}

/// A record as a login would hand it over.
fn record(refresh_token: &str, access_token: &str) -> Value {
    let now = Timestamp::now();
    json!({
        "schema": 1, "generation": 0, "refresh_token": refresh_token,
        "access_token": {
            "value": access_token, "issued_at": now,
            "expires_at": now + SignedDuration::from_hours(1),
        },
        "subject": "248289761001", "enrolled_at": now, "obtained_at": now,
        "scope": "offline_access crm.read",
    })
}

#[tokio::test]
async fn a_whole_record_is_served_without_asking_the_server() {
    let issuer = Issuer::start().await;
    let api = Api::builder().start().await;
    let sidecar = reachable(Sidecar::between(&issuer, &api), "true")
        .start()
        .await;
    let access_token = "at.handed-in-with-the-record-of-a-login";
    sidecar.leaks().keep(access_token);
    let record = record(&issuer.new_grant(), access_token);
    let path = "/grants/crm/import";
    let answer = post(&sidecar, path, "application/json", record.to_string()).await;
    assert_eq!(
        answer.json(),
        json!({ "grant": "crm", "kept": true, "refreshed": true })
    );
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(api.last().unwrap().bearer(), Some(access_token));
    assert_eq!(issuer.refreshes(), 1, "the first grant's");
    let status = sidecar.command(&["status"], "").await;
    for line in ["account                  248289761001\n", "enrolled  "] {
        assert!(status.stdout.contains(line), "{}", status.stdout);
    }
    assert_eq!(sidecar.status().await["actions"], true);

    let mut strange = record.clone();
    strange["schema"] = json!(2);
    for (media_type, body, status) in [
        ("application/json", strange.to_string(), 400),
        ("application/json", issuer.new_grant(), 400),
        ("application/json", " ".repeat(300_000), 400),
        ("text/html", issuer.new_grant(), 415),
    ] {
        let answer = post(&sidecar, path, media_type, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(api.last().unwrap().bearer(), Some(access_token));
}

#[tokio::test]
async fn a_token_that_is_kept_and_not_taken_by_the_server_is_told_as_that() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = reachable(Sidecar::between(&issuer, &api), "true")
        .start()
        .await;
    let exit = sidecar
        .command(&["import", "crm"], "rt.never-given-out")
        .await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    for part in [
        "is stored\n",
        "warning: no access token of it could be had yet: issuer_unavailable (invalid_grant)",
    ] {
        assert!(exit.stderr.contains(part), "{}", exit.stderr);
    }
}

#[tokio::test]
async fn a_running_process_revokes_and_serves_no_more_until_another_grant_comes() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = reachable(Sidecar::between(&issuer, &api), "true")
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);
    let access_token = issuer.access_token().unwrap();
    let exit = sidecar.command(&["revoke", "crm"], "").await;
    assert_done(&exit, " is revoked, access token ");
    assert!(!issuer.is_live(&access_token));
    assert_revoked(&sidecar.get("/").await);
    assert_eq!(sidecar.ask("/readyz").await.status, 503);
    let state = [("grant", "crm"), ("state", "revoked")];
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.one("bearward_grant_state", &state), Some(1.0));
    let status = sidecar.command(&["status"], "").await;
    assert!(
        status.stdout.contains("grant `crm`: revoked\n"),
        "{}",
        status.stdout
    );

    let requests = issuer.requests().len();
    let again = sidecar.command(&["revoke", "crm"], "").await;
    assert_failed(&again, &["no_grant (revoked)"]);
    sidecar.stop().await;
    let again = sidecar.command(&["revoke", "crm"], "").await;
    assert_failed(&again, &["no grant `crm` is stored"]);
    // The configured seed is the one that the revoked grant began with.
    sidecar.start_again_unready().await;
    assert_revoked(&sidecar.get("/").await);
    assert_eq!(issuer.requests().len(), requests, "nothing is sent of it");

    let imported = sidecar
        .command(&["import", "crm"], &issuer.new_grant())
        .await;
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_and_need_not_be_asked() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = reachable(Sidecar::between(&issuer, &api), "true")
        .start()
        .await;
    issuer.go_down().await;
    let told = sidecar.command(&["revoke", "crm"], "").await;
    assert_failed(
        &told,
        &["is not revoked: issuer_unavailable", "\nhint: `--local`"],
    );
    assert_eq!(sidecar.get("/").await.status, 200, "it stays as it was");
    sidecar.stop().await;
    let told = sidecar.command(&["revoke", "crm"], "").await;
    assert_failed(&told, &["is not revoked: ", "\nhint: `--local`"]);
    let local = sidecar.command(&["revoke", "crm", "--local"], "").await;
    assert_eq!(local.code, Some(0), "{}", local.stderr);
    assert!(
        local.stdout.contains(" is forgotten here"),
        "{}",
        local.stdout
    );
    assert!(local.stderr.contains("own console"), "{}", local.stderr);
    sidecar.start_again_unready().await;
    assert_revoked(&sidecar.get("/").await);
}

#[tokio::test]
async fn a_server_without_revocation_and_a_process_without_leave_are_told() {
    let issuer = Issuer::builder().metadata("revocation_endpoint", Value::Null);
    let issuer = issuer.start().await;
    let api = Api::start(&issuer).await;
    let open = reachable(Sidecar::between(&issuer, &api), "true")
        .start()
        .await;
    let told = open.command(&["revoke", "crm"], "").await;
    assert_failed(&told, &["(no_revocation_endpoint)", "\nhint: `--local`"]);
    let local = open.command(&["revoke", "crm", "--local"], "").await;
    assert_eq!(local.code, Some(0), "{}", local.stderr);
    assert_revoked(&open.get("/").await);

    let closed = reachable(Sidecar::between(&issuer, &api), "false")
        .start()
        .await;
    for arguments in [&["revoke", "crm"][..], &["revoke", "crm", "--local"]] {
        let told = closed.command(arguments, "").await;
        assert_failed(&told, &["`admin.actions = true`"]);
    }
    assert_eq!(closed.get("/").await.status, 200);
}

#[tokio::test]
async fn a_certified_server_revokes_all_that_came_of_the_grant() {
    let client = Registered::confidential("legacy-crm");
    let provider = OidcProvider::start(Options {
        clients: vec![client.clone()],
        ..Options::default()
    })
    .await;
    for stops in [false, true] {
        let first = provider.consent(&client).await;
        let api = Api::builder().start().await;
        let plan = Sidecar::builder()
            .provider(&provider, &client, &first)
            .upstream(api.url());
        let mut sidecar = reachable(plan, "true").start().await;
        assert_eq!(sidecar.get("/").await.status, 200);
        let access_token = api.last().unwrap().bearer().unwrap().to_owned();
        let stored = std::fs::read(sidecar.store()).unwrap();
        let stored: Value = serde_json::from_slice(&stored).unwrap();
        let refresh_token = stored["record"]["refresh_token"].as_str().unwrap();
        for token in [refresh_token, &access_token] {
            sidecar.leaks().keep(token);
            assert!(provider.is_active(&client, token).await);
        }
        if stops {
            sidecar.stop().await;
        }
        let exit = sidecar.command(&["revoke", "crm"], "").await;
        assert_done(&exit, " is revoked, access token ");
        for token in [refresh_token, &access_token] {
            assert!(
                !provider.is_active(&client, token).await,
                "stopped: {stops}"
            );
        }
        let left = std::fs::read_to_string(sidecar.store()).unwrap();
        assert!(!left.contains(refresh_token) && !left.contains(&access_token));
        if !stops {
            assert_revoked(&sidecar.get("/").await);
        }
    }
}
