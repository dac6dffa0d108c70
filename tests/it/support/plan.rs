//! A sidecar before it runs: its folder, its configuration, its secrets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::child::Captured;
use super::client::{self, Address};
use super::leaks::Leaks;
use super::oidc::{OidcProvider, Registered};
use super::program::{self, Exit};
use super::said::Event;
use super::settings::{Settings, quoted};
use super::sidecar::{GRANT, Sidecar, TAIL};
use crate::practice::{ClientAuth, Issuer, Secrets};

/// How a [`Sidecar`] is set up.
#[derive(Debug)]
pub struct SidecarBuilder {
    pub(super) home: TempDir,
    pub(super) settings: Settings,
    pub(super) leaks: Leaks,
    pub(super) environment: Vec<(String, String)>,
    pub(super) program: PathBuf,
    pub(super) way: Option<String>,
}

impl SidecarBuilder {
    /// Everything on loopback at ports the system chooses, all events logged.
    pub(super) fn new() -> Self {
        let home = TempDir::new().unwrap();
        let mut settings = Settings::default();
        settings.lay(
            "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\nlevel = \"trace\"\nrequests = true",
        );
        let store = home.path().join("grant").join("crm.grant");
        let store = quoted(store.to_str().unwrap());
        settings.lay_grant(GRANT, &format!("store.file.path = {store}"));
        settings.lay_route(&format!("path = \"/\"\ngrant = {}", quoted(GRANT)));
        Self {
            home,
            settings,
            leaks: Leaks::default(),
            environment: Vec::new(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_bearward")),
            way: None,
        }
    }

    /// Keeps a grant of `issuer`, and begins with its newest refresh token.
    pub fn issuer(self, issuer: &Issuer) -> Self {
        let auth = match issuer.client_auth() {
            ClientAuth::RawBasic => {
                "client_auth = \"client_secret_basic\"\nbasic_encoding = \"raw\""
            }
            ClientAuth::Basic => "client_auth = \"client_secret_basic\"",
            ClientAuth::Post => "client_auth = \"client_secret_post\"",
            ClientAuth::None => "client_auth = \"none\"",
        };
        self.watch(issuer.secrets())
            .client(issuer.url(), issuer.client_id(), issuer.client_secret())
            .grant(auth)
            .seed(&issuer.refresh_token())
    }

    /// Keeps a grant of the authorization server at `url`, as this client.
    pub fn client(self, url: &str, id: &str, secret: Option<&str>) -> Self {
        let ids = format!("issuer = {}\nclient_id = {}", quoted(url), quoted(id));
        let built = self.grant(&ids);
        let Some(secret) = secret else { return built };
        let path = built.secret_file("client-secret", secret);
        built.grant(&format!("client_secret = {{ file = {} }}", quoted(path)))
    }

    /// Keeps a grant of an `oidc-provider` that began with this refresh token.
    pub fn provider(self, at: &OidcProvider, client: &Registered, refresh_token: &str) -> Self {
        self.watch(at.secrets())
            .client(at.url(), &client.id, client.secret.as_deref())
            .grant(&format!("client_auth = {}", quoted(client.auth)))
            .seed(refresh_token)
    }

    /// Begins with this refresh token.
    pub fn seed(self, refresh_token: &str) -> Self {
        let path = self.secret_file("seed", refresh_token);
        self.grant(&format!("seed.refresh_token.file = {}", quoted(path)))
    }

    /// Sends every call to `url`.
    pub fn upstream(self, url: &str) -> Self {
        let piece = format!("upstream = {}", quoted(url));
        self.route(&piece)
    }

    /// Seals the store with a key made by `bearward keygen`.
    pub async fn sealed(self) -> Self {
        let key = program::run(&self.program, &["keygen"], "").await;
        assert_eq!(key.code, Some(0), "{}", key.stderr);
        let path = self.secret_file("store-key", key.stdout.trim());
        self.grant(&format!("store.file.key.file = {}", quoted(path)))
    }

    /// Keeps the grant in another engine: `redis = { … }`.
    pub fn kept_in(mut self, engine: &str) -> Self {
        let grants = self.settings.table()["grant"].as_table_mut();
        let grant = grants.unwrap()[GRANT].as_table_mut();
        grant.unwrap().remove("store");
        self.grant(&format!("store.{engine}"))
    }

    /// Lays a piece of TOML over the grant's table.
    pub fn grant(mut self, toml: &str) -> Self {
        self.settings.lay_grant(GRANT, toml);
        self
    }

    /// Lays a piece of TOML over another grant's table.
    pub fn other_grant(mut self, name: &str, toml: &str) -> Self {
        self.settings.lay_grant(name, toml);
        self
    }

    /// Lays a piece of TOML over the first route.
    pub fn route(mut self, toml: &str) -> Self {
        self.settings.lay_route(toml);
        self
    }

    /// Lays a piece of TOML over the whole file.
    pub fn config(mut self, toml: &str) -> Self {
        self.settings.lay(toml);
        self
    }

    /// Sets an environment variable of the program.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the program by way of this line for the shell, in which `"$@"` stands for the
    /// program and its arguments.
    pub fn by_way_of(mut self, line: &str) -> Self {
        self.way = Some(line.to_owned());
        self
    }

    /// Looks for these secrets too, when all is over.
    pub fn watch(self, secrets: &Secrets) -> Self {
        self.leaks.watch(secrets);
        self
    }

    /// The secrets that are looked for when all is over.
    pub fn leaks(&self) -> &Leaks {
        &self.leaks
    }

    /// The tables of the configuration, for what pieces cannot say.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The file of the one grant.
    pub fn store(&self) -> PathBuf {
        self.home.path().join("grant").join("crm.grant")
    }

    /// The folder that it lives in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file that holds a secret, and looks for that when all is over.
    pub fn secret_file(&self, name: &str, secret: &str) -> String {
        self.leaks.keep(secret);
        let path = self.home.path().join(name);
        program::write_private(&path, secret);
        path.to_str().unwrap().to_owned()
    }

    /// Starts and waits until it is ready.
    pub async fn start(self) -> Sidecar {
        let sidecar = self.start_unready().await;
        sidecar.ready().await;
        sidecar
    }

    /// Starts and waits until it listens; what readiness waits for may still be missing.
    pub async fn start_unready(self) -> Sidecar {
        self.settings.write(&self.config_file());
        let (process, proxy, admin) = self.launch().await;
        Sidecar::new(self, process, [proxy, admin])
    }

    /// Starts where that must fail, and tells how it ended and what `look` then finds in the
    /// folder, which goes with this.
    pub async fn start_failing_with<T>(self, look: impl FnOnce() -> T) -> (Exit, T) {
        let exit = self.fail().await;
        (exit, look())
    }

    /// Starts where that must fail, and tells how it ended.
    pub async fn start_failing(self) -> Exit {
        self.fail().await
    }

    async fn fail(&self) -> Exit {
        self.settings.write(&self.config_file());
        let mut process = Captured::start(&mut self.run()).unwrap();
        let Some(status) = process.wait().await else {
            panic!("it runs although it must not:\n{}", process.tail(TAIL));
        };
        let exit = Exit {
            code: status.code(),
            stdout: process.stdout().all().join("\n"),
            stderr: process.stderr().all().join("\n"),
        };
        let texts = [("stdout", exit.stdout.as_str()), ("stderr", &exit.stderr)];
        assert_eq!(self.leaks.find(texts), Vec::<String>::new());
        exit
    }

    /// Runs the program whatever form its log has: waits for the socket that it listens on, lets
    /// `work` talk to it, ends it, and gives the lines of its log.
    pub async fn run_until(self, work: impl AsyncFnOnce(&Address), socket: &str) -> Vec<String> {
        self.settings.write(&self.config_file());
        let mut process = Captured::start(&mut self.run()).unwrap();
        let address = Address::Unix(socket.into());
        let patience = Instant::now() + client::PATIENCE;
        while address.connect().await.is_err() {
            assert!(Instant::now() < patience, "{}", process.tail(TAIL));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        work(&address).await;
        process.signal(Signal::Term);
        let status = process.wait().await.expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", process.tail(TAIL));
        let lines = process.stderr().all();
        let found = self.leaks.find([("stderr", lines.join("\n").as_str())]);
        assert_eq!(found, Vec::<String>::new());
        lines
    }

    /// Runs another command with the configuration file, `check` for example.
    pub async fn command(&self, arguments: &[&str], input: &str) -> Exit {
        self.settings.write(&self.config_file());
        let config = self.config_file();
        let mut all = arguments.to_vec();
        all.extend(["--config", config.to_str().unwrap()]);
        let exit = program::run(&self.program, &all, input).await;
        let texts = [("stdout", exit.stdout.as_str()), ("stderr", &exit.stderr)];
        assert_eq!(self.leaks.find(texts), Vec::<String>::new());
        exit
    }

    /// The configuration file, written: for a command that is not waited for.
    pub fn written(&self) -> PathBuf {
        self.settings.write(&self.config_file());
        self.config_file()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.home.path().join("bearward.toml")
    }

    fn run(&self) -> Command {
        let mut command = match &self.way {
            None => Command::new(&self.program),
            Some(line) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(line).arg("sh").arg(&self.program);
                shell
            }
        };
        command
            .arg("run")
            .arg("--config")
            .arg(self.config_file())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the program and waits until its log says where it listens.
    pub(super) async fn launch(&self) -> (Captured, Address, Address) {
        let mut process = Captured::start(&mut self.run()).unwrap();
        let room = |lines: &[String], room: &str| {
            let event = lines.iter().filter_map(|line| Event::parse(line));
            let mut heard = event.filter(|event| event.message == "listening");
            let event = heard.find(|event| event.field("room") == room)?;
            Some(Address::parse(&event.field("address")))
        };
        let patience = Instant::now() + client::PATIENCE;
        loop {
            let lines = process.stderr().all();
            if let (Some(proxy), Some(admin)) = (room(&lines, "proxy"), room(&lines, "admin")) {
                return (process, proxy, admin);
            }
            if !process.runs() || Instant::now() > patience {
                process.end();
                panic!("it does not listen:\n{}", process.tail(TAIL));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
