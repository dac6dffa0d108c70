//! A browser: Chromium without a screen, driven through `tests/oidc/browser.mjs`.
//!
//! What always holds: one Chromium serves the whole test binary, and each [`Browser`] is a window
//! of it with cookies of its own. It reaches nothing but this machine. It ends with the test
//! binary, however that ends; a machine that cannot run it fails the test instead of skipping it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::child::Captured;
use crate::practice::Journal;

/// The one Chromium of this test binary.
static CHROMIUM: OnceCell<Chromium> = OnceCell::const_new();

struct Chromium {
    process: Mutex<Captured>,
    said: Journal<String>,
    /// Counts windows and questions alike.
    next: AtomicU64,
}

/// A window; closed when it is dropped.
pub struct Browser {
    chromium: &'static Chromium,
    tab: u64,
}

/// What a person sees.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The address bar.
    pub url: String,
    /// The tab's title.
    pub title: String,
    /// The words on the page.
    pub text: String,
}

/// How a person looks at a page.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// The window's width in CSS pixels.
    pub width: u32,
    /// The window's height.
    pub height: u32,
}

impl Browser {
    /// Opens a window, and starts Chromium for the first.
    pub async fn start() -> Self {
        let chromium = CHROMIUM.get_or_init(Chromium::start).await;
        let tab = chromium.next.fetch_add(1, Ordering::Relaxed);
        Self { chromium, tab }
    }

    /// Goes to an address, and waits until its page is there.
    pub async fn goto(&self, url: &str) {
        self.ask(json!({ "do": "goto", "url": url })).await;
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.ask(json!({ "do": "reload" })).await;
    }

    /// What is to be seen now.
    pub async fn look(&self) -> Seen {
        let seen = self.ask(json!({ "do": "look" })).await;
        let text = |name: &str| seen[name].as_str().unwrap().to_owned();
        Seen {
            url: text("url"),
            title: text("title"),
            text: text("text"),
        }
    }

    /// Waits until these words are on the page, and gives all there is to see.
    pub async fn until(&self, text: &str) -> Seen {
        self.ask(json!({ "do": "until", "text": text })).await;
        self.look().await
    }

    /// Fills a field, by its CSS selector.
    pub async fn fill(&self, selector: &str, text: &str) {
        let fill = json!({ "do": "fill", "selector": selector, "text": text });
        self.ask(fill).await;
    }

    /// Clicks on a button or link, by its role and name; does not wait for what follows.
    pub async fn click(&self, role: &str, name: &str) {
        let click = json!({ "do": "click", "role": role, "name": name });
        self.ask(click).await;
    }

    /// Clicks on what a CSS selector finds; does not wait for what follows.
    pub async fn press(&self, selector: &str) {
        self.ask(json!({ "do": "press", "selector": selector }))
            .await;
    }

    /// Clicks, and waits until another page is there.
    pub async fn follow(&self, role: &str, name: &str) {
        let follow = json!({ "do": "follow", "role": role, "name": name });
        self.ask(follow).await;
    }

    /// Waits until one of these CSS selectors is on the page, and says which.
    pub async fn first<'a>(&self, selectors: &[&'a str]) -> &'a str {
        let first = json!({ "do": "first", "selectors": selectors });
        let place = self.ask(first).await.as_u64().unwrap();
        selectors[usize::try_from(place).unwrap()]
    }

    /// Looks at the page so from now on; how wide the page is then.
    pub async fn view(&self, view: View) -> u64 {
        let View {
            scheme,
            width,
            height,
        } = view;
        let view = json!({ "do": "view", "scheme": scheme, "width": width, "height": height });
        self.ask(view).await.as_u64().unwrap()
    }

    /// Writes a picture of the whole page, as PNG.
    pub async fn screenshot(&self, path: &Path) {
        self.ask(json!({ "do": "screenshot", "path": path })).await;
    }

    /// Every fault that axe-core finds in the page.
    pub async fn axe(&self) -> Vec<String> {
        let report = self.ask(json!({ "do": "axe" })).await;
        let list = |name: &str| -> Vec<String> {
            let list = report[name].as_array().unwrap().iter();
            list.map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        assert!(!list("passes").is_empty(), "axe-core looked at nothing");
        list("violations")
    }

    /// The URLs of all requests so far.
    pub async fn sent(&self) -> Vec<String> {
        let sent = self.ask(json!({ "do": "sent" })).await;
        let sent = sent.as_array().unwrap().iter();
        sent.map(|url| url.as_str().unwrap().to_owned()).collect()
    }

    async fn ask(&self, question: Value) -> Value {
        self.chromium.ask(self.tab, question).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Nobody waits for it, and where Chromium has ended nothing is left to close.
        let _ = self.chromium.say(self.tab, json!({ "do": "close" }));
    }
}

impl Chromium {
    async fn start() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
        let missing = |what: &str| -> ! {
            panic!(
                "{what} is not installed\nhint: start the tests with `tests/run`, which installs it"
            )
        };
        for package in ["playwright-core", "axe-core"] {
            if !folder.join("node_modules").join(package).is_dir() {
                missing(package);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
        let program = programs.find(|program| program.is_file());
        let Some(program) = program else {
            missing("chromium")
        };
        let mut command = Command::new("node");
        command.arg("browser.mjs").arg(program).current_dir(folder);
        let process = Captured::start(&mut command).unwrap_or_else(|error| {
            panic!("node does not start: {error}\nhint: start the tests with `tests/run`, which says what is missing")
        });
        let said = process.stdout().clone();
        let started = said.reaches(1).await;
        assert!(
            started.is_ok(),
            "chromium does not start:\n{}",
            process.tail(40)
        );
        Self {
            process: Mutex::new(process),
            said,
            next: AtomicU64::new(1),
        }
    }

    /// Puts a question without waiting for the answer; its number.
    fn say(&self, tab: u64, mut question: Value) -> std::io::Result<u64> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        question["id"] = json!(id);
        question["tab"] = json!(tab);
        // A test that panics here must not take the browser from the others.
        let process = self.process.lock();
        let mut process = process.unwrap_or_else(std::sync::PoisonError::into_inner);
        process.say(&question.to_string())?;
        Ok(id)
    }

    async fn ask(&self, tab: u64, question: Value) -> Value {
        let id = self.say(tab, question).expect("a browser that runs");
        let start = format!("{{\"id\":{id},");
        let is_answer = |line: &&String| line.starts_with(&start);
        let lines = self
            .said
            .until(|lines| lines.iter().any(|line| is_answer(&line)));
        let lines = lines.await.expect("an answer of the browser");
        let answer = lines.iter().find(is_answer).unwrap();
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        if let Some(error) = answer["error"].as_str() {
            panic!("the browser: {error}");
        }
        answer["value"].take()
    }
}
