//! Credential plugins: programs that a kubeconfig names and that know who we are.
//!
//! What always holds: a plugin is run without a terminal, has its time, and is killed at the end
//! of it; what it prints is never shown.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::file::{Cluster, Exec, File};
use super::{Identity, refused};
use crate::secret::Secret;
use crate::store::{Error, ErrorKind};
use crate::tls::Pem;

/// The versions of the protocol that are spoken.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// Time for a plugin, which may ask a cloud.
const LIMIT: Duration = Duration::from_secs(60);

/// The most that a plugin prints.
const LARGEST: u64 = 1 << 20;

/// What is near its end is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// One plugin as the kubeconfig has it.
pub(super) struct Plugin {
    exec: Exec,
    /// The kubeconfig, and the program.
    file: PathBuf,
    program: PathBuf,
    info: String,
}

/// What a plugin gave.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) token: Option<Secret<String>>,
    pub(super) identity: Option<Identity>,
    until: Option<Timestamp>,
}

/// `kind: ExecCredential`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Issued {
    /// Whether it can still be used. One that does not say ends when the server says so.
    pub(super) fn is_good(&self) -> bool {
        let soon = Timestamp::now() + MARGIN;
        self.until.is_none_or(|until| until > soon)
    }
}

impl Plugin {
    pub(super) fn new(at: &File, exec: &Exec, cluster: &Cluster) -> Self {
        let mut spec = json!({ "interactive": false });
        if exec.provide_cluster_info {
            spec = json!({
                "interactive": false,
                "cluster": {
                    "server": cluster.server,
                    "tls-server-name": cluster.tls_server_name,
                    "certificate-authority-data": cluster.certificate_authority_data,
                },
            });
        }
        let info = json!({
            "apiVersion": exec.api_version,
            "kind": "ExecCredential",
            "spec": spec,
        });
        // A bare name is looked for on the path, anything else beside the kubeconfig.
        let command = Path::new(&exec.command);
        let program = match command.components().count() {
            0 | 1 => command.to_owned(),
            _ => at.beside(command),
        };
        Self {
            exec: exec.clone(),
            file: at.path.clone(),
            program,
            info: info.to_string(),
        }
    }

    /// Runs it. Dropped, it is killed.
    pub(super) async fn run(&self) -> Result<Issued, Error> {
        if !VERSIONS.contains(&self.exec.api_version.as_str()) {
            return Err(
                refused("the credential plugin speaks a version that nobody here knows")
                    .with_hint(format!("let it speak `{}`", VERSIONS[0])),
            );
        }
        if self.exec.interactive_mode.as_deref() == Some("Always") {
            return Err(refused("the credential plugin wants a terminal")
                .with_hint("log in with it by hand, and give it another `interactiveMode`"));
        }
        let output = match timeout(LIMIT, self.output()).await {
            Ok(output) => output?,
            Err(_) => return Err(self.failed(&format!("gave nothing within {LIMIT:?}"))),
        };
        self.read(&output)
    }

    async fn output(&self) -> Result<Secret<Vec<u8>>, Error> {
        let mut command = Command::new(&self.program);
        let variables = self.exec.env.iter().flatten();
        command
            .args(self.exec.args.iter().flatten())
            .envs(variables.map(|variable| {
                let value = variable.value.as_ref().map_or("", |value| value.expose());
                (&variable.name, value)
            }))
            .env("KUBERNETES_EXEC_INFO", &self.info)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|cause| self.missing(cause))?;
        let mut output = Vec::new();
        let broken = |cause| self.failed("broke off").because(cause);
        if let Some(stdout) = child.stdout.take() {
            let read = stdout.take(LARGEST).read_to_end(&mut output).await;
            read.map_err(broken)?;
        }
        let output = Secret::new(output);
        let status = child.wait().await.map_err(broken)?;
        if !status.success() {
            return Err(self.failed(&format!("ended with {status}")));
        }
        Ok(output)
    }

    fn read(&self, output: &Secret<Vec<u8>>) -> Result<Issued, Error> {
        let strange = || refused(format!("{} printed no credential", self.named()));
        let answer: Answer = serde_json::from_slice(output.expose()).map_err(|_| strange())?;
        let status = answer.status.ok_or_else(strange)?;
        if answer.api_version != self.exec.api_version {
            return Err(strange());
        }
        let key = status.client_key_data.map(Secret::new);
        let pem = |text: String| Pem::new(&self.program, Secret::new(text.into_bytes()));
        let identity = match (status.client_certificate_data, key) {
            (Some(chain), Some(key)) => Some(Identity {
                chain: pem(chain),
                key: pem(key.expose().clone()),
            }),
            _ => None,
        };
        let token = status.token.filter(|token| !token.is_empty());
        if token.is_none() && identity.is_none() {
            return Err(strange());
        }
        Ok(Issued {
            token: token.map(Secret::new),
            identity,
            until: status.expiration_timestamp,
        })
    }

    fn named(&self) -> String {
        let command = self.exec.command.escape_debug();
        format!("the credential plugin `{command}`")
    }

    fn failed(&self, how: &str) -> Error {
        let file = self.file.display();
        Error::new(ErrorKind::Away, format!("{} {how}", self.named())).with_hint(format!(
            "run it by hand as `{file}` says; what it complains of is above"
        ))
    }

    fn missing(&self, cause: std::io::Error) -> Error {
        let hint = self.exec.install_hint.as_deref().unwrap_or("install it");
        let hint: String = hint.chars().filter(|c| !c.is_control()).take(400).collect();
        refused(format!("{} cannot be run", self.named()))
            .with_hint(hint)
            .because(cause)
    }
}
