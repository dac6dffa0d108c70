//! Against the practice server, by a browser that is only HTTP: what comes back, believed or not.

use serde_json::{Value, json};

use super::{assert_said, without_grant};
use crate::practice::{Api, Issuer, Outcome};
use crate::support::SidecarBuilder;
use crate::support::login::{Login, answered, visit};
use crate::support::settings::quoted;

const NO_BROWSER: &[&str] = &["--no-browser"];

/// An ordinary server, an API that takes its tokens, and a sidecar between the two without a grant.
async fn world() -> (Issuer, Api, SidecarBuilder) {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = without_grant(&issuer, &api);
    (issuer, api, plan)
}

#[tokio::test]
async fn a_person_says_yes_and_the_grant_is_stored() {
    let (issuer, _api, plan) = world().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    let back = answered(&login.address().await, "allow").await;
    let sent_on = visit(&back).await;
    assert_eq!(sent_on.status, 303);
    let clean = sent_on.header("location").unwrap();
    assert!(!clean.contains("code="), "{clean}");
    let page = visit(&join(&back, clean)).await;
    assert!(page.text().contains("crm.read"), "{}", page.text());
    let exit = login.ends().await;
    assert_said(
        &exit,
        0,
        &[
            "Offline access is granted to `crm`",
            "offline_access crm.read",
            "stored",
        ],
    );
    assert_eq!(issuer.count(Outcome::Enrolled), 1);

    let sidecar = plan.start().await;
    assert_eq!(sidecar.get("/orders").await.status, 200);
    assert_eq!(
        issuer.refreshes(),
        0,
        "the access token came with the login"
    );
    let grant = &sidecar.status().await["grants"][0];
    assert!(grant["enrolled_at"].is_string(), "{grant}");
}

/// `reference` as a browser on `page` understands it.
fn join(page: &str, reference: &str) -> String {
    if reference.starts_with("http") {
        return reference.to_owned();
    }
    let origin: Vec<&str> = page.splitn(4, '/').take(3).collect();
    format!("{}{reference}", origin.join("/"))
}

#[tokio::test]
async fn what_is_pasted_is_as_good() {
    let (_issuer, _api, plan) = world().await;
    let mut login = Login::start(&plan.written(), &["--paste"], plan.leaks());
    let back = answered(&login.address().await, "allow").await;
    assert!(back.starts_with("http://127.0.0.1/callback?"), "{back}");
    login.paste(&back);
    assert_said(&login.ends().await, 0, &["Offline access is granted"]);
    let sidecar = plan.start().await;
    assert_eq!(sidecar.get("/orders").await.status, 200);
}

#[tokio::test]
async fn what_is_pasted_from_elsewhere_is_not_believed() {
    let (issuer, _api, plan) = world().await;
    let mut login = Login::start(&plan.written(), &["--paste"], plan.leaks());
    login.address().await;
    login.paste("http://127.0.0.1/callback?code=x&state=forged");
    assert_said(
        &login.ends().await,
        1,
        &["its `state` is not ours", "hint: an old tab"],
    );
    assert_eq!(issuer.requests().len(), 0, "no code is tried");
}

#[tokio::test]
async fn a_forged_answer_ends_nothing() {
    let (_issuer, _api, plan) = world().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    let address = login.address().await;
    let back = answered(&address, "allow").await;
    let (callback, _) = back.split_once('?').unwrap();
    for query in ["code=x&state=forged", "error=access_denied"] {
        let forged = visit(&format!("{callback}?{query}")).await;
        let page = visit(&join(&back, forged.header("location").unwrap())).await;
        assert!(page.text().contains("state"), "{}", page.text());
    }
    login.says("it is not believed").await;
    let sent_on = visit(&back).await;
    visit(&join(&back, sent_on.header("location").unwrap())).await;
    assert_said(&login.ends().await, 0, &["Offline access is granted"]);
}

#[tokio::test]
async fn the_word_of_another_issuer_is_not_believed() {
    let (issuer, _api, plan) = world().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    let back = answered(&login.address().await, "allow").await;
    let (honest, _) = back.split_once("&iss=").unwrap();
    visit(&format!("{honest}&iss=https%3A%2F%2Fevil.example")).await;
    let exit = login.ends().await;
    assert_said(
        &exit,
        1,
        &["comes from issuer `https://evil.example`", "do not go on"],
    );
    assert_eq!(issuer.requests().len(), 0, "the code goes to nobody");
}

#[tokio::test]
async fn a_person_says_no() {
    let (_issuer, _api, plan) = world().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    let back = answered(&login.address().await, "deny").await;
    let sent_on = visit(&back).await;
    let page = visit(&join(&back, sent_on.header("location").unwrap())).await;
    assert!(
        page.text().contains("The person said no."),
        "{}",
        page.text()
    );
    let exit = login.ends().await;
    assert_said(
        &exit,
        1,
        &[
            "access_denied (\"The person said no.\")",
            "hint: consent was refused",
        ],
    );
    assert!(!plan.store().exists());
}

#[tokio::test]
async fn access_for_now_is_not_offline_access() {
    let issuer = Issuer::builder()
        .member("refresh_token", Value::Null)
        .member("scope", json!("crm.read"))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let plan = without_grant(&issuer, &api);
    let mut login = Login::start(&plan.written(), &["--paste"], plan.leaks());
    let back = answered(&login.address().await, "allow").await;
    login.paste(&back);
    let exit = login.ends().await;
    assert_said(
        &exit,
        1,
        &[
            "no refresh token came",
            "asked for `offline_access crm.read`, granted `crm.read`",
            "`scopes_supported` lists `offline_access`",
            "hint: in the server's console",
        ],
    );
    assert!(!plan.store().exists());
}

#[tokio::test]
async fn another_device_answers_with_a_code() {
    let (issuer, _api, plan) = world().await;
    let login = Login::start(&plan.written(), &["--device"], plan.leaks());
    let said = login.says("?user_code=").await;
    let address = said
        .iter()
        .find(|line| line.contains("?user_code="))
        .unwrap();
    // It asks now and then until somebody answers.
    let pending = |request: &crate::practice::TokenRequest| request.outcome == Outcome::Unenrolled;
    issuer
        .requests()
        .until(|all| all.iter().any(pending))
        .await
        .unwrap();
    visit(&format!("{}&answer=allow", address.trim())).await;
    assert_said(
        &login.ends().await,
        0,
        &["On any device", "Offline access is granted"],
    );
    let sidecar = plan.start().await;
    assert_eq!(sidecar.get("/orders").await.status, 200);
}

#[tokio::test]
async fn another_device_says_no() {
    let (_issuer, _api, plan) = world().await;
    let login = Login::start(&plan.written(), &["--device"], plan.leaks());
    let said = login.says("?user_code=").await;
    let address = said
        .iter()
        .find(|line| line.contains("?user_code="))
        .unwrap();
    visit(&format!("{}&answer=deny", address.trim())).await;
    assert_said(
        &login.ends().await,
        1,
        &["access_denied", "hint: consent was refused"],
    );
}

/// The admin side where the command finds it, and what it may do.
fn reachable(plan: SidecarBuilder, actions: &str) -> SidecarBuilder {
    let socket = quoted(format!("unix:{}", plan.home().join("admin").display()));
    plan.config(&format!(
        "admin = {{ listen = {socket}, actions = {actions} }}"
    ))
}

#[tokio::test]
async fn a_running_process_takes_the_grant_at_once() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = reachable(without_grant(&issuer, &api), "true")
        .start_unready()
        .await;
    assert_eq!(sidecar.get("/orders").await.status, 503);
    let mut login = Login::start(&sidecar.config_file(), &["--paste"], sidecar.leaks());
    let back = answered(&login.address().await, "allow").await;
    login.paste(&back);
    assert_said(
        &login.ends().await,
        0,
        &["Offline access is granted", "process"],
    );
    assert_eq!(sidecar.get("/orders").await.status, 200);
    assert_eq!(issuer.refreshes(), 0);

    // From the dead state as well.
    issuer.revoke_grant();
    assert_ne!(sidecar.get("/orders").await.status, 200);
    let mut login = Login::start(&sidecar.config_file(), &["--paste"], sidecar.leaks());
    let back = answered(&login.address().await, "allow").await;
    login.paste(&back);
    assert_said(&login.ends().await, 0, &["Offline access is granted"]);
    assert_eq!(sidecar.get("/orders").await.status, 200);
}

#[tokio::test]
async fn nobody_is_sent_anywhere_if_the_grant_could_not_be_stored() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = reachable(without_grant(&issuer, &api), "false")
        .start_unready()
        .await;
    let exit = Login::start(&sidecar.config_file(), NO_BROWSER, sidecar.leaks())
        .ends()
        .await;
    assert_said(&exit, 1, &["admin.actions = true"]);
    assert_eq!(exit.stdout, "");
}

#[tokio::test]
async fn an_interruption_stores_nothing() {
    let (_issuer, _api, plan) = world().await;
    let mut login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    login.says("waiting for the browser").await;
    login.interrupt();
    assert_said(&login.ends().await, 1, &["interrupted: nothing was stored"]);
    assert!(!plan.store().exists());
}

#[tokio::test]
async fn nobody_comes() {
    let (_issuer, _api, plan) = world().await;
    let exit = plan
        .command(&["login", "crm", "--no-browser", "--timeout", "1s"], "")
        .await;
    assert_said(
        &exit,
        1,
        &["nobody answered in time", "hint: log in once more"],
    );
}
