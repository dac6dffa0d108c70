//! The real program between a practice issuer and a practice API.
//!
//! What always holds: it runs in a folder of its own, on ports the system chose, with every
//! event logged; and no test that used one passes if a secret shows in what it said.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::child::Captured;
use super::client::{self, Address, Answer, Connection, Sent};
use super::leaks::Leaks;
use super::plan::SidecarBuilder;
use super::program::{self, Exit};
use super::said::{Event, Metrics};
use super::settings::Settings;
use crate::practice::{Api, Issuer};
use http::Request;
use rustix::process::Signal;

/// The name of the one grant, unless a test adds others.
pub const GRANT: &str = "crm";

/// How many of its last lines a failed test shows.
pub(super) const TAIL: usize = 60;

/// A running `bearward run`.
pub struct Sidecar {
    plan: SidecarBuilder,
    process: Captured,
    proxy: Address,
    admin: Address,
    /// What was said on the way, by a name for each: answers, outputs, logs of earlier runs.
    said: Mutex<Vec<(String, String)>>,
}

impl Sidecar {
    pub(super) fn new(plan: SidecarBuilder, process: Captured, listens: [Address; 2]) -> Self {
        let [proxy, admin] = listens;
        Self {
            plan,
            process,
            proxy,
            admin,
            said: Mutex::default(),
        }
    }

    /// A sidecar between these two, to be changed before it starts.
    pub fn between(issuer: &Issuer, api: &Api) -> SidecarBuilder {
        Self::builder().issuer(issuer).upstream(api.url())
    }

    /// A sidecar that knows neither issuer nor upstream yet.
    pub fn builder() -> SidecarBuilder {
        SidecarBuilder::new()
    }

    /// Where the service sends its calls.
    pub fn proxy(&self) -> &Address {
        &self.proxy
    }

    /// Where the operator looks.
    pub fn admin(&self) -> &Address {
        &self.admin
    }

    /// The folder that it lives in.
    pub fn home(&self) -> &Path {
        self.plan.home()
    }

    /// The file of the one grant.
    pub fn store(&self) -> PathBuf {
        self.home().join("grant").join("crm.grant")
    }

    /// The process' number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The secrets that are looked for when all is over.
    pub fn leaks(&self) -> &Leaks {
        &self.plan.leaks
    }

    /// Calls `path` through the proxy.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(client::get(path)).await
    }

    /// Sends a request through the proxy, on a connection of its own.
    pub async fn send(&self, request: Request<Sent>) -> Answer {
        let name = format!("answer to {}", request.uri());
        let answer = client::call(&self.proxy, request).await.unwrap();
        // An API may say what it likes when it answers well; an error may come from us.
        if answer.status.is_client_error() || answer.status.is_server_error() {
            self.heard(name, format!("{:?}\n{}", answer.headers, answer.text()));
        }
        answer
    }

    /// A connection to the proxy that stays open.
    pub async fn connect(&self) -> Connection {
        Connection::http1(&self.proxy).await
    }

    /// The same with HTTP/2.
    pub async fn connect_http2(&self) -> Connection {
        Connection::http2(&self.proxy).await
    }

    /// Asks the operator's side.
    pub async fn ask(&self, path: &str) -> Answer {
        let answer = client::call(&self.admin, client::get(path)).await.unwrap();
        self.heard(format!("admin {path}"), answer.text());
        answer
    }

    /// The metrics now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.ask("/metrics").await.text())
    }

    /// The status now.
    pub async fn status(&self) -> serde_json::Value {
        self.ask("/status").await.json()
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        let patience = Instant::now() + client::PATIENCE;
        loop {
            let answer = self.ask("/readyz").await;
            if answer.status.is_success() {
                return;
            }
            assert!(Instant::now() < patience, "not ready: {}", answer.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All events it has logged in this run.
    pub fn logs(&self) -> Vec<Event> {
        let lines = self.process.stderr().all();
        lines.iter().filter_map(|line| Event::parse(line)).collect()
    }

    /// Waits until an event has been logged of which `like` holds, and gives the first.
    pub async fn logged(&self, like: impl Fn(&Event) -> bool) -> Event {
        let find = |lines: &[String]| {
            let mut events = lines.iter().filter_map(|line| Event::parse(line));
            events.find(|event| like(event))
        };
        let lines = self.process.stderr();
        let lines = lines.until(|lines| find(lines).is_some()).await.unwrap();
        find(&lines).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end and gives its exit code; none if a signal ended it.
    pub async fn wait_exit(&mut self) -> Option<i32> {
        self.wait_status().await.code()
    }

    /// Waits for its end and tells how it ended.
    pub async fn wait_status(&mut self) -> std::process::ExitStatus {
        let status = self.process.wait().await;
        status.unwrap_or_else(|| panic!("it does not end"))
    }

    /// Ends it as an orchestrator does, and expects that it ends well.
    pub async fn stop(&mut self) {
        self.heard_of_admin();
        self.signal(Signal::Term);
        assert_eq!(self.wait_exit().await, Some(0));
    }

    /// Ends it as a power cut does.
    pub async fn crash(&mut self) {
        self.signal(Signal::Kill);
        self.wait_exit().await;
    }

    /// Starts it again on the same folder, after [`Sidecar::stop`] or [`Sidecar::crash`].
    pub async fn start_again(&mut self) {
        self.start_again_unready().await;
        self.ready().await;
    }

    /// The same without waiting until it is ready.
    pub async fn start_again_unready(&mut self) {
        self.heard_of_process();
        let (process, proxy, admin) = self.plan.launch().await;
        self.process = process;
        self.proxy = proxy;
        self.admin = admin;
    }

    /// Changes the configuration file and tells the program to read it.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.plan.settings);
        self.plan.settings.write(&self.plan.config_file());
        self.signal(Signal::Hup);
    }

    /// Puts this text, which may be no TOML at all, in place of the configuration file.
    pub fn spoil_config(&self, text: &str) {
        std::fs::write(self.plan.config_file(), text).unwrap();
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.plan.config_file()
    }

    /// Runs another command with the same configuration file, `status` for example.
    pub async fn command(&self, arguments: &[&str], input: &str) -> Exit {
        let config = self.plan.config_file();
        let mut all = arguments.to_vec();
        all.extend(["--config", config.to_str().unwrap()]);
        let exit = program::run(&self.plan.program, &all, input).await;
        let output = format!("{}\n{}", exit.stdout, exit.stderr);
        self.heard(format!("bearward {}", arguments.join(" ")), output);
        exit
    }

    /// Stops the test if a secret shows in anything the program said up to now.
    pub fn assert_nothing_leaked(&self) {
        self.heard_of_process();
        let said = self.said.lock().unwrap();
        let texts = said
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let found = self.plan.leaks.find(texts);
        assert!(found.is_empty(), "secrets leaked:\n{}", found.join("\n"));
    }

    fn heard(&self, name: String, text: String) {
        self.said.lock().unwrap().push((name, text));
    }

    fn heard_of_process(&self) {
        for (name, lines) in [
            ("stdout", self.process.stdout()),
            ("stderr", self.process.stderr()),
        ] {
            self.heard(name.to_owned(), lines.all().join("\n"));
        }
    }

    /// Asks without a runtime, since a test's is at its end when this is dropped.
    fn heard_of_admin(&self) {
        for path in ["/metrics", "/status", "/readyz"] {
            if let Some(text) = program::ask(&self.admin, path) {
                self.heard(format!("admin {path}"), text);
            }
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.process.end();
            eprintln!("the last lines it said:\n{}", self.process.tail(TAIL));
            return;
        }
        if self.process.runs() {
            self.heard_of_admin();
        }
        self.process.end();
        self.assert_nothing_leaked();
    }
}
