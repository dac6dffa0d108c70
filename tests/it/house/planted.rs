//! Faults of paths, planted: what the rule must find, and what it must leave alone.

/// A file, its text, and a part of each fault that must be found in it.
type Planted = (&'static str, &'static str, &'static [&'static str]);

/// The planted texts.
pub const PLANTED: &[Planted] = &[
    // Lower floors, the own room, other crates: all is well.
    (
        "src/grant/mod.rs",
        "use crate::{secret::Secret, store::{self, Store}};",
        &[],
    ),
    (
        "src/grant/mod.rs",
        "use crate::grant::state::State; mod state;",
        &[],
    ),
    (
        "src/grant/state.rs",
        "use super::cache::Cache; use std::fmt;",
        &[],
    ),
    (
        "src/grant/mod.rs",
        "use self::state::State; fn f() { serde_json::to_string(&1); }",
        &[],
    ),
    ("src/ready.rs", "mod tests { use super::*; }", &[]),
    ("src/lib.rs", "pub mod cli; use crate::cli::Cli;", &[]),
    ("src/main.rs", "fn main() { bearward::cli::main() }", &[]),
    // Words that only look like uses.
    (
        "src/secret.rs",
        "// crate::app\n/* crate::app /* crate::cli */ */ /// [`crate::app`]",
        &[],
    ),
    (
        "src/secret.rs",
        r##"const A: &str = "crate::app \" crate::app"; const B: &str = r#"crate::app"#;"##,
        &[],
    ),
    (
        "src/secret.rs",
        "fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' } // crate::app",
        &[],
    ),
    // Upward, sideways, hidden.
    ("src/secret.rs", "use crate::config::Config;", &["floor 1"]),
    (
        "src/store/file.rs",
        "use crate::issuer::Issuer;",
        &["`crate::issuer::Issuer` is on floor 4"],
    ),
    (
        "src/config/mod.rs",
        "use crate::{secret::Secret, app::{self, App}};",
        &["`crate::app` is", "`crate::app::App`"],
    ),
    ("src/config/mod.rs", "use {crate::{cli}};", &["floor 8"]),
    (
        "src/config/mod.rs",
        "fn f() { let x = crate::proxy::serve(); }",
        &["floor 6"],
    ),
    (
        "src/config/mod.rs",
        "fn f() { vec![crate :: proxy :: serve()]; }",
        &["floor 6"],
    ),
    (
        "src/config/mod.rs",
        "pub(in crate::app) fn f() {}",
        &["floor 7"],
    ),
    (
        "src/config/mod.rs",
        "use crate::app as house;",
        &["floor 7"],
    ),
    (
        "src/config/mod.rs",
        "use ::bearward::app::App;",
        &["floor 7"],
    ),
    (
        "src/config/mod.rs",
        "use crate::nowhere::Thing;",
        &["no room"],
    ),
    (
        "src/config/mod.rs",
        "macro_rules! m { () => { $crate::app::run() } }",
        &["floor 7"],
    ),
    // Out of the room by `super`.
    (
        "src/secret.rs",
        "use super::config::Config;",
        &["leaves its room"],
    ),
    (
        "src/store/mod.rs",
        "use super::grant::Grant;",
        &["leaves its room"],
    ),
    (
        "src/store/file.rs",
        "use super::super::grant::Grant;",
        &["leaves its room"],
    ),
    (
        "src/store/file.rs",
        "use super::{record, super::grant};",
        &["leaves its room"],
    ),
    (
        "src/store/file.rs",
        "fn f() { self::super::super::grant::go(); }",
        &["leaves its room"],
    ),
    (
        "src/store/file.rs",
        "mod tests { use super::super::super::grant; }",
        &["leaves its room"],
    ),
    (
        "src/store/file.rs",
        "mod tests { use super::super::record; fn f() { if x { } } }",
        &[],
    ),
    (
        "src/main.rs",
        "use bearward::{cli, app};",
        &["the door uses `bearward::app`"],
    ),
    ("src/stranger/mod.rs", "//! New.", &["has no floor"]),
];
