//! The README is true: its configuration parses, its commands and words exist, the demo works.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bearward::config::Config;
use rustix::process::Signal;

use crate::support::settings::Settings;
use crate::support::{bearward, child::Captured};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The texts of the blocks in this language, without the indentation of a list.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        let Some(begins) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if begins == language {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// What stands between backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// The rows of the table whose head begins so.
fn rows(head: &str) -> Vec<Vec<String>> {
    let text = readme();
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with(head))
        .skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn its_configuration_parses() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 2);
    for (number, block) in blocks.iter().enumerate() {
        // The first is a whole file, those after it are laid over it.
        let mut settings = Settings::default();
        settings.lay(&blocks[0]);
        if number > 0 {
            settings.lay(block);
        }
        // A grant has one store: the one that is laid over.
        let store = settings.table()["grant"]["crm"]["store"].as_table_mut();
        let store = store.expect("a store");
        if store.len() > 1 {
            store.remove("file");
        }
        Config::parse(&settings.text(), "README.md")
            .unwrap_or_else(|faults| panic!("{block}\n{faults}"));
    }
}

#[tokio::test]
async fn its_commands_exist_and_no_other() {
    let help = bearward(&["--help"], "").await.stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let known: BTreeSet<_> = listed
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let mut told = BTreeSet::new();
    for row in rows("| command |") {
        let line = quoted(&row[0]).pop_first().unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let help = bearward(&[words[1], "--help"], "").await;
        assert_eq!((words[0], help.code), ("bearward", Some(0)), "{line}");
        for word in &words[2..] {
            assert!(help.stdout.contains(word), "`{line}`: there is no {word}");
        }
        for option in quoted(&row[1]).iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.stdout.contains(option),
                "`{line}`: there is no {option}"
            );
        }
        told.insert(words[1].to_owned());
    }
    assert!(told.iter().map(String::as_str).eq(known), "{told:?}");
}

#[test]
fn its_words_for_errors_are_the_replies_words() {
    let mut told = BTreeSet::new();
    for row in rows("| `error` |") {
        let words = quoted(&row[0]);
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(
            words.iter().all(|word| told.insert(word.clone())),
            "twice: {words:?}"
        );
    }
    // A small scan: `as_str` and `reason` are matches from variants to words.
    let mut used = BTreeSet::new();
    for (file, from, to) in [
        (
            "src/proxy/reply.rs",
            "fn reason(&self)",
            "fn message(&self)",
        ),
        (
            "src/grant/event.rs",
            "impl Reason {",
            "/// Something that a log",
        ),
        (
            "src/upstream/error.rs",
            "fn as_str(&self)",
            "/// The first error",
        ),
        (
            "src/upstream/dial/error.rs",
            "fn as_str(self)",
            "impl DialError",
        ),
    ] {
        let source = std::fs::read_to_string(root().join(file)).unwrap();
        let (_, part) = source
            .split_once(from)
            .unwrap_or_else(|| panic!("{file}: no `{from}`"));
        let (part, _) = part
            .split_once(to)
            .unwrap_or_else(|| panic!("{file}: no `{to}`"));
        let words = part
            .split("=> \"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        used.extend(words.map(str::to_owned));
    }
    // Nobody is there to read this one.
    used.remove("caller_gone");
    assert_eq!(told, used);
}

#[test]
fn its_two_commands_exist() {
    let text = readme();
    assert!(
        text.contains("\ncargo run --release --example demo\n") && text.contains("\ntests/run\n")
    );
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"demo\"\npath = \"tests/demo/main.rs\""));
    for script in [
        "tests/run",
        "tests/image",
        "tests/e2e/kubernetes",
        "tests/e2e/sidecar",
        ".ci/run",
    ] {
        let checked = Command::new("bash")
            .arg("-n")
            .arg(root().join(script))
            .status();
        assert!(checked.unwrap().success(), "{script}");
    }
    let files = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for file in files.filter(|file| !file.starts_with("http")) {
        assert!(root().join(file).exists(), "{file}");
    }
}

/// Built beside the tests; where only this binary was asked for, it is built now.
async fn demo() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.parent().unwrap().parent().unwrap();
    let program = target.join("examples/demo");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["build", "--locked", "--example", "demo"])
            .current_dir(root());
        let built = tokio::task::spawn_blocking(move || command.output().unwrap());
        let built = built.await.unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    program
}

#[tokio::test]
async fn the_demo_shows_what_it_promises_and_ends_at_ctrl_c() {
    let mut demo = Captured::start(&mut Command::new(demo().await)).unwrap();
    let curl = |line: &String| line.trim_start().starts_with("curl ");
    let seen = demo.stdout().until(|lines| {
        let all = lines.join("\n");
        lines.iter().any(curl)
            && ["refreshed", "rotated", "401", "200"]
                .iter()
                .all(|word| all.contains(word))
    });
    assert!(seen.await.is_ok(), "{}", demo.tail(60));
    assert!(!demo.tail(60).contains("never happen"), "{}", demo.tail(60));
    let asked = Instant::now();
    demo.signal(Signal::Int);
    let status = demo.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", demo.tail(60));
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
}
