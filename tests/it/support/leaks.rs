//! The search for secrets where none may be: logs, metrics, status, error bodies.
//!
//! A secret counts as leaked when any 15 bytes of it in a row are seen, so that a shortened
//! token is found too; and when it is seen percent-encoded, in base64, or as the list of
//! numbers that `{:?}` makes of a `Vec<u8>`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::practice::Secrets;

/// So many bytes of a secret in a row are no accident.
const WINDOW: usize = 12;

/// Only every fourth window of a secret is kept, so that a test with thousands of tokens still
/// fits in memory; a run of 15 bytes holds one of them wherever it begins.
const STRIDE: usize = 4;

/// The secrets that one test uses, by the sources that keep them.
#[derive(Clone, Debug, Default)]
pub struct Leaks {
    sources: Arc<Mutex<Vec<Secrets>>>,
    own: Secrets,
}

impl Leaks {
    /// Looks for all that `secrets` holds now or will hold at the time of the search.
    pub fn watch(&self, secrets: &Secrets) {
        self.sources.lock().unwrap().push(secrets.clone());
    }

    /// Looks for this one too, and hands it back.
    pub fn keep(&self, secret: impl Into<String>) -> String {
        self.own.keep(secret)
    }

    /// Where secrets stand in these named texts; empty when all is well.
    pub fn find<'a>(&self, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let needles = self.needles();
        let mut found = Vec::new();
        for (name, text) in texts {
            let lines = text.lines().enumerate();
            let leaking = lines.filter_map(|(number, line)| Some((number, needles.in_line(line)?)));
            found.extend(
                leaking.map(|(number, what)| format!("{name}, line {}: {what}", number + 1)),
            );
        }
        found
    }

    fn needles(&self) -> Needles {
        let mut needles = Needles::default();
        let sources = self.sources.lock().unwrap();
        for secret in sources.iter().chain([&self.own]).flat_map(Secrets::all) {
            // How a key of ours begins is no secret, and said in errors.
            let secret = secret.strip_prefix("bearward-key-1:").unwrap_or(&secret);
            needles.add(secret);
        }
        needles
    }
}

/// What is looked for.
#[derive(Default)]
struct Needles {
    /// Each run of bytes that gives a secret away, and what it is a part of.
    windows: HashMap<[u8; WINDOW], &'static str>,
    /// Secrets (and number lists) that are looked for whole.
    whole: HashSet<(String, &'static str)>,
}

impl Needles {
    fn add(&mut self, secret: &str) {
        let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        self.add_text(secret, "a secret as it is");
        self.add_text(&percent, "a secret, percent-encoded");
        // In base64 a secret looks different at each place modulo 3; the first bytes of a
        // shifted one depend on what stands before, so they are left out.
        for shift in 0..3 {
            let shifted = [&b"???"[..shift], secret.as_bytes()].concat();
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let text = engine.encode(&shifted);
                let inner = text.get(4..text.len().saturating_sub(2)).unwrap_or("");
                self.add_windows(inner, "a secret in base64");
            }
        }
        let numbers: Vec<String> = secret.bytes().take(WINDOW).map(|b| b.to_string()).collect();
        self.whole
            .insert((numbers.join(", "), "a secret as a list of numbers"));
    }

    fn add_text(&mut self, text: &str, what: &'static str) {
        if text.len() < WINDOW {
            assert!(!text.is_empty(), "an empty secret is in every text");
            self.whole.insert((text.to_owned(), what));
        }
        self.add_windows(text, what);
    }

    fn add_windows(&mut self, text: &str, what: &'static str) {
        for window in text.as_bytes().windows(WINDOW).step_by(STRIDE) {
            self.windows.insert(window.try_into().unwrap(), what);
        }
    }

    fn in_line(&self, line: &str) -> Option<&'static str> {
        let run = |window: &[u8]| {
            let window: &[u8; WINDOW] = window.try_into().unwrap();
            self.windows.get(window).copied()
        };
        let whole = || {
            let mut whole = self.whole.iter();
            Some(whole.find(|(text, _)| line.contains(text.as_str()))?.1)
        };
        line.as_bytes().windows(WINDOW).find_map(run).or_else(whole)
    }
}

#[test]
fn a_secret_is_found_in_every_disguise() {
    let leaks = Leaks::default();
    let secret = leaks.keep("rt.Zk7/w+Qp~e_X0.vB3-uN9s");
    let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("client:{secret}"));
    let disguises = [
        secret.clone(),
        format!("token {}…", &secret[..WINDOW]),
        secret[5..20].to_owned(),
        percent,
        format!("Basic {basic}"),
        URL_SAFE_NO_PAD.encode(&secret),
        format!("{:?}", secret.as_bytes()),
    ];
    for disguise in &disguises {
        let found = leaks.find([("log", format!("first\n{disguise}").as_str())]);
        assert_eq!(found.len(), 1, "{disguise}");
        assert!(found[0].starts_with("log, line 2: a secret"), "{found:?}");
        assert!(
            !found[0].contains(&secret),
            "the finding must not leak it either"
        );
    }
}

#[test]
fn what_is_no_secret_is_not_found() {
    let leaks = Leaks::default();
    let secret = leaks.keep("rt.Zk7/w+Qp~e_X0.vB3-uN9s");
    let fingerprint = bearward::secret::Secret::new(secret).fingerprint();
    let text = format!("refreshed {fingerprint} rt.Zk7 4, 8, 15, 16, 23, 42");
    assert_eq!(leaks.find([("log", text.as_str())]), Vec::<String>::new());
}
