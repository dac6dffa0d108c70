//! An authorization server that misbehaves: what callers see, what is counted, how often it is
//! asked, and that nothing it says is repeated.
//!
//! One program keeps all the sick grants at once, each with a server of its own, and a well one
//! beside them that must not feel it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::practice::{Api, Issuer, Outcome, RawBackend, Reply, Step};
use crate::support::settings::quoted;
use crate::support::{Metrics, Sidecar, SidecarBuilder, client};

/// How long traffic goes on; well below the 5 s after which a death is confirmed.
const RUN: Duration = Duration::from_secs(2);

/// Between two calls of a caller.
const PAUSE: Duration = Duration::from_millis(100);

/// A misbehaviour, and what it comes to.
struct Case {
    name: &'static str,
    reply: Reply,
    /// The class that is counted.
    class: &'static str,
    /// The reason and the code that callers and status are told.
    told: (&'static str, &'static str),
    /// The grant's state.
    state: &'static str,
    /// The least time from one token request to the next, whatever the traffic.
    apart: Duration,
}

fn case(name: &'static str, reply: Reply, class: &'static str, code: &'static str) -> Case {
    // Half of the first back-off is fixed: of 1 s, 5 s, 30 s. A death is confirmed after 5 s.
    let (reason, apart) = match class {
        "later" | "ambiguous" => ("issuer_unavailable", 500),
        "unknown" => ("issuer_unavailable", 2_500),
        "dead" => ("issuer_unavailable", 5_000),
        "client_broken" => ("client_refused", 15_000),
        _ => ("configuration_refused", 15_000),
    };
    let state = if class == "dead" { "suspect" } else { "live" };
    Case {
        name,
        reply,
        class,
        told: (reason, code),
        state,
        apart: Duration::from_millis(apart),
    }
}

fn error(status: u16, code: &str) -> Reply {
    Reply::json(status, &json!({ "error": code }))
}

/// The rows of the classification.
fn cases(trap: &str) -> Vec<Case> {
    let mut all = outages(trap);
    all.extend(refusals());
    all.extend(unusable());
    all
}

/// Something else answers, or nobody, or not now.
fn outages(trap: &str) -> Vec<Case> {
    let patience = |status| Reply::status(status).header("retry-after", "30");
    let patient = |case: Case| Case {
        apart: Duration::from_secs(30),
        ..case
    };
    let large = format!("{{\"access_token\":\"{}\"}}", "a".repeat(2 << 20));
    let large = Reply::status(200).body(large);
    vec![
        case("html", Reply::html(200), "later", "html"),
        case("page-404", Reply::html(404), "later", "html"),
        patient(case("hasty", patience(429), "later", "http_429")),
        patient(case("away", patience(503), "later", "http_503")),
        case("slow-down", error(400, "slow_down"), "later", "slow_down"),
        case("redirect", Reply::redirect(307, trap), "later", "redirect"),
        case("gateway", Reply::status(502), "ambiguous", "http_502"),
        case("hang-up", Reply::hang_up(), "ambiguous", "cut"),
        case("silence", Reply::silence(), "ambiguous", "timeout"),
        case("empty", Reply::status(200), "ambiguous", "empty"),
        case("large", large, "ambiguous", "too_large"),
    ]
}

/// The server says no; each code is told as it is.
fn refusals() -> Vec<Case> {
    [
        ("client", 401, "client_broken", "invalid_client"),
        ("request", 400, "configuration", "invalid_request"),
        ("scope", 400, "configuration", "invalid_scope"),
        ("kind", 400, "configuration", "unsupported_grant_type"),
        ("gone", 400, "dead", "invalid_grant"),
        ("gone-in-200", 200, "dead", "invalid_grant"),
        ("teapot", 418, "unknown", "short_and_stout"),
    ]
    .map(|(name, status, class, code)| case(name, error(status, code), class, code))
    .into_iter()
    .chain([case("mute", Reply::status(400), "unknown", "http_400")])
    .collect()
}

/// The server says yes and gives nothing that can be put on a call.
fn unusable() -> Vec<Case> {
    let token = |name, token| {
        let answer = Reply::json(200, &json!({ "access_token": token, "expires_in": 60 }));
        case(name, answer, "unknown", "unusable_access_token")
    };
    let tokenless = Reply::json(200, &json!({ "token_type": "Bearer" }));
    vec![
        case("tokenless", tokenless, "ambiguous", "no_access_token"),
        token("bell", "at\u{7}bell"),
        token("split", "at\r\nx-evil: 1"),
        token("foreign", "at-ünïcode"),
    ]
}

/// Adds a grant of `issuer` beside those there are, and a route `/name` to it.
fn beside(plan: SidecarBuilder, name: &str, issuer: &Issuer, api: &Api) -> SidecarBuilder {
    // Only who waits for an answer that never comes should wait in vain on a busy machine.
    let patience = match name {
        "silence" | "slow" => "1s",
        _ => "20s",
    };
    let secret = plan.secret_file(&format!("{name}.secret"), issuer.client_secret().unwrap());
    let seed = plan.secret_file(&format!("{name}.seed"), &issuer.refresh_token());
    let store = plan.home().join("grant").join(format!("{name}.grant"));
    let toml = format!(
        "[grant.{name}]\nissuer = {}\nclient_id = {}\nclient_secret.file = {}\n\
         seed.refresh_token.file = {}\nstore.file.path = {}\ntoken_timeout = '{patience}'\n\
         [[route]]\npath = '/{name}'\ngrant = '{name}'\nupstream = {}",
        quoted(issuer.url()),
        quoted(issuer.client_id()),
        quoted(secret),
        quoted(seed),
        quoted(store.to_str().unwrap()),
        quoted(api.url()),
    );
    plan.watch(issuer.secrets()).config(&toml)
}

fn refreshes(metrics: &Metrics, grant: &str, outcome: &str) -> f64 {
    let labels = [("grant", grant), ("outcome", outcome)];
    metrics.sum("bearward_grant_refreshes_total", &labels)
}

fn told_of<'a>(status: &'a Value, grant: &str) -> &'a Value {
    let grants = status["grants"].as_array().unwrap().iter();
    let mut like = grants.filter(|told| told["grant"] == grant);
    like.next().unwrap()
}

#[tokio::test]
async fn each_misbehaviour_is_told_counted_and_never_a_storm() {
    let well = Issuer::start().await;
    let api = Api::start(&well).await;
    // Whoever follows a redirect carries the refresh token here.
    let trap = RawBackend::start(vec![Step::Close]).await;
    let mut plan = Sidecar::between(&well, &api);
    let mut sick = Vec::new();
    for case in cases(&format!("{}/token", trap.url())) {
        let issuer = Issuer::start().await;
        (0..20).for_each(|_| issuer.next(case.reply.clone()));
        plan = beside(plan, case.name, &issuer, &api);
        sick.push((case, issuer));
    }
    let sidecar = Arc::new(plan.start_unready().await);
    let mut callers = JoinSet::new();
    for (case, _) in &sick {
        callers.spawn(hammer(Arc::clone(&sidecar), case.name, case.told));
    }
    let end = Instant::now() + RUN;
    while Instant::now() < end {
        assert_eq!(sidecar.get("/").await.status, 200, "the well one");
        sleep(PAUSE).await;
    }
    callers.join_all().await;
    let (metrics, status) = (sidecar.metrics().await, sidecar.status().await);
    for (case, issuer) in &sick {
        for pair in issuer.requests().all().windows(2) {
            assert!(pair[1].at - pair[0].at >= case.apart, "{}", case.name);
        }
        let all = metrics.sum("bearward_grant_refreshes_total", &[("grant", case.name)]);
        assert_eq!(
            refreshes(&metrics, case.name, case.class),
            all,
            "{}",
            case.name
        );
        assert!(all >= 1.0, "{}", case.name);
        let told = told_of(&status, case.name);
        assert_eq!(told["state"], case.state, "{}", case.name);
        assert_eq!(told["refusal"]["code"], case.told.1, "{}", case.name);
    }
    assert_eq!(well.requests().len(), 1);
    assert!(trap.received().is_empty(), "the redirect was followed");
}

/// Calls for as long as [`RUN`] lasts, and twice at least, and is told the same each time.
async fn hammer(sidecar: Arc<Sidecar>, grant: &'static str, told: (&'static str, &'static str)) {
    let (end, mut calls) = (Instant::now() + RUN, 0);
    while calls < 2 || Instant::now() < end {
        let answer = sidecar.get(&format!("/{grant}")).await;
        assert_eq!(answer.status, 503, "{grant}");
        let said = answer.json();
        assert_eq!(
            (&said["error"], &said["code"]),
            (&json!(told.0), &json!(told.1)),
            "{grant}"
        );
        assert_eq!(said["grant"], grant);
        assert!(answer.header("retry-after").is_some(), "{grant}");
        calls += 1;
        sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_discovered_gets_no_token_request() {
    let well = Issuer::start().await;
    let api = Api::builder().start().await;
    let mix_up =
        json!({ "issuer": "https://other.example", "token_endpoint": "https://other.example/t" });
    let mut plan = Sidecar::between(&well, &api);
    let mut sick = Vec::new();
    for (name, reply, code, most) in [
        ("html", Reply::html(200), "discovery_failed", 4),
        ("nothing", Reply::status(404), "discovery_failed", 4),
        (
            "slow",
            Reply::regular().delay(Duration::from_secs(60)),
            "discovery_failed",
            3,
        ),
        ("mix-up", Reply::json(200, &mix_up), "issuer_mismatch", 1),
    ] {
        let issuer = Issuer::start().await;
        issuer.answer_discovery(Some(reply));
        plan = beside(plan, name, &issuer, &api);
        sick.push((name, issuer, code, most));
    }
    let sidecar = plan.start_unready().await;
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        for (name, _, code, _) in &sick {
            let answer = sidecar.get(&format!("/{name}")).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["code"]),
                (503, &json!(code))
            );
        }
    }
    for (name, issuer, _, most) in &sick {
        // At most three well-known places are looked at each time.
        let looked = issuer.lookups().len();
        assert!(looked <= 3 * most, "{name}: {looked}");
        assert_eq!(issuer.requests().len(), 0, "{name}");
        issuer.answer_discovery(None);
    }
    let (_, issuer, ..) = &sick[0];
    issuer.requests().reaches(1).await.unwrap();
    assert_eq!(
        sidecar.get("/html").await.status,
        200,
        "it comes back by itself"
    );
}

#[tokio::test]
async fn a_known_endpoint_goes_on_being_used_while_discovery_is_down() {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_secs(1))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    issuer.answer_discovery(Some(Reply::html(503)));
    let looked = issuer.lookups().len();
    let seen = issuer.requests().len();
    issuer.requests().reaches(seen + 3).await.unwrap();
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.lookups().len(), looked);
}

#[tokio::test]
async fn an_answer_that_is_lost_after_rotation_is_not_asked_for_again_while_the_token_lives() {
    tokio::join!(
        is_lost(Reply::status(500).after_commit()),
        is_lost(Reply::regular().cut_after(20)),
        is_lost(Reply::hang_up().after_commit()),
    );
}

async fn is_lost(answer: Reply) {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_secs(4))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let began = issuer.requests().all()[0].at;
    issuer.next(answer);
    issuer.requests().reaches(2).await.unwrap();
    while began.elapsed() < Duration::from_millis(3700) {
        assert_eq!(sidecar.get("/").await.status, 200);
        sleep(Duration::from_millis(20)).await;
    }
    let asked = issuer.requests().all();
    assert!(
        asked
            .iter()
            .skip(2)
            .all(|request| request.at - began >= Duration::from_secs(4))
    );
    assert!(refreshes(&sidecar.metrics().await, "crm", "ambiguous") >= 1.0);
    assert_eq!(sidecar.status().await["grants"][0]["intent_open"], true);
}

#[tokio::test]
async fn a_client_secret_that_is_mended_wakes_the_grant() {
    tokio::join!(mended_at_rest(), mended_amid_rejections());
}

async fn mended_at_rest() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let good = issuer.client_secret().unwrap().to_owned();
    plan.secret_file("client-secret", "the-secret-before-last");
    let sidecar = plan.start_unready().await;
    let answer = sidecar.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "client_refused");
    assert_eq!(issuer.count(Outcome::InvalidClient), 1);
    std::fs::write(sidecar.home().join("client-secret"), good).unwrap();
    sidecar.ready().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.requests().len(), 2, "one refused, one granted");
}

/// Traffic that keeps asking for another token does not put off the look at the secret.
async fn mended_amid_rejections() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .route("replay_max = '1B'")
        .start()
        .await;
    let secret = sidecar.home().join("client-secret");
    std::fs::write(&secret, "the-secret-before-last").unwrap();
    api.reject(&issuer.access_token().unwrap());
    let rejected = || sidecar.send(client::post("/", "longer than is kept"));
    assert_eq!(rejected().await.status, 401);
    issuer.requests().reaches(2).await.unwrap();
    std::fs::write(&secret, issuer.client_secret().unwrap()).unwrap();
    // The secret is looked at every 5 s; the next attempt by itself comes after 15 s at least.
    let end = Instant::now() + Duration::from_secs(11);
    while issuer.refreshes() < 2 {
        assert!(Instant::now() < end, "nobody looks at the secret");
        rejected().await;
        sleep(PAUSE).await;
    }
    assert_eq!(issuer.requests().len(), 3);
}

#[tokio::test]
async fn a_rotation_beside_an_unusable_token_is_kept() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let rotated = issuer.new_grant();
    let answer = json!({ "access_token": "at\nnext: line", "refresh_token": rotated });
    issuer.next(Reply::json(200, &answer));
    let sidecar = Sidecar::between(&issuer, &api).start_unready().await;
    assert_eq!(
        sidecar.get("/").await.json()["code"],
        "unusable_access_token"
    );
    let requests = issuer.requests().reaches(2).await.unwrap();
    assert_eq!(requests[1].parameters["refresh_token"], rotated);
    assert_eq!(requests[1].outcome, Outcome::Refreshed);
    sidecar.ready().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert!(
        api.requests()
            .all()
            .iter()
            .all(|call| call.header("next").is_none())
    );
}

#[tokio::test]
async fn what_a_server_quotes_is_never_repeated() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    // The leak search at the end of the test looks for each of these in all that was said.
    let [fresh, old] = [issuer.new_grant(), issuer.refresh_token()];
    let secret = issuer.client_secret().unwrap();
    let text = format!("token {fresh} replaces {old} of {secret}, is in table oauth2_tokens");
    for code in ["invalid_grant", &old, &text, &fresh] {
        let quoting =
            json!({ "error": code, "error_description": text, "error_uri": old, "hint": fresh });
        issuer.next(Reply::json(400, &quoting).header("x-echo", &fresh));
    }
    let sidecar = Sidecar::between(&issuer, &api).start_unready().await;
    assert_eq!(sidecar.get("/").await.status, 503);
    let own = Issuer::start().await;
    own.next(Reply::json(
        400,
        &json!({ "error": own.refresh_token(), "error_description": own.client_secret() }),
    ));
    let quoted = Sidecar::between(&own, &api).start_unready().await;
    let answer = quoted.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["code"], "http_400");
    quoted.ask("/status").await;
    sidecar.ask("/status").await;
}
