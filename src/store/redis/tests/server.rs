//! Real Redis servers for the tests: started on a free port, paused, killed, started again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::config;

/// A server that ends with the test.
pub(super) struct Server {
    pub(super) port: u16,
    /// The port that speaks TLS, if it has one.
    pub(super) tls_port: Option<u16>,
    /// The database that [`tell`](Self::tell) speaks of.
    pub(super) database: u16,
    arguments: Vec<String>,
    folder: TempDir,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Reads what it says to the end, or it would block.
    said: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that keeps nothing, with further arguments.
    pub(super) fn start(arguments: &[&str]) -> Self {
        Self::with(arguments, None)
    }

    /// A server that also speaks TLS, to those whom `authority` has certified.
    pub(super) fn secured(authority: &Authority, arguments: &[&str]) -> Self {
        Self::with(arguments, Some(authority))
    }

    fn with(arguments: &[&str], authority: Option<&Authority>) -> Self {
        let mut arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        if let Some(authority) = authority {
            arguments.extend(authority.arguments());
        }
        // Somebody else may take a port between its choice and its use.
        for _ in 0..10 {
            let mut server = Self {
                port: free_port(),
                tls_port: authority.map(|_| free_port()),
                database: 0,
                arguments: arguments.clone(),
                folder: tempfile::tempdir().unwrap(),
                running: None,
            };
            if server.try_again() {
                return server;
            }
        }
        panic!("`redis-server` does not start");
    }

    /// Starts it again on the same port.
    pub(super) fn again(&mut self) {
        assert!(self.try_again(), "it does not start again");
    }

    fn try_again(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        let sentinel = self
            .arguments
            .first()
            .is_some_and(|first| first == "sentinel");
        if sentinel {
            let conf = self.folder.path().join("sentinel.conf");
            fs::write(&conf, format!("port {}\n", self.port)).unwrap();
            command.arg(conf).arg("--sentinel");
        } else {
            command.args(["--port", &self.port.to_string(), "--save", ""]);
            command.args(&self.arguments);
        }
        if let Some(port) = self.tls_port {
            command.args(["--tls-port", &port.to_string()]);
        }
        command.args(["--bind", "127.0.0.1"]);
        command.arg("--dir").arg(self.folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("`redis-server` cannot be started ({error}); `tests/run` fetches it")
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| {
            let line = line.unwrap();
            line.contains("Ready to accept connections") || line.contains("Sentinel ID is")
        });
        let said = std::thread::spawn(move || lines.for_each(drop));
        self.running = Some(Running {
            child,
            said: Some(said),
        });
        if !ready {
            self.kill();
        }
        ready
    }

    /// Kills it, as a crash would.
    pub(super) fn kill(&mut self) {
        self.running = None;
    }

    /// Stops it in the middle of whatever it does.
    pub(super) fn pause(&self) {
        self.signal(Signal::Stop);
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        self.signal(Signal::Cont);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().unwrap();
        kill_process(Pid::from_child(&running.child), signal).unwrap();
    }

    /// Where it is, without TLS.
    pub(super) fn url(&self) -> config::RedisUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// Says something to it, as an operator would.
    pub(super) fn tell(&self, words: &str) -> redis::Value {
        self.try_tell(words).unwrap()
    }

    pub(super) fn try_tell(&self, words: &str) -> redis::RedisResult<redis::Value> {
        let url = format!("redis://127.0.0.1:{}/{}", self.port, self.database);
        let client = redis::Client::open(url).unwrap();
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query(&mut client.get_connection()?)
    }

    /// The same, and the answer as text.
    pub(super) fn hear(&self, words: &str) -> String {
        redis::from_redis_value(self.tell(words)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.said.take().map(JoinHandle::join);
        assert!(said.is_none_or(|said| said.is_ok()));
    }
}

fn free_port() -> u16 {
    // A cluster's nodes talk to each other 10,000 above.
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port();
        if port < 55_000 {
            return port;
        }
    }
}

/// An authority of the test's own, with a certificate for a server and one for a client.
pub(super) struct Authority(TempDir);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By the default name, OpenSSL would take each certificate for its own issuer.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        for name in ["server", "client"] {
            let names = vec![format!("{name}.example.com"), String::from("127.0.0.1")];
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(names).unwrap();
            let cert = params.signed_by(&key, &issuer).unwrap();
            let path = |end| folder.path().join(format!("{name}.{end}"));
            fs::write(path("pem"), cert.pem()).unwrap();
            fs::write(path("key"), key.serialize_pem()).unwrap();
        }
        Self(folder)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What a client needs.
    pub(super) fn settings(&self) -> config::Tls {
        config::Tls {
            ca: Some(self.file("ca.pem")),
            system_roots: false,
            cert: Some(self.file("client.pem")),
            key: Some(self.file("client.key")),
            server_name: None,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("--tls-ca-cert-file", "ca.pem"),
            ("--tls-cert-file", "server.pem"),
            ("--tls-key-file", "server.key"),
        ]
        .into_iter()
        .flat_map(|(option, name)| [option.to_owned(), path(&self.file(name))])
        .collect()
    }
}
