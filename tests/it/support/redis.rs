//! A real Redis, as a child process, that can be killed, paused and started again.
//!
//! What always holds: what it acknowledged is on disk (`appendfsync always`), so that a kill loses
//! nothing; it ends with the test; a machine that has none fails the test.

use std::net::TcpListener;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::child::Captured;

/// A running Redis.
pub struct Redis {
    port: u16,
    folder: TempDir,
    process: Captured,
}

impl Redis {
    /// Starts one at a port of its own.
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        // Somebody else may take a port between its choice and its use.
        for _ in 0..10 {
            let port = free_port();
            if let Some(process) = launch(port, &folder).await {
                return Self {
                    port,
                    folder,
                    process,
                };
            }
        }
        panic!("`redis-server` does not start");
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash would, and starts it again with what it had acknowledged.
    pub async fn restart(&mut self) {
        self.process.end();
        let again = launch(self.port, &self.folder).await;
        self.process = again.expect("it starts again");
    }

    /// Stops it in the middle of whatever it does.
    pub fn pause(&mut self) {
        self.process.signal(Signal::Stop);
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.process.signal(Signal::Cont);
    }
}

/// A port that no client is given as its own: a Redis that is restarted must find it free again.
fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Nothing where the port is taken.
async fn launch(port: u16, folder: &TempDir) -> Option<Captured> {
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ])
        .arg("--dir")
        .arg(folder.path());
    let process = Captured::start(&mut command).unwrap_or_else(|error| {
        panic!("redis-server does not start: {error}\nhint: start the tests with `tests/run`, which says what is missing")
    });
    let is_ready = |line: &String| line.contains("Ready to accept connections");
    let is_lost = |line: &String| line.contains("Address already in use");
    let lines = process
        .stdout()
        .until(|lines| lines.iter().any(|line| is_ready(line) || is_lost(line)));
    lines.await.ok()?.iter().any(is_ready).then_some(process)
}
