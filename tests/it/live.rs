//! `bearward check --live`: asks everybody that the configuration names, and spends nothing.

use serde_json::json;

use crate::practice::{Api, Issuer, Reply};
use crate::support::{Exit, Sidecar, SidecarBuilder};

async fn world() -> (Issuer, Api, SidecarBuilder) {
    let issuer = Issuer::builder()
        .metadata("scopes_supported", json!(["openid", "offline_access"]))
        .metadata(
            "token_endpoint_auth_methods_supported",
            json!(["client_secret_basic", "client_secret_post"]),
        )
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    (issuer, api, plan)
}

async fn check(plan: &SidecarBuilder) -> Exit {
    plan.command(&["check", "--live"], "").await
}

/// The line that tells about `what`.
fn line(exit: &Exit, what: &str) -> String {
    let lines = exit.stdout.lines().map(str::trim);
    let mut told = lines.filter_map(|line| line.strip_prefix(what));
    let told = told.find(|rest| rest.starts_with("  "));
    told.unwrap_or_else(|| panic!("no `{what}`:\n{}", exit.stdout))
        .trim()
        .to_owned()
}

#[tokio::test]
async fn everything_that_is_found_is_told_and_nothing_spent() {
    let (issuer, api, plan) = world().await;
    let exit = check(&plan).await;
    assert_eq!(
        (exit.code, exit.stderr.as_str()),
        (Some(0), ""),
        "{}",
        exit.stdout
    );
    assert_eq!(line(&exit, "issuer"), issuer.url());
    assert_eq!(line(&exit, "token endpoint"), issuer.token_endpoint());
    assert_eq!(line(&exit, "offline_access in scopes"), "yes");
    assert_eq!(
        line(&exit, "client authentication"),
        "client_secret_basic client_secret_post"
    );
    assert_eq!(line(&exit, "stored grant"), "none");
    assert!(line(&exit, "upstream").starts_with(api.url()));
    assert_eq!(issuer.requests().len() + api.requests().len(), 0);
}

#[tokio::test]
async fn a_store_that_a_process_holds_is_looked_at() {
    let (issuer, _api, plan) = world().await;
    let sidecar = plan.start().await;
    let refreshes = issuer.requests().len();
    let exit = sidecar.command(&["check", "--live"], "").await;
    assert_eq!(exit.code, Some(0), "{}{}", exit.stdout, exit.stderr);
    let grant = line(&exit, "stored grant");
    assert!(
        grant.starts_with("live, refresh token ") && grant.ends_with("(held by a running process)"),
        "{grant}"
    );
    assert_eq!(issuer.requests().len(), refreshes);
}

#[tokio::test]
async fn an_issuer_that_is_none_is_told_of() {
    let other = json!({ "issuer": "https://evil.example.com", "token_endpoint": "https://evil.example.com/token" });
    for (reply, says) in [
        (Reply::html(200), "it is an HTML page, not metadata"),
        (Reply::html(404), "status 404 came"),
        (Reply::json(200, &other), "https://evil.example.com"),
        (
            Reply::redirect(302, "https://evil.example.com/"),
            "a redirect (302) came, which is not followed",
        ),
    ] {
        let (issuer, _api, plan) = world().await;
        issuer.answer_discovery(Some(reply));
        let exit = check(&plan).await;
        assert_eq!(exit.code, Some(1), "{says}:\n{}", exit.stdout);
        let told = line(&exit, "issuer");
        assert!(
            told.starts_with("FAILED: ") && told.contains(says),
            "{told}"
        );
        assert_eq!(
            line(&exit, "stored grant"),
            "none",
            "the rest is checked all the same"
        );
        assert_eq!(exit.stderr, "error: 1 check failed\n");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_told_of() {
    let (issuer, api, plan) = world().await;
    issuer.go_down().await;
    api.go_down().await;
    let exit = check(&plan).await;
    assert_eq!(exit.code, Some(1));
    for what in ["issuer", "upstream"] {
        let told = line(&exit, what);
        assert!(
            told.starts_with("FAILED: ") && told.contains("refuse"),
            "{told}"
        );
        assert!(
            !told.contains("upstream refuse"),
            "an issuer is no upstream: {told}"
        );
    }
    assert_eq!(exit.stderr, "error: 2 checks failed\n");
}

#[tokio::test]
async fn an_unreadable_store_is_told_of_with_the_way_out() {
    let (_issuer, _api, plan) = world().await;
    std::fs::create_dir(plan.store().parent().unwrap()).unwrap();
    crate::support::write_private(&plan.store(), "{\"bearward\": 1, \"gra");
    let exit = check(&plan).await;
    assert_eq!(exit.code, Some(1));
    assert!(line(&exit, "stored grant").contains("cannot be read: it breaks off"));
    assert!(
        exit.stdout
            .contains("\n                            hint: nothing was changed"),
        "{}",
        exit.stdout
    );
    assert_eq!(
        std::fs::read(plan.store()).unwrap(),
        b"{\"bearward\": 1, \"gra"
    );
}
