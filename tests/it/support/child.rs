//! A child process whose output is captured line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::PATIENCE;
use crate::practice::Journal;

/// A running program; killed when it is dropped.
pub struct Captured {
    child: Child,
    stdout: Journal<String>,
    stderr: Journal<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Captured {
    /// Starts `command` with its output captured and an input that stays open and empty.
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (Journal::default(), Journal::default());
        let readers = vec![
            keep(child.stdout.take(), stdout.clone()),
            keep(child.stderr.take(), stderr.clone()),
        ];
        Ok(Self {
            child,
            stdout,
            stderr,
            readers,
        })
    }

    /// Writes a line to its standard input. Fails once it has ended.
    pub fn say(&mut self, line: &str) -> std::io::Result<()> {
        let stdin = self.child.stdin.as_mut().expect("an input");
        stdin.write_all(format!("{line}\n").as_bytes())?;
        stdin.flush()
    }

    /// The lines on standard output.
    pub fn stdout(&self) -> &Journal<String> {
        &self.stdout
    }

    /// The lines on standard error.
    pub fn stderr(&self) -> &Journal<String> {
        &self.stderr
    }

    /// The process' number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, unless it has ended: its number may belong to somebody else by then.
    pub fn signal(&mut self, signal: Signal) {
        if self.runs() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Waits for the end, without holding up the runtime that the practice servers live on.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        let patience = Instant::now() + PATIENCE + Duration::from_secs(10);
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.join();
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// True while it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it now, by force, and reads what it still had to say.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
    }

    /// The last lines of both streams, for the reader of a failed test.
    pub fn tail(&self, lines: usize) -> String {
        let streams = [("stdout", &self.stdout), ("stderr", &self.stderr)];
        let tails = streams.map(|(name, journal)| {
            let all = journal.all();
            let tail = all.iter().skip(all.len().saturating_sub(lines));
            tail.map(|line| format!("{name} | {line}"))
                .collect::<Vec<_>>()
                .join("\n")
        });
        tails.join("\n")
    }

    fn join(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.end();
    }
}

fn keep(stream: Option<impl Read + Send + 'static>, journal: Journal<String>) -> JoinHandle<()> {
    let stream = stream.expect("a captured stream");
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = lines.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            journal.push(text.trim_end_matches(['\r', '\n']).to_owned());
            line.clear();
        }
    })
}
