//! A kubeconfig file as typed words, as far as they matter here.
//!
//! What always holds: what would make us somebody else, or take another way than we can, is a
//! fault and not passed over; secrets in it are wiped when they are dropped.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

use super::{refused, yaml};
use crate::secret::Secret;
use crate::store::Error;

/// The largest kubeconfig; those of many clusters have some hundred kilobytes.
const LARGEST: u64 = 8 << 20;

/// One file, and the folder that paths in it begin at.
pub(super) struct File {
    pub(super) path: PathBuf,
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Content {
    current_context: Option<String>,
    contexts: Option<Vec<Named>>,
    clusters: Option<Vec<Named>>,
    users: Option<Vec<Named>>,
}

/// An entry of any of the three lists; which one it is of says which member it has.
#[derive(Deserialize)]
struct Named {
    name: String,
    context: Option<Context>,
    cluster: Option<Cluster>,
    user: Option<User>,
}

/// Which cluster as whom.
#[derive(Clone, Deserialize)]
pub(super) struct Context {
    pub(super) cluster: String,
    pub(super) user: String,
    pub(super) namespace: Option<String>,
}

/// An API server.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) certificate_authority: Option<PathBuf>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: Option<bool>,
    pub(super) proxy_url: Option<String>,
}

/// Who we are.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct User {
    #[serde(default, deserialize_with = "secret")]
    pub(super) token: Option<Secret<String>>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key: Option<PathBuf>,
    #[serde(default, deserialize_with = "secret")]
    pub(super) client_key_data: Option<Secret<String>>,
    pub(super) exec: Option<Exec>,
    pub(super) username: Option<String>,
    pub(super) auth_provider: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as")]
    pub(super) acts_as: Option<String>,
}

/// A program that knows who we are.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exec {
    pub(super) api_version: String,
    pub(super) command: String,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<Variable>>,
    pub(super) install_hint: Option<String>,
    #[serde(default)]
    pub(super) provide_cluster_info: bool,
    pub(super) interactive_mode: Option<String>,
}

/// A variable of that program's environment.
#[derive(Clone, Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    #[serde(default, deserialize_with = "secret")]
    pub(super) value: Option<Secret<String>>,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl File {
    /// Reads the file at `path`. Blocks the thread.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = || {
            refused(format!(
                "the kubeconfig `{}` cannot be read",
                path.display()
            ))
        };
        let text = text(path).map_err(|cause| unreadable().because(cause))?;
        let value = yaml::parse(text.expose()).map_err(|cause| unreadable().because(cause))?;
        // By our own words: serde's could repeat a token that stands in the wrong place.
        let content = typed(value).ok_or_else(|| {
            unreadable().with_hint("a member is missing or of another kind than kubectl takes")
        })?;
        let path = path.to_owned();
        Ok(Self { path, content })
    }

    pub(super) fn current_context(&self) -> Option<&str> {
        let name = self.content.current_context.as_deref();
        name.filter(|name| !name.is_empty())
    }

    pub(super) fn context(&self, name: &str) -> Option<&Context> {
        entry(self.content.contexts.as_deref(), name)?
            .context
            .as_ref()
    }

    pub(super) fn cluster(&self, name: &str) -> Option<&Cluster> {
        entry(self.content.clusters.as_deref(), name)?
            .cluster
            .as_ref()
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        entry(self.content.users.as_deref(), name)?.user.as_ref()
    }

    /// Where `path`, as it is written here, leads.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        folder.join(path)
    }
}

fn text(path: &Path) -> std::io::Result<Secret<String>> {
    use std::io::Read;
    let mut bytes = String::new();
    let read = fs::File::open(path)?
        .take(LARGEST)
        .read_to_string(&mut bytes);
    let text = Secret::new(bytes);
    read.map(|_| text)
}

fn typed<T: DeserializeOwned>(value: serde_json::Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn entry<'e>(list: Option<&'e [Named]>, name: &str) -> Option<&'e Named> {
    list?.iter().find(|entry| entry.name == name)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::new))
}
