//! A refresh that an operator asks for.

use std::os::unix::fs::PermissionsExt;

use crate::practice::{Api, Issuer, Outcome};
use crate::support::client::request;
use crate::support::settings::quoted;
use crate::support::{Exit, Sidecar};

/// A sidecar whose admin side is a socket that other commands find by the configuration.
async fn sidecar(issuer: &Issuer, api: &Api, actions: &str) -> Sidecar {
    let plan = Sidecar::between(issuer, api);
    let socket = quoted(format!("unix:{}", plan.home().join("admin").display()));
    let admin = format!("[admin]\nlisten = {socket}\nactions = {actions}");
    plan.config(&admin).start().await
}

async fn refresh(sidecar: &Sidecar, grant: &str) -> Exit {
    sidecar.command(&["refresh", grant], "").await
}

#[tokio::test]
async fn a_refresh_now_rotates_and_is_told() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = sidecar(&issuer, &api, "true").await;
    assert_eq!(sidecar.get("/").await.status, 200);
    let before = issuer.access_token();
    let told = refresh(&sidecar, "crm").await;
    assert_eq!(
        (told.code, told.stdout.as_str()),
        (Some(0), "grant `crm` is refreshed\n")
    );
    assert_eq!(issuer.count(Outcome::Refreshed), 2);
    assert_ne!(issuer.access_token(), before);
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(
        api.last().unwrap().bearer(),
        issuer.access_token().as_deref()
    );
}

#[tokio::test]
async fn what_stands_in_its_way_is_told_and_not_overruled() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = sidecar(&issuer, &api, "true").await;
    assert_eq!(sidecar.get("/").await.status, 200);
    issuer.go_down().await;
    for _ in 0..5 {
        let told = refresh(&sidecar, "crm").await;
        assert_eq!(told.code, Some(1));
        assert!(
            told.stderr.contains("issuer_unavailable"),
            "{}",
            told.stderr
        );
    }
    assert_eq!(sidecar.get("/").await.status, 200, "what lives is served");
    let metrics = sidecar.metrics().await;
    let tried = metrics.sum("bearward_grant_refreshes_total", &[("outcome", "later")]);
    assert!(tried <= 4.0, "{tried} attempts for five demands");
    let unknown = refresh(&sidecar, "erp").await;
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr.contains("no grant is named `erp`"),
        "{}",
        unknown.stderr
    );
}

#[tokio::test]
async fn without_leave_nothing_is_done() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = sidecar(&issuer, &api, "false").await;
    let told = refresh(&sidecar, "crm").await;
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains("`admin.actions = true`"),
        "{}",
        told.stderr
    );
    let page = request(http::Method::POST, "/grants/crm/refresh", "");
    let answer = crate::support::client::call(sidecar.admin(), page)
        .await
        .unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(issuer.refreshes(), 1);
    sidecar.stop().await;
    let nobody = refresh(&sidecar, "crm").await;
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.stderr.contains("start `bearward run`"),
        "{}",
        nobody.stderr
    );
}

#[tokio::test]
async fn a_dead_grant_wakes_when_another_is_imported_into_the_running_process() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = sidecar(&issuer, &api, "true").await;
    assert_eq!(sidecar.get("/").await.status, 200);
    api.reject(&issuer.access_token().unwrap());
    issuer.revoke_grant();
    let dead = refresh(&sidecar, "crm").await;
    assert!(dead.stderr.contains("invalid_grant"), "{}", dead.stderr);
    let fresh = issuer.new_grant();
    let imported = sidecar.command(&["import", "crm"], &fresh).await;
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(sidecar.status().await["grants"][0]["state"], "live");
    // The configured seed has not changed, so the imported chain goes on after a restart.
    sidecar.stop().await;
    sidecar.start_again().await;
    assert_eq!(sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn a_process_takes_a_grant_in_where_the_command_may_not_reach_the_file() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = sidecar(&issuer, &api, "true").await;
    // Not to be used by a command, as a folder of another user is not to be.
    let folder = sidecar.store().parent().unwrap().to_owned();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).unwrap();
    let imported = sidecar
        .command(&["import", "crm"], &issuer.new_grant())
        .await;
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(sidecar.get("/").await.status, 200);
    sidecar.stop().await;
    let refused = sidecar
        .command(&["import", "crm"], &issuer.new_grant())
        .await;
    assert_eq!(refused.code, Some(1));
    let told = &refused.stderr;
    assert!(told.contains("others can write to the folder"), "{told}");
}

#[tokio::test]
async fn a_running_process_takes_no_token_without_leave_and_no_nonsense() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let closed = sidecar(&issuer, &api, "false").await;
    let refused = closed
        .command(&["import", "crm"], &issuer.new_grant())
        .await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("`admin.actions = true`"),
        "{}",
        refused.stderr
    );
    let open = sidecar(&issuer, &api, "true").await;
    for nonsense in ["", "two words", "b\u{e4}r"] {
        let request = request(http::Method::POST, "/grants/crm/import", nonsense);
        let answer = crate::support::client::call(open.admin(), request)
            .await
            .unwrap();
        assert_eq!(answer.status, 400, "{nonsense:?}");
    }
    assert_eq!(issuer.refreshes(), 2, "one for each process");
}
