//! A start that must fail: clear words, a way out, and nothing touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::practice::{Api, Issuer};
use crate::support::{Exit, Sidecar, SidecarBuilder, write_private};

/// A sidecar whose store holds a grant already, from an import.
async fn with_grant(issuer: &Issuer, api: &Api) -> SidecarBuilder {
    imported(Sidecar::between(issuer, api), issuer).await
}

async fn imported(plan: SidecarBuilder, issuer: &Issuer) -> SidecarBuilder {
    let exit = plan
        .command(&["import", "crm"], &issuer.refresh_token())
        .await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    plan
}

/// What the operator sees: `error: …` and `hint: …` as the last lines, exit code 1.
fn failed(exit: &Exit, says: &str, hint: &str) {
    assert_eq!(
        (exit.code, exit.stdout.as_str()),
        (Some(1), ""),
        "{}",
        exit.stderr
    );
    let lines: Vec<_> = exit
        .stderr
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    let [error, way_out] = lines[..] else {
        panic!("{lines:?}")
    };
    assert!(
        error.starts_with("error: ") && error.contains(says),
        "`{says}` is not in: {error}"
    );
    assert!(
        way_out.starts_with("hint: ") && way_out.contains(hint),
        "`{hint}` is not in: {way_out}"
    );
}

fn content(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_read_stops_the_start_and_stays() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let whole = with_grant(&issuer, &api).await;
    let whole = content(&whole.store()).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let half = text[..text.len() / 2].to_owned();
    let other = text.replace("\"grant\":\"crm\"", "\"grant\":\"erp\"");
    let newer = text.replace("\"bearward\":1", "\"bearward\":2");
    for (bytes, says, hint) in [
        (half.as_str(), "it breaks off", "restore it from a backup"),
        ("", "it is empty", "restore it from a backup"),
        (
            "-----BEGIN CERTIFICATE-----\n",
            "it is not JSON",
            "restore it",
        ),
        (
            "{\"refresh_token\":\"abc\"}",
            "a member is missing",
            "restore it",
        ),
        (
            &other,
            "it belongs to the grant `erp`",
            "give each grant a place of its own",
        ),
        (
            &newer,
            "it has form 2",
            "run the version of bearward that wrote it",
        ),
    ] {
        let plan = Sidecar::between(&issuer, &api);
        fs::create_dir(plan.store().parent().unwrap()).unwrap();
        write_private(&plan.store(), bytes);
        let (store, kept) = (plan.store(), plan.home().to_owned());
        let exit = plan.command(&["run"], "").await;
        failed(&exit, says, hint);
        assert!(
            exit.stderr
                .contains("the store of grant `crm` cannot be used")
        );
        assert_eq!(
            content(&store).unwrap(),
            bytes.as_bytes(),
            "{}",
            kept.display()
        );
    }
    assert_eq!(issuer.requests().len(), 0);
}

#[tokio::test]
async fn a_sealed_grant_opens_with_its_key_only() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = imported(Sidecar::between(&issuer, &api).sealed().await, &issuer).await;
    let sealed = content(&plan.store()).unwrap();
    let hint = "name the key that it was sealed with";

    let key = plan.home().join("store-key");
    let mine = fs::read(&key).unwrap();
    let other = crate::support::bearward(&["keygen"], "").await.stdout;
    fs::write(&key, plan.leaks().keep(other.trim())).unwrap();
    failed(
        &plan.command(&["run"], "").await,
        "it is sealed with the key",
        hint,
    );

    fs::write(&key, "no-key").unwrap();
    failed(&plan.command(&["run"], "").await, "key", "bearward keygen");

    fs::write(&key, mine).unwrap();
    let mut plan = plan;
    let grant = plan.settings().table()["grant"]["crm"]["store"]["file"]
        .as_table_mut()
        .unwrap();
    grant.remove("key");
    failed(
        &plan.command(&["run"], "").await,
        "no key is configured",
        hint,
    );
    assert_eq!(content(&plan.store()).unwrap(), sealed);
    assert_eq!(issuer.requests().len(), 0);
}

#[tokio::test]
async fn a_place_that_is_not_ours_alone_is_refused() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = with_grant(&issuer, &api).await;
    let (store, stored) = (plan.store(), content(&plan.store()).unwrap());
    let folder = store.parent().unwrap();

    fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    failed(
        &plan.command(&["run"], "").await,
        "others can write to the folder",
        "`chmod 700 ",
    );
    fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();

    fs::set_permissions(&store, Permissions::from_mode(0o644)).unwrap();
    failed(
        &plan.command(&["run"], "").await,
        "others can reach the file",
        "`chmod 600 ",
    );
    fs::set_permissions(&store, Permissions::from_mode(0o600)).unwrap();

    let away = folder.join("away");
    fs::rename(&store, &away).unwrap();
    std::os::unix::fs::symlink(&away, &store).unwrap();
    failed(
        &plan.command(&["run"], "").await,
        "is a symbolic link",
        "the path of the file itself",
    );
    assert_eq!(content(&away).unwrap(), stored);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_found_at_the_start() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    // A folder in /proc refuses even root.
    let plan =
        Sidecar::between(&issuer, &api).grant("store.file.path = '/proc/self/net/crm.grant'");
    let exit = plan.command(&["run"], "").await;
    assert_eq!(exit.code, Some(1));
    assert!(
        exit.stderr
            .contains("error: the store of grant `crm` cannot be used: "),
        "{}",
        exit.stderr
    );
    let plan = plan.grant("store.file.path = '/nonexistent/a/b/crm.grant'");
    failed(
        &plan.command(&["run"], "").await,
        "there is no folder `/nonexistent/a/b`",
        "make the folder above it",
    );
    assert_eq!(issuer.requests().len(), 0);
}

#[tokio::test]
async fn a_second_process_is_refused_and_names_the_first() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let stored = content(&sidecar.store());
    let second = sidecar.command(&["run"], "").await;
    failed(
        &second,
        &format!("process {} holds the lock", sidecar.id()),
        "one process at a time",
    );
    assert_eq!(content(&sidecar.store()), stored);
    assert_eq!(sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn an_address_in_use_is_told_before_a_store_is_touched() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for room in ["proxy", "admin"] {
        let plan = Sidecar::between(&issuer, &api).config(&format!("{room}.listen = '{address}'"));
        let exit = plan.command(&["run"], "").await;
        failed(
            &exit,
            &format!("cannot listen on `{address}`"),
            "another process listens there",
        );
        assert!(!plan.store().parent().unwrap().exists());
    }
    let plan =
        Sidecar::between(&issuer, &api).config("proxy.listen = 'unix:/nonexistent/proxy.sock'");
    failed(
        &plan.command(&["run"], "").await,
        "unix:/nonexistent/proxy.sock",
        "make the folder",
    );
}

#[tokio::test]
async fn a_missing_secret_is_a_fault_of_the_configuration() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let secret = plan.home().join("client-secret");
    let kept = fs::read(&secret).unwrap();
    fs::remove_file(&secret).unwrap();
    let exit = plan.command(&["run"], "").await;
    assert_eq!(exit.code, Some(2));
    assert!(
        exit.stderr.contains("error: client_secret: file `"),
        "{}",
        exit.stderr
    );
    assert!(!plan.store().parent().unwrap().exists());
    write_private(&secret, std::str::from_utf8(&kept).unwrap());
    let sidecar = plan.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
}
