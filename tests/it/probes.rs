//! `bearward wait` and `bearward healthcheck`, as init scripts and containers use them.

use std::time::{Duration, Instant};

use crate::practice::{Api, Issuer};
use crate::support::settings::quoted;
use crate::support::{Sidecar, bearward};

#[tokio::test]
async fn probes_tell_running_from_ready_and_ready_from_gone() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    issuer.go_down().await;
    let plan = Sidecar::between(&issuer, &api);
    let socket = quoted(format!("unix:{}", plan.home().join("admin").display()));
    let plan = plan.config(&format!("admin.listen = {socket}"));
    let early = plan.command(&["healthcheck"], "").await;
    assert_eq!(early.code, Some(1));
    let says = "error: no process answers at unix:";
    assert!(early.stderr.starts_with(says), "{}", early.stderr);

    let mut sidecar = plan.start_unready().await;
    for (arguments, code, stdout, stderr) in [
        (&["healthcheck"][..], 0, "ok\n", ""),
        (&["wait"], 0, "", ""),
        (
            &["healthcheck", "--ready"],
            1,
            "",
            "error: not ready: grant crm\n",
        ),
        (
            &["wait", "--ready", "--timeout", "300ms"],
            1,
            "",
            "error: it did not come in 300ms; the last answer was:\nnot ready: grant crm\n",
        ),
    ] {
        let exit = sidecar.command(arguments, "").await;
        let told = (exit.code, exit.stdout.as_str(), exit.stderr.as_str());
        assert_eq!(told, (Some(code), stdout, stderr), "{arguments:?}");
    }

    issuer.come_back().await.unwrap();
    let ready = sidecar
        .command(&["wait", "--ready", "--timeout", "1m"], "")
        .await;
    assert_eq!((ready.code, ready.stderr.as_str()), (Some(0), ""));
    let healthy = sidecar.command(&["healthcheck", "--ready"], "").await;
    assert_eq!(
        (healthy.code, healthy.stdout.as_str()),
        (Some(0), "ready\n")
    );
    sidecar.stop().await;
    let gone = sidecar.command(&["wait", "--timeout", "1ms"], "").await;
    assert_eq!(gone.code, Some(1));
}

#[tokio::test]
async fn a_wait_begins_before_the_process_does() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api);
    let socket = quoted(format!("unix:{}", plan.home().join("admin").display()));
    let plan = plan.config(&format!("admin.listen = {socket}"));
    // Writes the file that both read.
    assert_eq!(plan.command(&["check"], "").await.code, Some(0));
    let config = plan.config_file().to_str().unwrap().to_owned();
    let wait =
        tokio::spawn(async move { bearward(&["wait", "--ready", "--config", &config], "").await });
    let _sidecar = plan.start().await;
    let waited = wait.await.unwrap();
    assert_eq!((waited.code, waited.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_probe_reads_one_key_and_minds_no_other_fault() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("bearward.toml");
    let path = file.to_str().unwrap();
    let socket = home.path().join("nobody");
    let faulty = format!(
        "[admin]\nlisten = {}\nactoins = 7\n[grant.crm]\nclient_secret = 'hunter2-hunter2'\n",
        quoted(format!("unix:{}", socket.display()))
    );
    for (text, code, says) in [
        (faulty.as_str(), 1, "no process answers at unix:"),
        (
            "[admin]\nlisten = 'nowhere'",
            2,
            "cannot read `[admin] listen`",
        ),
        (
            "client_secret = 'hunter2-hunter2",
            2,
            "cannot read `[admin] listen`",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let exit = bearward(&["healthcheck", "--config", path], "").await;
        assert_eq!(exit.code, Some(code), "{}", exit.stderr);
        assert!(exit.stderr.contains(says), "{}", exit.stderr);
        assert!(!exit.stderr.contains("hunter2"), "{}", exit.stderr);
    }
    let began = Instant::now();
    let wrong = bearward(&["wait", "--timeout", "soon"], "").await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(began.elapsed() < Duration::from_secs(30));
}
