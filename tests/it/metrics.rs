//! The metrics as Prometheus and the README see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::{Method, Request};

use crate::practice::{Api, Issuer, Reply};
use crate::support::Sidecar;
use crate::support::client::{self, Sent};
use crate::support::golden::hold_against;

/// One family: its type, its labels and its sentence.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// A sidecar that has met about everything, and what it then says.
async fn said() -> (Sidecar, String) {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .route("path = '/api'")
        .start()
        .await;
    api.on("/api/broken", Reply::hang_up());
    for path in ["/api", "/api/broken", "/elsewhere"] {
        sidecar.get(path).await;
    }
    api.reject(&issuer.access_token().unwrap());
    assert_eq!(sidecar.get("/api").await.status, 200);
    let text = sidecar.ask("/metrics").await.text();
    (sidecar, text)
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().help += help;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().kind += kind;
        } else if let Some((name, labels)) = line.split_once('{') {
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| name.strip_suffix(end));
            let base = base
                .filter(|base| families.contains_key(*base))
                .unwrap_or(name);
            let labels = labels.rsplit_once('}').unwrap().0;
            let names = labels
                .split("\",")
                .filter_map(|label| label.split_once('='));
            let names = names
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "le");
            families.get_mut(base).unwrap().labels.extend(names);
        }
    }
    families
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (name, family) in families
        .iter()
        .filter(|(name, _)| name.starts_with("bearward_"))
    {
        let labels: Vec<_> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let meaning = family.help.replace('|', "\\|");
        writeln!(
            table,
            "| `{name}` | {} | {} | {meaning} |",
            family.kind,
            labels.join(", ")
        )
        .unwrap();
    }
    table
}

#[tokio::test]
async fn the_readme_lists_every_metric_and_no_other() {
    let (_sidecar, text) = said().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("<!-- metrics -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /metrics -->").unwrap();
    let table = table(&families(&text));
    let wanted = format!("{before}<!-- metrics -->\n{table}<!-- /metrics -->{after}");
    hold_against(&path, &wanted).unwrap_or_else(|told| panic!("{told}"));
}

#[tokio::test]
async fn names_and_types_follow_prometheus_rules() {
    let (_sidecar, text) = said().await;
    let families = families(&text);
    assert!(families.len() > 30, "{}", families.len());
    for (name, family) in &families {
        assert!(
            name.starts_with("bearward_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            family.kind == "counter",
            "{name}: {}",
            family.kind
        );
        assert!(
            family.kind != "histogram" || name.ends_with("_seconds"),
            "{name}"
        );
        assert!(
            family.help.ends_with('.') || name.starts_with("process_"),
            "{name}: {}",
            family.help
        );
        for label in &family.labels {
            assert!(
                !["le", "quantile", "path", "host", "user"].contains(&label.as_str()),
                "{name}: {label}"
            );
        }
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert!(families.contains_key(name), "{name} is missing");
    }
}

#[tokio::test]
async fn promtool_has_nothing_to_say_against_them() {
    let (_sidecar, text) = said().await;
    let mut promtool = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    // The process metrics are the library's, and so are their names.
    let ours: Vec<_> = told
        .lines()
        .filter(|line| !line.starts_with("process_"))
        .collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
    assert!(
        output.status.success() || !told.is_empty(),
        "promtool failed without a word"
    );
}

/// From the path, or from where `tests/run` unpacks it.
fn promtool() -> PathBuf {
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/debian/usr/bin/promtool");
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&folders).map(|folder| folder.join("promtool"));
    let found = on_path.chain([cached]).find(|program| program.is_file());
    found.expect(
        "`promtool` is missing: `tests/run` fetches it, or install Debian's package `prometheus`",
    )
}

/// A request with a path, a host and a method that nobody sent before.
fn odd(round: u16, number: u16) -> Request<Sent> {
    let path = match number % 3 {
        0 => String::from("/api/status"),
        1 => format!("/api/{round}/{number}?q={number}"),
        _ => format!("/none/{round}{number}"),
    };
    let method = match number % 2 {
        0 => Method::GET,
        _ => Method::from_bytes(format!("M{round}X{number}").as_bytes()).unwrap(),
    };
    let mut request = client::request(method, &path, "");
    let host = format!("host-{round}-{number}.example.com");
    request.headers_mut().insert("host", host.parse().unwrap());
    request
}

#[tokio::test]
async fn no_caller_can_make_new_series() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .config("log.level = 'info'\nlog.requests = false")
        .route("path = '/api'")
        .start()
        .await;
    let vary = async |round: u16| {
        let mut connection = sidecar.connect().await;
        for number in 0..120 {
            let status = 200 + number % 4 * 100 + round;
            api.on("/api/status", Reply::status(status));
            connection.send(odd(round, number)).await.unwrap();
        }
        let text = sidecar.ask("/metrics").await.text();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let first = vary(1).await;
    assert_eq!(vary(2).await, first);
}

#[tokio::test]
async fn bodies_are_counted_by_their_bytes() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    api.on("/echo", Reply::echo());
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .start()
        .await;
    let body = vec![b'x'; 50_000];
    let answer = sidecar.send(client::post("/echo", body.clone())).await;
    assert_eq!(answer.body.len(), 50_000);
    api.reject(&issuer.access_token().unwrap());
    let answer = sidecar.send(client::post("/echo", body)).await;
    assert_eq!(answer.body.len(), 50_000);
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("bearward_replays_total", &[]), 1.0);
    assert_eq!(
        metrics.sum("bearward_request_body_bytes_total", &[]),
        100_000.0,
        "a replay counts once"
    );
    assert_eq!(
        metrics.sum("bearward_response_body_bytes_total", &[]),
        100_000.0
    );
}

#[tokio::test]
async fn histograms_and_counters_add_up() {
    let (sidecar, _) = said().await;
    let metrics = sidecar.metrics().await;
    let route = [("route", "/api")];
    let answers = metrics.sum("bearward_requests_total", &route);
    assert_eq!(answers, 3.0);
    assert_eq!(
        metrics.sum("bearward_requests_total", &[("reason", "upstream_closed")]),
        1.0
    );
    assert_eq!(
        metrics.sum("bearward_requests_total", &[("reason", "no_route")]),
        1.0
    );
    for name in [
        "bearward_request_duration_seconds",
        "bearward_grant_refresh_duration_seconds",
        "bearward_store_write_duration_seconds",
    ] {
        let count = metrics.sum(&format!("{name}_count"), &[]);
        let all = metrics.sum(&format!("{name}_bucket"), &[("le", "+Inf")]);
        assert_eq!(count, all, "{name}");
        let sum = metrics.sum(&format!("{name}_sum"), &[]);
        assert!(
            count > 0.0 && sum > 0.0 && sum < 60.0,
            "{name}: {count}, {sum}"
        );
    }
    assert_eq!(
        metrics.sum("bearward_request_duration_seconds_count", &route),
        answers
    );
    assert_eq!(metrics.sum("bearward_requests_in_flight", &[]), 0.0);
    assert_eq!(
        metrics.sum("bearward_grant_refreshes_total", &[("outcome", "success")]),
        2.0
    );
    assert_eq!(metrics.sum("bearward_grant_rotations_total", &[]), 2.0);
    assert_eq!(
        metrics.sum("bearward_grant_state", &[("state", "live")]),
        1.0
    );
    assert_eq!(metrics.sum("bearward_grant_state", &[]), 1.0);
    let expiry = metrics
        .one("bearward_grant_access_token_expiry_timestamp_seconds", &[])
        .unwrap();
    let started = metrics.one("process_start_time_seconds", &[]).unwrap();
    assert!((expiry - started - 3600.0).abs() < 60.0, "{expiry}");
    assert_eq!(
        metrics.one(
            "bearward_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        Some(1.0)
    );
}

#[tokio::test]
async fn a_fixed_end_is_told_with_the_life_that_it_ends() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("lifetime.absolute = '90d'")
        .start()
        .await;
    sidecar.get("/").await;
    let metrics = sidecar.metrics().await;
    let lifetime = metrics.one("bearward_grant_refresh_token_lifetime_seconds", &[]);
    assert!((lifetime.unwrap() - 90.0 * 86_400.0).abs() < 1.0);
}
