//! `bearward login` while it waits for a person.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::child::Captured;
use super::client::{self, Address, Answer};
use super::leaks::Leaks;
use super::program::Exit;
use super::sidecar::TAIL;

/// A login under way; killed when it is dropped.
pub struct Login {
    process: Captured,
    leaks: Leaks,
}

impl Login {
    /// Starts it with a configuration file and further arguments.
    pub fn start(config: &Path, arguments: &[&str], leaks: &Leaks) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearward"));
        command
            .args(["login", "crm"])
            .args(arguments)
            .arg("--config")
            .arg(config);
        Self {
            process: Captured::start(&mut command).unwrap(),
            leaks: leaks.clone(),
        }
    }

    /// The address that the person is to open.
    pub async fn address(&self) -> String {
        let is_address = |line: &String| line.starts_with("http");
        let lines = self
            .process
            .stdout()
            .until(|lines| lines.iter().any(is_address));
        let Ok(lines) = lines.await else {
            panic!("it asks nobody:\n{}", self.process.tail(TAIL));
        };
        lines.into_iter().find(is_address).unwrap()
    }

    /// Waits until it has said these words, and gives all that it said to the person.
    pub async fn says(&self, words: &str) -> Vec<String> {
        let heard = |lines: &[String]| lines.iter().any(|line| line.contains(words));
        let lines = self.process.stderr().until(heard).await;
        lines.unwrap_or_else(|_| panic!("no `{words}`:\n{}", self.process.tail(TAIL)))
    }

    /// What a person types or pastes.
    pub fn paste(&mut self, line: &str) {
        self.process.say(line).unwrap();
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self) {
        self.process.signal(Signal::Int);
    }

    /// How it ended. Nothing that it said may hold a secret.
    pub async fn ends(mut self) -> Exit {
        let Some(status) = self.process.wait().await else {
            panic!("it does not end:\n{}", self.process.tail(TAIL));
        };
        let exit = Exit {
            code: status.code(),
            stdout: self.process.stdout().all().join("\n"),
            stderr: self.process.stderr().all().join("\n"),
        };
        let texts = [("stdout", exit.stdout.as_str()), ("stderr", &exit.stderr)];
        assert_eq!(self.leaks.find(texts), Vec::<String>::new());
        assert!(
            !exit.stderr.contains('\x1b'),
            "codes for nobody's terminal: {}",
            exit.stderr
        );
        exit
    }
}

/// What a person's browser does: gets a page, following nothing by itself.
pub async fn visit(url: &str) -> Answer {
    let address = Address::parse(url);
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut request = client::get(&format!("/{path}"));
    let host = url.split('/').nth(2).unwrap().parse().unwrap();
    request.headers_mut().insert("host", host);
    client::call(&address, request).await.unwrap()
}

/// Where the practice server sends the browser once the person has said `allow` or `deny`.
pub async fn answered(address: &str, answer: &str) -> String {
    let answer = visit(&format!("{address}&answer={answer}")).await;
    answer.header("location").expect("a redirect").to_owned()
}
