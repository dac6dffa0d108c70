//! The command line as an operator meets it: help, faults, keys, the schema, `status`, `import`.

use std::path::Path;

use crate::practice::{Api, Issuer, Outcome};
use crate::support::golden::hold_against;
use crate::support::{Exit, Sidecar, SidecarBuilder, bearward};

/// A file with two faults and a secret where none belongs.
const FAULTY: &str = r#"
[grant.crm]
issuer = "https://login.example.com"
client_id = "legacy-crm"
client_secret = "hunter2-hunter2-hunter2"
[grant.crm.store.file]
path = "STORE"
[[route]]
grnat = "crm"
upstream = "https://api.example.com"
"#;

#[tokio::test]
async fn help_is_as_it_was() {
    let mut wrong = String::new();
    for command in [
        "",
        "run",
        "check",
        "status",
        "login",
        "import",
        "refresh",
        "revoke",
        "wait",
        "healthcheck",
        "keygen",
        "schema",
    ] {
        let arguments: Vec<_> = [command, "--help"]
            .into_iter()
            .filter(|a| !a.is_empty())
            .collect();
        let exit = bearward(&arguments, "").await;
        assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""));
        let name = if command.is_empty() {
            "bearward"
        } else {
            command
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/help/{name}.txt"));
        wrong += &hold_against(&path, &exit.stdout).err().unwrap_or_default();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_wrong_command_line_is_told_on_standard_error() {
    for arguments in [&["bark"][..], &["run", "--confg", "x"], &["import"], &[]] {
        let exit = bearward(arguments, "").await;
        assert_eq!(
            (exit.code, exit.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(exit.stderr.contains("Usage: bearward"), "{}", exit.stderr);
    }
    let exit = bearward(&["--version"], "").await;
    assert_eq!(
        exit.stdout,
        format!("bearward {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(exit.code, Some(0));
}

#[tokio::test]
async fn a_faulty_file_is_reported_whole_and_nothing_is_started() {
    let home = tempfile::tempdir().unwrap();
    let (file, store) = (
        home.path().join("bearward.toml"),
        home.path().join("grants"),
    );
    let text = FAULTY.replace("STORE", store.join("crm.grant").to_str().unwrap());
    std::fs::write(&file, text).unwrap();
    for command in [
        &["run"][..],
        &["check"],
        &["check", "--live"],
        &["status"],
        &["import", "crm"],
    ] {
        let exit = bearward(
            &[command, &["--config", file.to_str().unwrap()]].concat(),
            "token",
        )
        .await;
        assert_eq!(
            (exit.code, exit.stdout.as_str()),
            (Some(2), ""),
            "{command:?}"
        );
        for part in ["client_secret", "`grnat`", "help: ", "^", "2 faults"] {
            assert!(
                exit.stderr.contains(part),
                "{command:?}, `{part}`:\n{}",
                exit.stderr
            );
        }
        assert!(!exit.stderr.contains("hunter2"), "{}", exit.stderr);
        assert!(!store.exists(), "{command:?} has made the store's folder");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing.toml");
    // A folder stands for what root cannot read either.
    for (path, says) in [
        (missing.as_path(), "hint: name the file"),
        (home.path(), "directory"),
    ] {
        for command in ["run", "check", "status"] {
            let exit = bearward(&[command, "--config", path.to_str().unwrap()], "").await;
            assert_eq!(
                (exit.code, exit.stdout.as_str()),
                (Some(2), ""),
                "{command}"
            );
            let named = format!(
                "error: cannot read the configuration file `{}`",
                path.display()
            );
            assert!(exit.stderr.starts_with(&named), "{}", exit.stderr);
            assert!(exit.stderr.contains(says), "{}", exit.stderr);
            let last = exit.stderr.lines().last().unwrap();
            assert!(
                !exit.stderr.contains("hint") || last.starts_with("hint: "),
                "{last}"
            );
        }
    }
}

#[tokio::test]
async fn keys_are_made_anew_and_seal_a_store() {
    let [one, other] = [
        bearward(&["keygen"], "").await,
        bearward(&["keygen"], "").await,
    ];
    assert_eq!((one.code, one.stderr.as_str()), (Some(0), ""));
    assert_eq!(one.stdout.lines().count(), 1);
    assert_ne!(one.stdout, other.stdout);
}

#[tokio::test]
async fn the_schema_is_json_that_knows_every_table() {
    let exit = bearward(&["schema"], "").await;
    let schema: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_eq!(exit.code, Some(0));
    for table in ["proxy", "admin", "log", "reload", "grant", "route"] {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
}

// `bearward import`

async fn unseeded() -> (Issuer, Api, SidecarBuilder) {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::builder()
        .watch(issuer.secrets())
        .client(issuer.url(), issuer.client_id(), issuer.client_secret())
        .upstream(api.url());
    (issuer, api, plan)
}

fn failed(exit: &Exit, says: &[&str]) {
    assert_eq!(
        (exit.code, exit.stdout.as_str()),
        (Some(1), ""),
        "{}",
        exit.stderr
    );
    assert!(exit.stderr.starts_with("error: "), "{}", exit.stderr);
    for part in says {
        assert!(
            exit.stderr.contains(part),
            "`{part}` is missing:\n{}",
            exit.stderr
        );
    }
}

#[tokio::test]
async fn an_imported_token_is_used_by_run() {
    let (issuer, _api, plan) = unseeded().await;
    let exit = plan
        .command(
            &["import", "crm"],
            &format!("  {}\r\n\n", issuer.refresh_token()),
        )
        .await;
    assert_eq!(
        (exit.code, exit.stdout.as_str()),
        (Some(0), ""),
        "{}",
        exit.stderr
    );
    assert!(
        exit.stderr.starts_with("grant `crm`: refresh token "),
        "{}",
        exit.stderr
    );
    let sidecar = plan.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.count(Outcome::Refreshed), issuer.requests().len());
}

#[tokio::test]
async fn what_is_no_token_is_not_imported() {
    let (_issuer, _api, plan) = unseeded().await;
    let long = "x".repeat(70_000);
    for (input, says) in [
        ("", "standard input is empty"),
        (" \n\t\n", "standard input is empty"),
        ("two tokens", "not a refresh token"),
        ("two\nlines", "not a refresh token"),
        ("not-ascii-\u{e9}", "not a refresh token"),
        (long.as_str(), "not a refresh token"),
    ] {
        failed(
            &plan.command(&["import", "crm"], input).await,
            &[says, "\nhint: "],
        );
        assert!(!plan.store().exists());
    }
    let unknown = plan.command(&["import", "crn"], "token").await;
    failed(
        &unknown,
        &[
            "no grant is named `crn`",
            "\nhint: the configuration has `crm`",
        ],
    );
}

#[tokio::test]
async fn an_import_does_not_race_a_running_process() {
    let (issuer, _api, plan) = unseeded().await;
    let plan = plan.seed(&issuer.refresh_token());
    let sidecar = plan.start().await;
    let before = std::fs::read(sidecar.store()).unwrap();
    let exit = sidecar.command(&["import", "crm"], "another-token").await;
    failed(
        &exit,
        &[
            &format!("process {} holds the lock", sidecar.id()),
            "\nhint: ",
        ],
    );
    assert_eq!(std::fs::read(sidecar.store()).unwrap(), before);
}

#[tokio::test]
async fn an_import_takes_the_place_of_a_dead_chain_and_of_the_seed() {
    let (issuer, _api, plan) = unseeded().await;
    let plan = plan.seed(&issuer.refresh_token());
    let mut sidecar = plan.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    sidecar.stop().await;
    issuer.revoke_grant();
    let fresh = issuer.new_grant();
    let exit = sidecar.command(&["import", "crm"], &fresh).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    sidecar.start_again().await;
    assert_eq!(
        sidecar.get("/").await.status,
        200,
        "the seed does not replace what was imported"
    );
    assert_eq!(issuer.count(Outcome::Refreshed), issuer.requests().len());
}

// `bearward status`

#[tokio::test]
async fn status_asks_the_process_and_without_one_the_stores() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let socket = format!("unix:{}", plan.home().join("admin.sock").display());
    let plan = plan.config(&format!("admin.listen = {socket:?}"));

    let empty = plan.command(&["status"], "").await;
    assert_eq!(empty.code, Some(0), "{}", empty.stderr);
    assert_eq!(
        empty.stdout,
        format!("source: stores (no process answers at {socket})\n\ngrant `crm`: none\n")
    );

    let mut sidecar = plan.start().await;
    let running = sidecar.command(&["status"], "").await;
    assert_eq!((running.code, running.stderr.as_str()), (Some(0), ""));
    assert!(running.stdout.starts_with(&format!(
        "source: process at {socket}\n\ngrant `crm`: live\n"
    )));
    for line in [
        "refresh token  ",
        "access token  ",
        "access token ends  ",
        "last rotated  ",
    ] {
        assert!(
            running.stdout.contains(&format!("\n  {line}")),
            "{line}:\n{}",
            running.stdout
        );
    }
    sidecar.stop().await;
    let stopped = sidecar.command(&["status"], "").await;
    let (_, shown) = running.stdout.split_once('\n').unwrap();
    assert_eq!(
        stopped.stdout,
        format!("source: stores (no process answers at {socket})\n{shown}")
    );

    let json = sidecar.command(&["status", "--json"], "").await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["grants"][0]["grant"], "crm");
    assert_eq!(json["grants"][0]["state"], "live");
    assert_eq!(json["grants"][0]["access_token_lives"], true);
}

#[tokio::test]
async fn a_dead_grant_is_told_with_its_reason() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let socket = format!("unix:{}", plan.home().join("admin.sock").display());
    issuer.revoke_grant();
    let sidecar = plan
        .config(&format!("admin.listen = {socket:?}"))
        .start_unready()
        .await;
    issuer.requests().reaches(1).await.unwrap();
    sidecar
        .logged(|event| event.message == "refresh failed")
        .await;
    let exit = sidecar.command(&["status"], "").await;
    assert_eq!(exit.code, Some(0));
    assert!(
        exit.stdout.contains("grant `crm`: suspect\n"),
        "{}",
        exit.stdout
    );
    assert!(exit.stdout.contains("invalid_grant"), "{}", exit.stdout);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_does_not_hide_the_others() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let other = plan.home().join("other.grant");
    std::fs::write(&other, "{\"bearward\": 1, \"gra").unwrap();
    let plan = plan.config(&format!(
        "[grant.a]\nissuer = {:?}\nclient_id = 'a'\nclient_auth = 'none'\nstore.file.path = {other:?}",
        issuer.url()
    ));
    for (arguments, shows) in [
        (&["status"][..], "grant `crm`: none"),
        (&["status", "--json"], "\"crm\""),
    ] {
        let exit = plan.command(arguments, "").await;
        assert_eq!(exit.code, Some(1));
        assert!(exit.stdout.contains(shows), "{}", exit.stdout);
        assert!(exit.stdout.contains("unreadable"), "{}", exit.stdout);
        assert!(
            exit.stderr.contains("\nhint: nothing was changed"),
            "{}",
            exit.stderr
        );
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_fault() {
    let program = env!("CARGO_BIN_EXE_bearward");
    let shell = tokio::task::spawn_blocking(move || {
        let line = format!("{program:?} schema | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}");
        std::process::Command::new("bash")
            .arg("-c")
            .arg(line)
            .output()
            .unwrap()
    });
    let output = shell.await.unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"0\n"[..], &b""[..])
    );
}
