//! `[grant.NAME.store.…]`: where a grant is kept, and what seals it there.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{Source, StoreKey};
use super::tls::Tls;
use super::values::{Namespace, ObjectName, Period, RedisUrl};

/// Where a grant is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// In a file of its own.
    File(FileStore),
    /// In a Secret of Kubernetes; several replicas can share it.
    Kubernetes(Box<KubernetesStore>),
    /// In Redis, or what speaks its protocol; several replicas can share it.
    Redis(Box<RedisStore>),
}

/// A grant in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileStore {
    /// The file; its folder must not be writable by group or others, and is made (mode 0700) where only it is missing.
    pub path: PathBuf,
    /// The key that seals the file, as made by `bearward keygen`; absent: the file is plain text with mode 0600.
    #[serde(default)]
    pub key: Option<Source>,
    /// Keys that sealed the file before; it is opened with any of them and sealed with `key` at the next write.
    #[serde(default)]
    pub old_keys: Vec<Source>,
}

/// A grant in a Secret of Kubernetes. Secret and Lease exist already; the README shows the manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubernetesStore {
    /// The Secret that keeps the grant, under `grant` in its data.
    pub secret: ObjectName,
    /// The Lease by which replicas take turns; absent: named as the Secret is.
    #[serde(default)]
    pub lease: Option<ObjectName>,
    /// The namespace of both; absent: the service account's, or the kubeconfig's.
    #[serde(default)]
    pub namespace: Option<Namespace>,
    /// A kubeconfig, for use outside the cluster; absent: `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// The key that seals the record, as made by `bearward keygen`; `"none"` leaves it readable for whoever can read the Secret.
    pub key: StoreKey,
    /// Keys that sealed the record before; it is opened with any of them and sealed with `key` at the next write.
    #[serde(default)]
    pub old_keys: Vec<Source>,
    /// Time for one answer of the API server, the connection included.
    #[serde(default = "kubernetes_timeout")]
    pub timeout: Period,
}

impl KubernetesStore {
    /// The name of the Lease.
    pub fn lease(&self) -> &ObjectName {
        self.lease.as_ref().unwrap_or(&self.secret)
    }
}

/// A grant in Redis: exactly one of `url`, `cluster` and `sentinel` says where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisStore {
    /// The server: `rediss://` with TLS or `redis://` without, host, port (6379 where none is written) and database number.
    #[serde(default)]
    pub url: Option<RedisUrl>,
    /// Nodes of a cluster; any of them leads to the one that has the grant.
    #[serde(default)]
    pub cluster: Vec<RedisUrl>,
    /// Sentinels that know the primary.
    #[serde(default)]
    pub sentinel: Option<Sentinel>,
    /// The ACL user; absent: the default user.
    #[serde(default)]
    pub username: Option<String>,
    /// The password, read again for each new connection.
    #[serde(default)]
    pub password: Option<Source>,
    /// What stands before the grant's name in the key that is written.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The key that seals the record, as made by `bearward keygen`; `"none"` leaves it readable for whoever can read the engine.
    pub key: StoreKey,
    /// Keys that sealed the record before; it is opened with any of them and sealed with `key` at the next write.
    #[serde(default)]
    pub old_keys: Vec<Source>,
    /// Time for one answer, a new connection included.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Replicas of the engine that must have a record before it counts as saved (`WAIT`).
    #[serde(default)]
    pub replicas: u8,
    /// Allows `redis://` towards a host that is not loopback: password and record then travel unprotected.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Whom to trust and how to prove who we are, towards the engine; read again for each new connection.
    #[serde(default)]
    pub tls: Tls,
}

/// Sentinels that know the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The name that the sentinels know the primary by.
    pub master: String,
    /// The sentinels (port 26379 where none is written); the primary is dialled with the scheme and database number of the one that named it.
    #[serde(default)]
    pub urls: Vec<RedisUrl>,
    /// The ACL user at the sentinels.
    #[serde(default)]
    pub username: Option<String>,
    /// The password at the sentinels; absent: they ask for none.
    #[serde(default)]
    pub password: Option<Source>,
}

fn kubernetes_timeout() -> Period {
    Period::seconds(5)
}

fn prefix() -> String {
    String::from("bearward:")
}

fn timeout() -> Period {
    Period::seconds(2)
}
