//! The house rules, held against the sources themselves.
//!
//! A room uses rooms of lower floors only; no path leaves a room by `super::`; each file opens
//! with `//!` and stays short; the door is thin; the top level holds what it should; and the
//! table in `src/lib.rs` tells the truth. The rules are tested on planted faults as well, since
//! a rule that finds nothing looks the same as a rule that is kept.

mod planted;
mod scan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scan::{Leads, Source};

/// The rooms and their floors. A room may be missing here only until it is built.
const FLOORS: [(&str, u8); 20] = [
    ("secret", 0),
    ("backoff", 0),
    ("drain", 0),
    ("ready", 0),
    ("keepalive", 0),
    ("seldom", 0),
    ("config", 1),
    ("body", 2),
    ("telemetry", 2),
    ("tls", 2),
    ("oauth", 2),
    ("listen", 3),
    ("upstream", 3),
    ("issuer", 4),
    ("store", 4),
    ("grant", 5),
    ("proxy", 6),
    ("login", 6),
    ("admin", 6),
    ("app", 7),
];

/// The one room of the top floor; it stands apart because only the door uses it.
const TOP: (&str, u8) = ("cli", 8);

/// The most lines of a file, its tests not counted.
const MOST_LINES: usize = 400;

/// The most lines of `src/main.rs`.
const DOOR_LINES: usize = 20;

/// What may stand at the top level, beside names that begin with a dot.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "config.example.toml",
    "deploy",
    "src",
    "target",
    "tests",
];

#[test]
fn rooms_use_lower_floors_only() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        faults.extend(floor_faults(&path, &Source::new(&text)));
    }
    assert_kept(&faults);
}

#[test]
fn files_open_with_their_doc_and_stay_short() {
    let mut faults = Vec::new();
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            faults.extend(shape_faults(&path, &text));
        }
    }
    assert_kept(&faults);
}

#[test]
fn the_top_level_holds_only_what_it_should() {
    let names = std::fs::read_dir(root()).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let strange: Vec<String> = names
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert_kept(&strange);
}

#[test]
fn the_table_in_the_library_tells_the_truth() {
    let text = read("src/lib.rs");
    let rooms = rooms_in_folder();
    let names: Vec<&String> = rooms.keys().collect();
    let modules = modules(&Source::new(&text));
    assert_eq!(
        modules.iter().collect::<Vec<_>>(),
        names,
        "`mod` lines and files"
    );
    assert_eq!(table(&text), rooms, "the table and the rooms that exist");
}

/// The rooms that have a file or folder, with the floors they stand on.
fn rooms_in_folder() -> BTreeMap<String, u8> {
    let entries = std::fs::read_dir(root().join("src")).unwrap();
    let names = entries.map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.trim_end_matches(".rs").to_owned()
    });
    let rooms = names.filter(|name| name != "lib" && name != "main");
    rooms
        .map(|name| {
            let floor = floor(&name).unwrap_or_else(|| panic!("room `{name}` has no floor"));
            (name, floor)
        })
        .collect()
}

/// The rooms of the table `| floor | room | holds |`; an empty floor is the one above it.
fn table(text: &str) -> BTreeMap<String, u8> {
    let mut rooms = BTreeMap::new();
    let mut floor = None;
    for row in text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number = cells[0].split(' ').next().unwrap();
        floor = number.parse().ok().or(floor);
        let room = cells.get(1).and_then(|cell| cell.strip_prefix("[`"));
        if let (Some(room), Some(floor)) = (room, floor) {
            let name = room.split('`').next().unwrap();
            rooms.insert(name.to_owned(), floor);
        }
    }
    rooms
}

/// The names after `mod`, sorted.
fn modules(source: &Source) -> Vec<String> {
    let mut names = source.modules();
    names.sort();
    names
}

/// Paths that go where a file's room may not.
fn floor_faults(path: &str, source: &Source) -> Vec<String> {
    let place = scan::module_path(path);
    let room = place.first().map(String::as_str);
    if path == "src/main.rs" {
        let strangers = source.paths().into_iter().filter(|used| {
            used.names.first().is_some_and(|name| name == "bearward")
                && used.names.get(1).is_some_and(|name| name != TOP.0)
        });
        return strangers
            .map(|used| format!("{path}:{}: the door uses `{}`", used.line, used.text()))
            .collect();
    }
    let Some(room) = room else { return Vec::new() };
    let Some(own) = floor(room) else {
        return vec![format!("{path}: room `{room}` has no floor")];
    };
    let faults = source.paths().into_iter().filter_map(|used| {
        let at = format!("{path}:{}: `{}`", used.line, used.text());
        let target = match used.leads(&place) {
            Leads::Elsewhere => return None,
            Leads::Out => return Some(format!("{at} leaves its room by `super`")),
            Leads::Room(target) => target,
        };
        match floor(&target) {
            _ if target == room => None,
            Some(below) if below < own => None,
            Some(above) => Some(format!("{at} is on floor {above}, but `{room}` on {own}")),
            None => Some(format!("{at} is no room")),
        }
    });
    faults.collect()
}

/// Files without a doc, files too long.
fn shape_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{path}: does not open with `//!`"));
    }
    // Shared pieces of the tests are read like the program; the tests themselves may run on.
    let measured = ["src/", "tests/practice/", "tests/it/support/"];
    if !measured.iter().any(|start| path.starts_with(start)) {
        return faults;
    }
    let lines = Source::new(text).lines_without_tests();
    let tests = path.ends_with("/tests.rs") || path.contains("/tests/");
    let own_tests = path.starts_with("src/") && tests;
    let most = if path == "src/main.rs" {
        DOOR_LINES
    } else {
        MOST_LINES + 1
    };
    if lines >= most && !own_tests {
        faults.push(format!("{path}: {lines} lines, not under {most}"));
    }
    faults
}

fn floor(room: &str) -> Option<u8> {
    let mut floors = FLOORS.iter().chain([&TOP]);
    Some(floors.find(|(name, _)| *name == room)?.1)
}

fn assert_kept(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "house rules broken:\n{}",
        faults.join("\n")
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// All Rust files below a folder, by their path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    let relative = files.into_iter().map(|file| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap();
        (path.to_owned(), read(path))
    });
    relative.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "node_modules") {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn planted_floor_faults_are_found() {
    for (path, text, expected) in planted::PLANTED {
        let found = floor_faults(path, &Source::new(text));
        let all = expected
            .iter()
            .zip(&found)
            .all(|(part, fault)| fault.contains(part));
        assert!(
            all && found.len() == expected.len(),
            "{path}: {text}\nfound: {found:#?}"
        );
    }
}

#[test]
fn planted_shapes_are_found() {
    let long = |lines: usize| format!("//! Long.\n{}", "fn f() {}\n".repeat(lines - 1));
    let tested = format!(
        "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
        long(390),
        "// x\n".repeat(99)
    );
    let cases = [
        ("src/drain.rs", String::from("use std::fmt;\n"), 1),
        ("src/drain.rs", long(400), 0),
        ("src/drain.rs", long(401), 1),
        ("src/drain.rs", tested, 0),
        ("src/main.rs", long(19), 0),
        ("src/main.rs", long(20), 1),
        ("src/store/tests.rs", long(900), 0),
        ("tests/it/proxy.rs", long(900), 0),
        ("tests/practice/api.rs", long(401), 1),
    ];
    for (path, text, expected) in cases {
        let faults = shape_faults(path, &text);
        assert_eq!(faults.len(), expected, "{path}: {faults:?}");
    }
}

#[test]
fn a_table_is_read_with_its_empty_cells() {
    let text = "//! | floor | room | holds |\n//! |---|---|---|\n\
        //! | 0 ground | [`secret`] | x |\n//! | | [`drain`] | y |\n//! | 1 words | [`config`](a) | z |";
    let expected = [("config", 1), ("drain", 0), ("secret", 0)];
    let expected = expected.map(|(name, floor)| (name.to_owned(), floor));
    assert_eq!(table(text), BTreeMap::from(expected));
}
