//! Running the program to its end, and small blocking helpers around it.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::Address;

/// How a command ended and what it said.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `bearward` with these arguments and this standard input.
pub async fn bearward(arguments: &[&str], input: &str) -> Exit {
    run(Path::new(env!("CARGO_BIN_EXE_bearward")), arguments, input).await
}

/// Runs `program` to its end, beside the runtime so that practice servers can answer it.
pub async fn run(program: &Path, arguments: &[&str], input: &str) -> Exit {
    let mut command = Command::new(program);
    command.args(arguments);
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || finish(&mut command, &input))
        .await
        .unwrap()
}

fn finish(command: &mut Command, input: &str) -> Exit {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may be gone by now, which is no failure.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Exit {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Gets `path` without a runtime; nothing if nobody answers.
pub fn ask(address: &Address, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let patience = Some(Duration::from_secs(2));
    match address {
        Address::Tcp(address) => {
            let stream = std::net::TcpStream::connect(address).ok()?;
            stream.set_read_timeout(patience).ok()?;
            exchange(stream, &request)
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).ok()?;
            stream.set_read_timeout(patience).ok()?;
            exchange(stream, &request)
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
