//! Rules, alerts and scraping, by Prometheus' own tools and by a Prometheus that runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{debian, read, root, strangers, succeed, yaml};
use crate::practice::{Api, Issuer};
use crate::support::child::Captured;
use crate::support::client::{self, Address, PATIENCE};
use crate::support::golden::hold_against;
use crate::support::{Event, Sidecar};

const RULES: &str = "deploy/prometheus/rules.yaml";

/// All rules of all groups.
fn rules() -> Vec<Value> {
    let document = yaml::documents(&read(RULES)).remove(0);
    let groups = document["groups"].as_array().unwrap().clone();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.collect()
}

fn alerts() -> impl Iterator<Item = Value> {
    rules().into_iter().filter(|rule| rule["alert"].is_string())
}

#[test]
fn promtool_takes_rules_and_configuration() {
    let folder = root().join("deploy/prometheus");
    let promtool = |arguments: &[&str]| {
        succeed(
            Command::new(debian("promtool"))
                .args(arguments)
                .current_dir(&folder),
        )
    };
    promtool(&["check", "rules", "rules.yaml"]);
    promtool(&["check", "config", "scrape.yaml"]);
    // Debian's tools know no Kubernetes; the rest is theirs to judge.
    let pods = read("deploy/prometheus/scrape-kubernetes.yaml");
    let discovery = "kubernetes_sd_configs:\n  - role: pod\n";
    assert!(pods.contains(discovery), "{pods}");
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pods.yaml");
    let judged = pods.replace(discovery, "static_configs: [targets: [x]]\n");
    std::fs::write(&file, judged).unwrap();
    promtool(&["check", "config", file.to_str().unwrap()]);
}

#[test]
fn each_rule_holds_in_its_unit_test_and_each_alert_at_no_other_time() {
    let folder = root().join("deploy/prometheus");
    let mut promtool = Command::new(debian("promtool"));
    promtool.args(["test", "rules", "tests.yaml", "tests-ends.yaml"]);
    succeed(promtool.current_dir(folder));
    let tests = read("deploy/prometheus/tests.yaml") + &read("deploy/prometheus/tests-ends.yaml");
    for rule in rules() {
        let name = ["alert", "record"].map(|kind| rule[kind].as_str());
        let name = name.into_iter().flatten().next().unwrap();
        assert!(tests.contains(name), "{name} has no test");
    }
}

#[test]
fn rules_use_metrics_that_exist() {
    let rules = rules();
    let names = rules.iter().filter_map(|rule| rule["record"].as_str());
    let recorded: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(recorded.len() >= 5, "{recorded:?}");
    for rule in &rules {
        let faults = strangers(rule["expr"].as_str().unwrap(), &recorded);
        assert!(faults.is_empty(), "{faults:?}: {rule:#}");
    }
}

#[test]
fn the_readme_says_what_each_alert_means() {
    let mut table = String::from("| alert | severity | means | do |\n|---|---|---|---|\n");
    for alert in alerts() {
        let text = |pointer: &str| {
            let text = alert.pointer(pointer).and_then(Value::as_str);
            let text = text.unwrap_or_else(|| panic!("no {pointer}: {alert:#}"));
            text.trim().replace('|', "\\|")
        };
        assert!(!text("/annotations/summary").ends_with('.'), "{alert:#}");
        writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            text("/alert"),
            text("/labels/severity"),
            text("/annotations/description"),
            text("/annotations/runbook")
        )
        .unwrap();
    }
    let path = root().join("README.md");
    let readme = read("README.md");
    let (before, rest) = readme.split_once("<!-- alerts -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /alerts -->").unwrap();
    let wanted = format!("{before}<!-- alerts -->\n{table}<!-- /alerts -->{after}");
    hold_against(&path, &wanted).unwrap_or_else(|told| panic!("{told}"));
}

/// A Prometheus with the rules as they are, but for their patience: they fire at once.
async fn prometheus(folder: &Path, target: &Address) -> (Captured, Address) {
    let hasty = read(RULES).lines().fold(String::new(), |mut text, line| {
        let wait = line.trim_start().starts_with("for: ");
        writeln!(text, "{}", if wait { "    for: 0s" } else { line }).unwrap();
        text
    });
    std::fs::write(folder.join("rules.yaml"), hasty).unwrap();
    let config = read("deploy/prometheus/scrape.yaml")
        .replace("_interval: 30s", "_interval: 250ms")
        .replace("127.0.0.1:9901", &target.to_string());
    std::fs::write(folder.join("prometheus.yaml"), config).unwrap();
    let process = Captured::start(
        Command::new(debian("prometheus"))
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .current_dir(folder),
    );
    let process = process.unwrap();
    let listens = |lines: &[String]| {
        let values = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut heard = values.filter(|value: &Value| value["msg"] == "Listening on");
        Some(heard.next()?["address"].as_str()?.to_owned())
    };
    let lines = process
        .stderr()
        .until(|lines| listens(lines).is_some())
        .await;
    let lines = lines.unwrap_or_else(|error| panic!("{error}: {}", process.tail(20)));
    let address = Address::parse(&listens(&lines).unwrap());
    (process, address)
}

/// Asks Prometheus until `enough` holds of what it answers.
async fn until(address: &Address, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + 2 * PATIENCE;
    loop {
        let answer = client::call(address, client::get(path)).await.unwrap();
        // It answers 503 until it has read its own files.
        if answer.status.is_success() {
            let told = answer.json();
            if enough(&told["data"]) {
                return told["data"].clone();
            }
            assert!(Instant::now() < patience, "{path}: {told:#}");
        }
        assert!(Instant::now() < patience, "{path}: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The names of the alerts that fire for the one grant.
fn firing(data: &Value) -> BTreeSet<String> {
    let alerts = data["alerts"].as_array().unwrap().iter();
    let firing = alerts.filter(|alert| alert["state"] == "firing");
    let names = firing.map(|alert| {
        assert_eq!(alert["labels"]["grant"], "crm", "{alert:#}");
        alert["labels"]["alertname"].as_str().unwrap().to_owned()
    });
    names.collect()
}

#[tokio::test]
async fn a_prometheus_sees_the_grant_die() {
    let issuer = Issuer::builder()
        .lifetime(Duration::from_secs(3))
        .start()
        .await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut process, address) = prometheus(folder.path(), sidecar.admin()).await;

    let live = "/api/v1/query?query=bearward_grant_state%7Bstate=%22live%22%7D";
    let is_live = |data: &Value| data["result"][0]["value"][1] == "1";
    until(&address, live, is_live).await;
    let loaded = until(&address, "/api/v1/rules", |data| {
        let groups = data["groups"].as_array().unwrap();
        let mut rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap());
        !groups.is_empty() && rules.all(|rule| rule["health"] != "unknown")
    });
    let loaded = loaded.await;
    let groups = loaded["groups"].as_array().unwrap().iter();
    let loaded: Vec<_> = groups
        .flat_map(|it| it["rules"].as_array().unwrap())
        .collect();
    assert_eq!(loaded.len(), rules().len());
    assert!(
        loaded.iter().all(|rule| rule["health"] == "ok"),
        "{loaded:#?}"
    );
    let data = until(&address, "/api/v1/alerts", |_| true).await;
    assert_eq!(firing(&data), BTreeSet::new(), "all is well");

    issuer.revoke_grant();
    let dead = |event: &Event| event.message.starts_with("the grant is dead");
    sidecar.logged(dead).await;
    let fires = |data: &Value| firing(data).contains("BearwardGrantDead");
    until(&address, "/api/v1/alerts", fires).await;
    process.end();
}
