//! The image's recipe and systemd's unit.

use std::process::Command;

use bearward::config::Config;

use super::{read, root, run, succeed};
use crate::support::bearward;

#[test]
fn the_image_is_of_this_version_and_belongs_to_nobody() {
    let recipe = read("deploy/Dockerfile");
    for line in [
        "FROM scratch AS frame",
        "USER 65532:65532",
        "ENTRYPOINT [\"/bearward\"]",
        "    SOURCE_DATE_EPOCH=0 \\",
        "    cargo build --release --locked --bin bearward --target \"$target\" && \\",
        "COPY --from=build /bearward /bearward",
    ] {
        assert!(recipe.lines().any(|it| it == line), "{line}");
    }
    let version = format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(recipe.contains(&version), "{version}");
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        assert!(recipe.contains(target), "{target}");
    }
}

/// The figure before a word, as `1.1` of `… 1.1 of 10`.
fn figure(text: &str, before: &str, after: &str) -> f64 {
    let (_, rest) = text.split_once(before).expect(before);
    rest.split(after).next().unwrap().trim().parse().unwrap()
}

#[test]
fn the_unit_is_as_hardened_as_it_says() {
    let path = root().join("deploy/systemd/bearward.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true"]).arg(&path);
    let told = succeed(&mut analyze);
    let exposure = figure(&told, "for bearward.service:", "OK");
    let stated = figure(
        &read("deploy/systemd/bearward.service"),
        "this unit ",
        "of 10",
    );
    assert!(exposure <= stated, "{exposure} > {stated}:\n{told}");

    let socket = path.with_file_name("bearward.socket");
    let mut verify = Command::new("systemd-analyze");
    let verified = run(verify.arg("verify").args([&path, &socket]));
    let told = String::from_utf8_lossy(&verified.stderr);
    // The program is not installed here, which is all that may be said.
    let ours = told.lines().filter(|line| line.contains("bearward."));
    let others: Vec<_> = ours
        .filter(|line| !line.contains("is not executable"))
        .collect();
    assert!(others.is_empty(), "{told}");
}

#[tokio::test]
async fn the_units_configuration_names_what_the_unit_loads() {
    let (unit, text) = (
        read("deploy/systemd/bearward.service"),
        read("deploy/systemd/bearward.toml"),
    );
    let folder = tempfile::tempdir().unwrap();
    let loads = unit
        .lines()
        .filter_map(|line| line.strip_prefix("LoadCredential="));
    let mut names = Vec::new();
    for name in loads.map(|it| it.split(':').next().unwrap()) {
        assert!(
            text.contains(&format!("/bearward.service/{name}\"")),
            "{name}"
        );
        names.push(name);
    }
    let checked = super::kubernetes::check(&text, &folder, &names).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(unit.contains("ExecStart=/usr/local/bin/bearward run"));

    let socket = read("deploy/systemd/bearward.socket");
    let path = socket
        .lines()
        .find_map(|line| line.strip_prefix("ListenStream="));
    let listen = Config::parse(&text, "bearward.toml").unwrap().proxy.listen;
    assert_eq!(listen.to_string(), format!("unix:{}", path.unwrap()));
    assert!(unit.contains("Requires=bearward.socket\n"));
    // It would take the socket's folder away at each stop.
    assert!(!unit.contains("RuntimeDirectory="));
    assert_eq!(bearward(&["run", "--help"], "").await.code, Some(0));
}
