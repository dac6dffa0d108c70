//! What lies in `deploy/`, held against the program and against the tools that will read it.

mod admission;
mod grafana;
mod host;
mod kubernetes;
mod prometheus;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a tool to its end.
fn run(command: &mut Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `tests/run` installs what the tests need")
    })
}

/// Runs a tool that must succeed, and gives what it printed.
fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let told = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}:\n{text}{told}");
    text
}

/// A program that `tests/run` brings into this folder of its cache: from there or from the path.
fn brought(program: &str, folder: &str) -> PathBuf {
    let cached = root().join("tests/.cache").join(folder).join(program);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&folders).map(|folder| folder.join(program));
    let found = [cached].into_iter().chain(on_path).find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("`{program}` is missing: `tests/run` fetches it"))
}

/// A program of Debian's package `prometheus`.
fn debian(program: &str) -> PathBuf {
    brought(program, "debian/usr/bin")
}

/// The README's table of metrics: each with its type and labels.
fn metrics() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let readme = read("README.md");
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| `bearward_"));
    let metric = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let bare = |text: &str| text.trim_matches('`').to_owned();
        let labels = cells[3].split(", ").map(bare).collect();
        (bare(cells[1]), (cells[2].to_owned(), labels))
    };
    rows.map(metric).collect()
}

/// The labels that Prometheus puts on, or that are a bucket's.
const FOREIGN: [&str; 5] = ["namespace", "pod", "instance", "job", "le"];

/// What is wrong with the names in an expression: metrics and labels that do not exist.
fn strangers(expression: &str, recorded: &BTreeSet<String>) -> Vec<String> {
    let metrics = metrics();
    let mut faults = Vec::new();
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut rest = expression;
    while let Some(start) = rest.find(name) {
        rest = &rest[start..];
        let end = rest.find(|c| !name(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        rest = after;
        if recorded.contains(token) || !(token.contains("bearward_") || token.contains(':')) {
            continue;
        }
        let mut ends = ["_bucket", "_sum", "_count"].into_iter();
        let base = ends.find_map(|end| token.strip_suffix(end));
        let histogram = |base: &&str| metrics.get(*base).is_some_and(|it| it.0 == "histogram");
        let metric = metrics.get(base.filter(histogram).unwrap_or(token));
        let Some((kind, labels)) = metric else {
            faults.push(format!("there is no metric `{token}`"));
            continue;
        };
        if (kind == "histogram") != base.is_some() {
            faults.push(format!("`{token}` is no series of a {kind}"));
        }
        let selected = after.strip_prefix('{').and_then(|it| it.split_once('}'));
        for matcher in selected.map_or("", |it| it.0).split(',') {
            let label = matcher.trim().split(['=', '!']).next().unwrap();
            if !label.is_empty() && !labels.contains(label) && !FOREIGN.contains(&label) {
                faults.push(format!("`{token}` has no label `{label}`"));
            }
        }
    }
    faults
}

#[test]
fn planted_strangers_are_found() {
    let recorded = BTreeSet::from([String::from("grant:x:y")]);
    for (expression, found) in [
        (
            "rate(bearward_requests_total{code=\"5xx\", pod=~\"a\"}[5m])",
            0,
        ),
        ("bearward_requests_totals", 1),
        (
            "bearward_requests_total{color=\"5xx\"} / bearward_nothing",
            2,
        ),
        ("bearward_request_duration_seconds", 1),
        ("bearward_request_duration_seconds_bucket{le=\"1\"}", 0),
        ("bearward_grant_state_count", 1),
        ("grant:x:y + grant:x:z", 1),
    ] {
        let faults = strangers(expression, &recorded);
        assert_eq!(faults.len(), found, "{expression}: {faults:?}");
    }
}
