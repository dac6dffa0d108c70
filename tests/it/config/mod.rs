//! The configuration file: a golden for each kind of fault, and the example held against the schema.

mod example;

use std::path::{Path, PathBuf};

use bearward::config::Config;

use crate::support::golden::hold_against;

/// No golden shows this, and each file with a secret in it uses it.
const SECRET: &str = "hunter2";

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/config")
        .join(name)
}

/// What a person sees who checks this file. Cases whose name begins with `files_` may look at
/// the files that are named.
fn seen(name: &str, text: &str) -> String {
    let origin = format!("{name}.toml");
    let read = Config::parse(text, &origin);
    let read = read.and_then(|config| {
        if name.starts_with("files_") {
            config.check_files(text, &origin)?;
        }
        Ok(config)
    });
    match read {
        Ok(_) => String::from("no fault\n"),
        Err(faults) => format!("{faults}\n"),
    }
}

#[test]
fn every_kind_of_fault_is_told_well() {
    let mut cases: Vec<_> = std::fs::read_dir(here(""))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let name = case
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&case).expect("the case can be read");
        let seen = seen(&name, &text);
        assert!(!seen.contains(SECRET), "{name} shows a secret:\n{seen}");
        if let Err(told) = hold_against(&case.with_extension("txt"), &seen) {
            wrong.push_str(&told);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_missing_file_is_named_with_a_hint() {
    let error = Config::read(Path::new("/nonexistent/bearward.toml")).expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file `/nonexistent/bearward.toml`"
    );
    assert_eq!(
        error.hint(),
        Some("name the file with `--config FILE`; `config.example.toml` is one to begin with")
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_file_whose_secrets_are_there_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2\n").expect("the secret is written");
    let ordinary = std::fs::read_to_string(here("ordinary.toml")).expect("the case can be read");
    let table = format!("[grant.crm]\nclient_secret = {{ file = {secret:?} }}");
    let file = folder.path().join("bearward.toml");
    std::fs::write(&file, ordinary.replace("[grant.crm]", &table)).expect("the file is written");
    assert!(Config::read(&file).is_ok());

    std::fs::remove_file(&secret).expect("the secret is removed");
    let error = Config::read(&file)
        .expect_err("the secret is gone")
        .to_string();
    assert!(
        error.contains("client_secret: file `") && error.contains("cannot be read"),
        "{error}"
    );
}

#[test]
fn what_is_seldom_meant_is_warned_of() {
    let ordinary = std::fs::read_to_string(here("ordinary.toml")).expect("the case can be read");
    let spare = ordinary
        .split("[[route]]")
        .next()
        .expect("the grant")
        .replace("crm", "spare");
    let text = format!("{ordinary}\n{spare}\n[proxy]\nlisten = \"0.0.0.0:8080\"\n");
    let config = Config::parse(&text, "warned.toml").unwrap_or_else(|faults| panic!("{faults}"));
    let warnings = config.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("`proxy.listen` is 0.0.0.0:8080"));
    assert!(warnings[1].contains("`grant.spare`"));
}

#[test]
fn a_huge_file_of_nonsense_is_told_of_in_short() {
    let unknown: String =
        (0..4_000).fold(String::new(), |text, key| text + &format!("k{key} = 1\n"));
    let broken = "[\n=\n\"\n".repeat(4_000);
    for text in [unknown, broken] {
        let faults = Config::parse(&text, "huge.toml").expect_err("it is nonsense");
        assert!(faults.len() <= 1_000, "{}", faults.len());
        assert!(faults.to_string().len() < 100_000);
    }
}

/// Whatever bytes a file holds, there is a configuration or there are faults that can be shown,
/// and a secret on a line of its own is never shown with them.
#[test]
fn no_text_is_too_broken_to_be_told_of() {
    let example = std::fs::read_to_string(example::path()).expect("the example can be read");
    let mut random = fastrand::Rng::with_seed(0xbea7);
    for round in 0..2_000 {
        let mut bytes = excerpt(&example, round, &mut random).into_bytes();
        for _ in 0..random.usize(1..12) {
            mutate(&mut bytes, &mut random);
        }
        let mut lines: Vec<_> = String::from_utf8_lossy(&bytes)
            .lines()
            .map(String::from)
            .collect();
        let pasted = [
            "client_secret = ",
            "key=",
            "seed.refresh_token = ",
            "headers.cookie = ",
        ];
        let value = [
            "\"hunter2\"",
            "'hunter2'",
            "\"hunter2",
            "hunter2",
            "[\"hunter2\"]",
            "\"\"\"hunter2",
        ];
        let line = format!("{}{}", pasted[random.usize(..4)], value[random.usize(..6)]);
        lines.insert(random.usize(..=lines.len()), line);
        let text = lines.join("\n");
        if let Err(faults) = Config::parse(&text, "mutated.toml") {
            let shown = faults.to_string();
            assert!(faults.len() > 0 && shown.contains("mutated.toml"));
            assert!(
                !shown.contains(SECRET) && !format!("{faults:?}").contains(SECRET),
                "round {round}: {shown}"
            );
        }
    }
}

/// Some lines of the example: broken text is told of by what stands around it, and most of the
/// time of a round goes with the length. The whole of it now and then.
fn excerpt(example: &str, round: u32, random: &mut fastrand::Rng) -> String {
    if round.is_multiple_of(50) {
        return example.to_owned();
    }
    let lines: Vec<_> = example.lines().collect();
    let from = random.usize(..lines.len());
    let to = (from + random.usize(5..40)).min(lines.len());
    lines[from..to].join("\n")
}

fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    let end = (at + random.usize(1..200)).min(bytes.len());
    match random.u8(..6) {
        0 => bytes[at] = random.u8(..),
        1 => bytes.insert(at, *random.choice(b"\"'[]{}=.,#\n\\-0a\xc3").expect("one")),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.extend_from_within(at..end),
        // A commented line comes to life.
        4 => {
            if let Some(mark) = bytes[at..].windows(2).position(|two| two == b"\n#") {
                bytes.remove(at + mark + 1);
            }
        }
        _ => bytes.truncate(at.max(1)),
    }
}
