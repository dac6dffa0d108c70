//! Other configurations while traffic runs: taken wholly or not at all.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::practice::{Api, Authority, Gate, Issuer, Reply};
use crate::support::settings::{Settings, quoted};
use crate::support::{Sidecar, client, write_private};

async fn world() -> (Issuer, Api, Sidecar) {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    (issuer, api, sidecar)
}

/// How many reloads were taken and how many refused, and whether the last one was taken.
async fn reloads(sidecar: &Sidecar) -> [f64; 3] {
    let metrics = sidecar.metrics().await;
    let total = |outcome| metrics.sum("bearward_config_reloads_total", &[("outcome", outcome)]);
    let last = metrics.one("bearward_config_last_reload_successful", &[]);
    [total("success"), total("failure"), last.unwrap()]
}

/// Waits until so many reloads are through.
async fn through(sidecar: &Sidecar, count: usize) -> [f64; 3] {
    let patience = Instant::now() + client::PATIENCE;
    loop {
        let [taken, refused, last] = reloads(sidecar).await;
        if taken + refused >= f64::from(u32::try_from(count).unwrap()) {
            return [taken, refused, last];
        }
        assert!(Instant::now() < patience, "no reload: {taken} + {refused}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A route to `api` with the first grant.
fn route(path: &str, api: &Api) -> String {
    format!(
        "[[route]]\npath = {path:?}\ngrant = 'crm'\nupstream = {:?}",
        api.url()
    )
}

/// A second grant of `issuer`, for a route of its own.
fn second(home: &Path, issuer: &Issuer, api: &Api) -> String {
    let file = |name: &str, text: &str| {
        let path = home.join(name);
        write_private(&path, text);
        quoted(path.to_str().unwrap())
    };
    let store = quoted(home.join("grant/erp.grant").to_str().unwrap());
    format!(
        "[grant.erp]\nissuer = {:?}\nclient_id = {:?}\nclient_secret.file = {}\n\
         seed.refresh_token.file = {}\nstore.file.path = {store}\n\
         [[route]]\npath = '/erp'\ngrant = 'erp'\nupstream = {:?}",
        issuer.url(),
        issuer.client_id(),
        file("erp-secret", issuer.client_secret().unwrap()),
        file("erp-seed", &issuer.new_grant()),
        api.url(),
    )
}

fn remove_second(settings: &mut Settings) {
    settings.table()["grant"]
        .as_table_mut()
        .unwrap()
        .remove("erp");
    settings.table()["route"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
}

#[tokio::test]
async fn routes_come_and_go() {
    let (issuer, _api, mut sidecar) = world().await;
    let other = Api::start(&issuer).await;
    let mut kept = sidecar.connect().await;
    kept.get("/new").await.unwrap();
    assert_eq!(other.requests().len(), 0);

    sidecar.reconfigure(|settings| settings.lay(&route("/new", &other)));
    assert_eq!(through(&sidecar, 1).await, [1.0, 0.0, 1.0]);
    let patience = Instant::now() + client::PATIENCE;
    while other.requests().is_empty() {
        assert_eq!(kept.get("/new").await.unwrap().status, 200);
        assert!(Instant::now() < patience, "the route is not used");
    }

    sidecar.reconfigure(|settings| {
        settings.lay_route("path = '/only'");
        settings.table()["route"]
            .as_array_mut()
            .unwrap()
            .truncate(1);
    });
    through(&sidecar, 2).await;
    let patience = Instant::now() + client::PATIENCE;
    while kept.get("/new").await.unwrap().status != 404 {
        assert!(Instant::now() < patience, "the route is still used");
    }
    assert_eq!(sidecar.get("/only").await.status, 200);
    assert_eq!(issuer.refreshes(), 1, "the grant goes on");
}

#[tokio::test]
async fn a_changed_grant_asks_in_the_new_form() {
    let lifetime = Duration::from_secs(2);
    let issuer = Issuer::builder().lifetime(lifetime).start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = Sidecar::between(&issuer, &api).start().await;
    let secret = sidecar.home().join("another-secret");
    write_private(&secret, issuer.client_secret().unwrap());
    let other = format!("client_secret.file = {secret:?}\nrefresh.params.audience = 'new'");
    sidecar.reconfigure(|settings| settings.lay_grant("crm", &other));
    through(&sidecar, 1).await;
    fs::remove_file(sidecar.home().join("client-secret")).unwrap();
    let asked = issuer
        .requests()
        .until(|requests| requests.len() >= 3)
        .await
        .unwrap();
    let last = asked.last().unwrap();
    assert_eq!(
        last.parameters.get("audience").map(String::as_str),
        Some("new")
    );
    assert_eq!(issuer.refreshes(), issuer.requests().len());
    assert_eq!(sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn grants_come_and_go() {
    let (issuer, api, mut sidecar) = world().await;
    let other = Issuer::start().await;
    let theirs = Api::start(&other).await;
    sidecar.leaks().watch(other.secrets());
    let piece = second(sidecar.home(), &other, &theirs);
    sidecar.reconfigure(|settings| settings.lay(&piece));
    through(&sidecar, 1).await;
    sidecar.ready().await;
    settled(&sidecar, "/erp", 200).await;
    assert_eq!(other.refreshes(), 1);
    assert_eq!(
        sidecar.status().await["grants"].as_array().unwrap().len(),
        2
    );

    sidecar.reconfigure(remove_second);
    through(&sidecar, 2).await;
    assert_eq!(
        sidecar.status().await["grants"].as_array().unwrap().len(),
        1
    );
    settled_at(&sidecar, "/erp", &api).await;
    let patience = Instant::now() + client::PATIENCE;
    while sidecar
        .metrics()
        .await
        .sum("bearward_grant_state", &[("grant", "erp")])
        > 0.0
    {
        assert!(Instant::now() < patience, "its gauges are still shown");
    }

    // The name again, for another server: nothing of the first is left.
    let third = Issuer::start().await;
    let fourth = Api::start(&third).await;
    sidecar.leaks().watch(third.secrets());
    let piece = second(sidecar.home(), &third, &fourth).replace("erp.grant", "erp2.grant");
    sidecar.reconfigure(|settings| settings.lay(&piece));
    through(&sidecar, 3).await;
    settled(&sidecar, "/erp", 200).await;
    fourth.requests().reaches(1).await.unwrap();
    let foreign = other.access_token().unwrap();
    for request in fourth.requests().all() {
        assert_ne!(
            request.bearer(),
            Some(foreign.as_str()),
            "a token of another grant"
        );
    }
    assert_eq!(issuer.refreshes(), 1);
}

#[tokio::test]
async fn a_grant_that_comes_back_at_once_waits_for_its_own_refresh() {
    let (_issuer, _api, mut sidecar) = world().await;
    let other = Issuer::start().await;
    let theirs = Api::start(&other).await;
    sidecar.leaks().watch(other.secrets());
    let gate = Gate::closed();
    other.next(Reply::regular().hold(&gate));
    let piece = second(sidecar.home(), &other, &theirs);
    sidecar.reconfigure(|settings| settings.lay(&piece));
    gate.reached_by(1).await;
    through(&sidecar, 1).await;
    sidecar.reconfigure(remove_second);
    through(&sidecar, 2).await;
    // The first keeper still waits for the server and holds the store.
    sidecar.reconfigure(|settings| settings.lay(&piece));
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open();
    assert_eq!(through(&sidecar, 3).await, [3.0, 0.0, 1.0]);
    settled(&sidecar, "/erp", 200).await;
    assert_eq!(other.refreshes(), 1, "what the first one got is taken up");
}

/// Calls until the workers follow.
async fn settled(sidecar: &Sidecar, path: &str, status: u16) {
    let patience = Instant::now() + client::PATIENCE;
    while sidecar.get(path).await.status != status {
        assert!(Instant::now() < patience, "no {status} at {path}");
    }
}

async fn settled_at(sidecar: &Sidecar, path: &str, api: &Api) {
    let (before, patience) = (api.requests().len(), Instant::now() + client::PATIENCE);
    while api.requests().len() == before {
        sidecar.get(path).await;
        assert!(Instant::now() < patience, "the old route is still used");
    }
}

#[tokio::test]
async fn a_faulty_file_leaves_what_runs() {
    let (issuer, _api, mut sidecar) = world().await;
    sidecar.spoil_config("[grant.crm]\nclient_secret = 'hunter2-hunter2'\n");
    sidecar.signal(Signal::Hup);
    assert_eq!(through(&sidecar, 1).await, [0.0, 1.0, 0.0]);
    let refused = sidecar
        .logged(|event| event.message.starts_with("configuration not reloaded"))
        .await;
    assert_eq!(refused.level, "ERROR");
    assert!(
        refused
            .field("cause")
            .contains("secrets never stand in the file"),
        "{refused:?}"
    );
    assert!(!refused.field("cause").contains("hunter2"), "{refused:?}");
    assert_eq!(sidecar.get("/").await.status, 200);
    assert!(sidecar.ask("/readyz").await.status.is_success());

    sidecar.reconfigure(|_| {});
    assert_eq!(through(&sidecar, 2).await, [1.0, 1.0, 1.0]);
    assert_eq!(issuer.refreshes(), 1);
}

#[tokio::test]
async fn what_is_fixed_is_refused_by_its_name() {
    let (_issuer, _api, mut sidecar) = world().await;
    let elsewhere = quoted(sidecar.home().join("elsewhere.grant").to_str().unwrap());
    let store = format!("grant.crm.store.file.path = {elsewhere}");
    let pieces = [
        ("proxy.workers = 2", "`[proxy]`"),
        ("admin.listen = '127.0.0.1:1'", "`[admin]`"),
        ("log.level = 'debug'", "`[log]`"),
        ("reload.interval = '1m'", "`[reload]`"),
        (&store, "`[grant.crm.store]`"),
    ];
    let whole = fs::read_to_string(sidecar.home().join("bearward.toml")).unwrap();
    for (number, (piece, section)) in pieces.into_iter().enumerate() {
        sidecar.reconfigure(|settings| settings.lay(piece));
        assert_eq!(
            through(&sidecar, 2 * number + 1).await[1..],
            [f64::from(u32::try_from(number).unwrap() + 1), 0.0]
        );
        let says = format!("{section} has changed, which takes a restart");
        sidecar.logged(|event| event.field("cause") == says).await;
        sidecar.reconfigure(|settings| *settings.table() = whole.parse().unwrap());
        // Back at the old one, which is taken; only then the next.
        let patience = Instant::now() + client::PATIENCE;
        while reloads(&sidecar).await[0] < f64::from(u32::try_from(number).unwrap() + 1) {
            assert!(Instant::now() < patience, "the old file is not taken");
        }
    }
}

#[tokio::test]
async fn one_bad_grant_among_good_changes_changes_nothing() {
    let (issuer, api, mut sidecar) = world().await;
    let other = Api::start(&issuer).await;
    let store = sidecar.home().join("grant/erp.grant");
    write_private(&store, "not a grant");
    let piece = second(sidecar.home(), &issuer, &api);
    let moved = format!("upstream = {:?}", other.url());
    sidecar.reconfigure(|settings| {
        settings.lay_route(&moved);
        settings.lay_grant("crm", "renew_floor = '1s'");
        settings.lay(&piece);
    });
    assert_eq!(through(&sidecar, 1).await, [0.0, 1.0, 0.0]);
    let refused = sidecar
        .logged(|event| event.message.starts_with("configuration not reloaded"))
        .await;
    assert!(
        refused.field("cause").contains("grant `erp`"),
        "{refused:?}"
    );
    assert!(
        refused.field("hint").contains("restore it from a backup"),
        "{refused:?}"
    );
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(
        other.requests().len(),
        0,
        "the good change is not taken either"
    );
    assert_eq!(fs::read(&store).unwrap(), b"not a grant");
    assert_eq!(
        sidecar.status().await["grants"].as_array().unwrap().len(),
        1
    );
    assert!(sidecar.ask("/readyz").await.status.is_success());

    // The bad one mended, all is taken; the lock of the failed try is not left behind.
    fs::remove_file(&store).unwrap();
    sidecar.signal(Signal::Hup);
    assert_eq!(through(&sidecar, 2).await, [1.0, 1.0, 1.0]);
    settled_at(&sidecar, "/", &other).await;
}

#[tokio::test]
async fn a_change_of_the_file_is_seen_without_a_signal_also_through_a_swapped_link() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let other = Api::start(&issuer).await;
    // As the kubelet lays a ConfigMap: config -> ..data/config, ..data -> a folder per version.
    let plan = Sidecar::between(&issuer, &api).config("reload.interval = '50ms'");
    let home = plan.home().to_owned();
    let version = |name: &str| {
        let folder = home.join(name);
        fs::create_dir(&folder).unwrap();
        folder.join("bearward.toml")
    };
    let first = version("v1");
    let line = "ln -s v1 ..data; mv bearward.toml v1/; ln -s ..data/bearward.toml bearward.toml";
    let line = format!("cd {home:?} && {{ {line}; }} && exec \"$@\"");
    let sidecar = plan.by_way_of(&line).start().await;
    assert_eq!(sidecar.get("/").await.status, 200);

    let text = fs::read_to_string(&first)
        .unwrap()
        .replace(api.url(), other.url());
    fs::write(version("v2"), text).unwrap();
    std::os::unix::fs::symlink("v2", home.join("..new")).unwrap();
    fs::rename(home.join("..new"), home.join("..data")).unwrap();
    through(&sidecar, 1).await;
    settled_at(&sidecar, "/", &other).await;

    // A faulty version is refused once and not again at each look.
    fs::write(home.join("v2/bearward.toml"), "[grant\n").unwrap();
    assert_eq!(through(&sidecar, 2).await, [1.0, 1.0, 0.0]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(reloads(&sidecar).await, [1.0, 1.0, 0.0]);
}

#[tokio::test]
async fn a_replaced_authority_is_taken_up() {
    let (old, new) = (Authority::new().unwrap(), Authority::new().unwrap());
    let issuer = Issuer::start().await;
    let mut api = Api::builder()
        .trusting(&issuer)
        .start_tls(&old)
        .await
        .unwrap();
    let plan = Sidecar::between(&issuer, &api).config("reload.interval = '50ms'");
    let ca = plan.home().join("ca.pem");
    fs::write(&ca, old.pem()).unwrap();
    let plan = plan.route(&format!("tls.ca = {ca:?}\npool.idle_timeout = '50ms'"));
    let mut sidecar = plan.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);

    api = Api::builder()
        .trusting(&issuer)
        .start_tls(&new)
        .await
        .unwrap();
    let moved = format!("upstream = {:?}", api.url());
    sidecar.reconfigure(|settings| settings.lay_route(&moved));
    through(&sidecar, 1).await;
    settled(&sidecar, "/", 502).await;
    fs::write(&ca, new.pem()).unwrap();
    through(&sidecar, 2).await;
    settled(&sidecar, "/", 200).await;
}

/// Calls without a pause, and counts; none may fail.
async fn call_until(done: &AtomicBool, mut connection: client::Connection) -> u32 {
    let mut calls = 0;
    while !done.load(Ordering::Relaxed) {
        assert_eq!(connection.get("/").await.unwrap().status, 200);
        calls += 1;
    }
    calls
}

#[tokio::test]
async fn traffic_never_fails_during_reloads() {
    let (issuer, api, mut sidecar) = world().await;
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (address, done) = (sidecar.proxy().clone(), Arc::clone(&done));
            let connection = async move {
                match number % 2 {
                    0 => client::Connection::http1(&address).await,
                    _ => client::Connection::http2(&address).await,
                }
            };
            tokio::spawn(async move { call_until(&done, connection.await).await })
        })
        .collect();
    let piece = second(sidecar.home(), &issuer, &api);
    for round in 0..20 {
        sidecar.reconfigure(|settings| match round % 4 {
            0 => settings.lay(&piece),
            1 => settings.lay_grant("crm", &format!("renew_floor = '{}s'", 10 + round)),
            2 => settings.lay_route(&format!("connect_timeout = '{}s'", 5 + round)),
            _ => remove_second(settings),
        });
        through(&sidecar, round + 1).await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    assert_eq!(reloads(&sidecar).await[1..], [0.0, 1.0]);
    assert!(api.connections() > 0);
}
