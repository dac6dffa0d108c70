//! Against a certified authorization server, through its own pages in a real browser.

use crate::practice::Api;
use crate::support::login::Login;
use crate::support::oidc::{Offline, Options, Par, Registered};
use crate::support::{Browser, OidcProvider, Sidecar, SidecarBuilder};

use super::assert_said;

const NO_BROWSER: &[&str] = &["--no-browser"];

async fn provider(options: Options) -> (OidcProvider, Registered) {
    let client = Registered::confidential("legacy-crm");
    let clients = vec![client.clone()];
    let provider = OidcProvider::start(Options { clients, ..options }).await;
    (provider, client)
}

fn plan(provider: &OidcProvider, client: &Registered) -> SidecarBuilder {
    Sidecar::builder()
        .client(provider.url(), &client.id, client.secret.as_deref())
        .watch(provider.secrets())
        .grant("scope = [\"openid\", \"offline_access\", \"crm.read\"]")
        .upstream("http://127.0.0.1:9")
}

#[tokio::test]
async fn a_person_logs_in_and_the_grant_lives() {
    let (provider, client) = provider(Options::default()).await;
    let api = Api::builder()
        .taking(provider.introspection(&client))
        .start()
        .await;
    let plan = plan(&provider, &client).upstream(api.url());
    let browser = Browser::start().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    browser.log_in_and_consent(&login.address().await).await;
    let seen = browser.until("crm.read").await;
    assert!(seen.text.contains("ada"), "{}", seen.text);
    assert!(!seen.url.contains("code="), "{}", seen.url);
    let exit = login.ends().await;
    assert_said(
        &exit,
        0,
        &[
            "Offline access is granted",
            "account           ada",
            "offline_access",
        ],
    );

    // Somebody else may not take its place unasked.
    let other = Browser::start().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    other
        .log_in_and_consent_as(&login.address().await, "bob")
        .await;
    other.until("terminal").await;
    let exit = login.ends().await;
    assert_said(
        &exit,
        1,
        &[
            "belongs to account ada, and this login is of bob",
            "--replace",
        ],
    );

    let sidecar = plan.start().await;
    assert_eq!(sidecar.get("/orders").await.status, 200);
    let grant = &sidecar.status().await["grants"][0];
    assert_eq!(grant["subject"], "ada", "{grant}");
}

#[tokio::test]
async fn a_server_that_wants_it_pushed_gets_it_pushed() {
    let (provider, client) = provider(Options {
        par: Par::Require,
        ..Options::default()
    })
    .await;
    let plan = plan(&provider, &client);
    let browser = Browser::start().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    let address = login.address().await;
    assert!(address.contains("request_uri="), "{address}");
    assert!(!address.contains("redirect_uri="), "{address}");
    browser.log_in_and_consent(&address).await;
    assert_said(&login.ends().await, 0, &["Offline access is granted"]);
}

#[tokio::test]
async fn a_person_who_does_not_consent_is_believed() {
    let (provider, client) = provider(Options::default()).await;
    let plan = plan(&provider, &client);
    let browser = Browser::start().await;
    let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
    browser.deny(&login.address().await).await;
    browser.until("access_denied").await;
    assert_said(
        &login.ends().await,
        1,
        &["access_denied", "hint: consent was refused"],
    );
    assert!(!plan.store().exists());
}

#[tokio::test]
async fn a_server_that_gives_no_offline_access_is_told_of() {
    for (offline, told) in [
        (Offline::Forget, "`scopes_supported` lists `offline_access`"),
        (
            Offline::Ignore,
            "`scopes_supported` does not list `offline_access`",
        ),
    ] {
        let options = Options {
            offline,
            ..Options::default()
        };
        let (provider, client) = provider(options).await;
        let plan = plan(&provider, &client);
        let browser = Browser::start().await;
        let login = Login::start(&plan.written(), NO_BROWSER, plan.leaks());
        browser.log_in_and_consent(&login.address().await).await;
        browser.until("no refresh token came").await;
        assert_said(
            &login.ends().await,
            1,
            &["no refresh token came", told, "hint: "],
        );
        assert!(!plan.store().exists());
    }
}

#[tokio::test]
async fn a_device_is_let_in_on_the_servers_own_page() {
    let (provider, client) = provider(Options::default()).await;
    let plan = plan(&provider, &client);
    let browser = Browser::start().await;
    let login = Login::start(&plan.written(), &["--device"], plan.leaks());
    let (address, code) = invitation(&login).await;
    assert!(!browser.enter_user_code(&address, "AAAA-AAAA").await);
    assert!(browser.enter_user_code(&address, &code).await);
    browser.let_device_in().await;
    assert_said(
        &login.ends().await,
        0,
        &["Offline access is granted", "account           ada"],
    );
}

#[tokio::test]
async fn a_device_is_kept_out() {
    let (provider, client) = provider(Options::default()).await;
    let plan = plan(&provider, &client);
    let browser = Browser::start().await;
    let login = Login::start(&plan.written(), &["--device"], plan.leaks());
    let (address, code) = invitation(&login).await;
    assert!(browser.enter_user_code(&address, &code).await);
    browser.keep_device_out().await;
    assert_said(
        &login.ends().await,
        1,
        &["access_denied", "hint: consent was refused"],
    );
}

#[tokio::test]
async fn a_code_that_nobody_enters_expires() {
    let (provider, client) = provider(Options {
        device_code_lifetime: 1,
        ..Options::default()
    })
    .await;
    let exit = plan(&provider, &client)
        .command(&["login", "crm", "--device"], "")
        .await;
    assert_said(
        &exit,
        1,
        &["nobody answered in time", "hint: log in once more"],
    );
}

/// The address and the code that the person is shown.
async fn invitation(login: &Login) -> (String, String) {
    let said = login.says("?user_code=").await;
    let mut shown = said.iter().filter_map(|line| line.strip_prefix("    "));
    let mut next = || shown.next().expect("a line").to_owned();
    (next(), next())
}
