//! Clients and servers that are not ours: grpcio, `websockets`, curl and nghttp.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{World, settled};
use crate::practice::{Issuer, Reply};
use crate::support::child::Captured;
use crate::support::{Exit, Sidecar, SidecarBuilder};

const MIB: usize = 1024 * 1024;

/// A script of `tests/clients`: it is the server that it then calls through the sidecar.
async fn both_ends(script: &str, change: impl FnOnce(SidecarBuilder) -> SidecarBuilder) {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let packages = tests.join(".cache/python");
    let hint = "hint: start the tests with `tests/run`, which installs what is missing";
    assert!(packages.is_dir(), "no Python packages\n{hint}");
    let mut command = Command::new("python3");
    command
        .arg(tests.join("clients").join(script))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut python = Captured::start(&mut command)
        .unwrap_or_else(|error| panic!("python3 does not start: {error}\n{hint}"));
    let listens = |lines: &[String]| {
        let port = lines.first()?.strip_prefix("listening ")?;
        port.parse::<u16>().ok()
    };
    let lines = python
        .stdout()
        .until(|lines| listens(lines).is_some())
        .await;
    let Ok(lines) = lines else {
        panic!("{script} does not listen:\n{}", python.tail(40));
    };
    let issuer = Issuer::start().await;
    let url = format!("http://127.0.0.1:{}", listens(&lines).unwrap());
    let sidecar = Sidecar::builder().issuer(&issuer).upstream(&url);
    let sidecar = change(sidecar.config("log.level = 'info'")).start().await;
    python.say(&sidecar.proxy().to_string()).unwrap();
    let status = python.wait().await;
    assert!(
        status.is_some_and(|status| status.success()),
        "{script}:\n{}",
        python.tail(40)
    );
    settled(&sidecar).await;
}

/// Unary, streams of either side and of both, deadlines, cancelling, large messages, errors.
#[tokio::test]
async fn grpc_calls_of_every_kind_pass_to_a_server_of_grpcio() {
    both_ends("grpc_calls.py", |sidecar| sidecar.route("http = 'http2'")).await;
}

/// Messages of all sizes both ways, pings, ends from either side, refusals.
#[tokio::test]
async fn a_websocket_is_as_good_as_a_direct_one() {
    both_ends("websocket.py", |sidecar| sidecar).await;
}

async fn run(program: &str, arguments: &[&str], input: &str) -> Exit {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    let Some(program) = places.find(|place| place.is_file()) else {
        panic!("no `{program}`\nhint: start the tests with `tests/run`, which installs it");
    };
    crate::support::run(&program, arguments, input).await
}

/// A file of so many bytes, none of them a line.
fn file(folder: &Path, length: usize) -> String {
    let path = folder.join("body");
    std::fs::write(&path, "x".repeat(length)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn curl_speaks_every_version() {
    let world = World::with(|sidecar| sidecar.config("log.level = 'info'")).await;
    world.api.on("/echo", Reply::echo());
    let events = Reply::events(3, Duration::from_millis(20));
    world.api.on("/events", events);
    let folder = tempfile::tempdir().unwrap();
    let large = format!("@{}", file(folder.path(), 2 * MIB));
    let base = format!("http://{}", world.sidecar.proxy());
    let told = "%{stderr}%{http_version} %{http_code} %{size_download} ";
    for (version, spoken) in [
        ("--http1.0", "1"),
        ("--http1.1", "1.1"),
        // This asks for a change of protocol, which is not granted.
        ("--http2", "1.1"),
        ("--http2-prior-knowledge", "2"),
    ] {
        // HTTP/1.0 has no way to say where a body of unknown length ends.
        let streamed = match version {
            "--http1.0" => ["--data-binary", "@-"],
            _ => ["--upload-file", "-"],
        };
        for (path, more, input, expected) in [
            ("/", &["--head"][..], "", "200 0 "),
            ("/echo", &["--data-binary", &large], "", "200 2097152 "),
            ("/echo", &streamed, "streamed", "200 8 "),
            ("/events", &["--no-buffer"], "", "200 27 "),
            (
                "/x/../y%2F//",
                &["--path-as-is", "--output", "/dev/null"],
                "",
                "200 ",
            ),
        ] {
            let url = format!("{base}{path}");
            let mut arguments = vec!["--silent", "--show-error", "--max-time", "30", version];
            arguments.extend(["--write-out", told, &url]);
            arguments.extend(more);
            let exit = run("curl", &arguments, input).await;
            let what = format!("{version} {path}: {}", exit.stderr);
            assert_eq!(exit.code, Some(0), "{what}");
            let expected = format!("{spoken} {expected}");
            // Some versions of curl say `1`, and others `1.0`.
            let said = exit.stderr.replacen("1.0 ", "1 ", 1);
            assert!(said.starts_with(&expected), "{what}");
            assert_eq!(world.api.last().unwrap().path(), path, "{what}");
        }
    }
}

#[tokio::test]
async fn nghttp_sends_many_streams_trailers_and_expectations() {
    for http in ["http1", "http2"] {
        let route = format!("http = '{http}'");
        let world = World::with(|s| s.config("log.level = 'info'").route(&route)).await;
        world.api.on("/echo", Reply::echo());
        let folder = tempfile::tempdir().unwrap();
        let body = file(folder.path(), 300_000);
        let url = format!("http://{}/echo", world.sidecar.proxy());
        let named = "trailer: x-sum";
        let arguments = [
            "-m",
            "40",
            "-d",
            &body,
            "-H",
            named,
            "--trailer",
            "x-sum: 42",
            &url,
        ];
        let exit = run("nghttp", &arguments, "").await;
        assert_eq!(exit.code, Some(0), "{http}: {}", exit.stderr);
        assert_eq!(exit.stdout.len(), 40 * 300_000, "{http}: {}", exit.stderr);
        let arrived = world.api.requests().all();
        assert_eq!(arrived.len(), 40);
        for call in arrived {
            assert_eq!(call.length, 300_000);
            let sum = call.trailers.and_then(|all| all.get("x-sum").cloned());
            assert_eq!(sum.unwrap(), "42", "{http}");
        }
        // It is told nothing over HTTP/2, and sends the body when it has waited long enough.
        let plain = url.replace("/echo", "/");
        let arguments = ["--expect-continue", "-d", &body, &plain];
        let exit = run("nghttp", &arguments, "").await;
        assert_eq!(exit.code, Some(0), "{http}: {}", exit.stderr);
        assert!(exit.stdout.contains("POST"), "{http}: {}", exit.stdout);
        assert_eq!(world.api.last().unwrap().length, 300_000, "{http}");
    }
}
