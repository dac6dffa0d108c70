//! The contract over the practice API server, and what this store promises beyond it.

mod access;
mod faults;

#[path = "../../../../tests/practice"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the practice world is shared, and this takes a part of it"
)]
mod practice {
    mod body;
    mod journal;
    pub(super) mod kubernetes;
    pub(super) mod reply;
    pub(super) mod tls;
    mod wire;
}

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, Weak};

use serde_json::Value;
use tempfile::TempDir;

use self::practice::kubernetes::{Kubernetes, NAMESPACE};
use self::practice::reply::{Gate, Reply};
use super::*;
use crate::config::{Source, StoreKey};
use crate::store::Key;
use crate::store::contract::shared::{SharedShelf, shared_contract};
use crate::store::contract::{Shelf, chain, full};

shared_contract!(plain, Cluster::new().await);
shared_contract!(sealed, Cluster::new().await.sealed());

/// A cluster with room for one grant, by a clock that is moved by hand.
struct Cluster {
    server: Kubernetes,
    folder: TempDir,
    settings: config::KubernetesStore,
    now: Arc<Mutex<Duration>>,
    handles: Mutex<Vec<Weak<KubernetesStore>>>,
}

impl Cluster {
    async fn new() -> Self {
        let server = Kubernetes::start("crm").await;
        let folder = tempfile::tempdir().unwrap();
        let settings = config::KubernetesStore {
            secret: "crm".parse().unwrap(),
            lease: None,
            namespace: None,
            kubeconfig: Some(folder.path().join("config")),
            key: StoreKey::None,
            old_keys: Vec::new(),
            timeout: "10s".parse().unwrap(),
        };
        let cluster = Self {
            server,
            folder,
            settings,
            now: Arc::default(),
            handles: Mutex::default(),
        };
        cluster.write("token", "first-token\n");
        cluster.write(
            "config",
            &kubeconfig(cluster.server.url(), "", "tokenFile: token"),
        );
        cluster
    }

    fn sealed(mut self) -> Self {
        let path = self.write("key", Key::generate().unwrap().text().expose());
        self.settings.key = StoreKey::Of(Source::File(path));
        self
    }

    fn within(mut self, timeout: &str) -> Self {
        self.settings.timeout = timeout.parse().unwrap();
        self
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn store(&self) -> Arc<KubernetesStore> {
        let grant = "crm".parse().unwrap();
        let surroundings = Surroundings::default();
        let mut store = KubernetesStore::within(&self.settings, &grant, &surroundings).unwrap();
        let (start, now) = (Instant::now(), Arc::clone(&self.now));
        store.clock = Clock(Arc::new(move || start + *now.lock().unwrap()));
        let store = Arc::new(store);
        self.handles.lock().unwrap().push(Arc::downgrade(&store));
        store
    }

    fn secret(&self) -> Value {
        self.server.object("secrets/crm")
    }
}

impl Shelf for Cluster {
    fn open(&self) -> Arc<dyn Store> {
        self.store()
    }
}

impl SharedShelf for Cluster {
    /// A lease ends for whoever has seen it unchanged for as long as it says, in whole seconds.
    async fn pass(&self, time: Duration) {
        let handles = self.handles.lock().unwrap().clone();
        for store in handles.iter().filter_map(Weak::upgrade) {
            store.look().await.unwrap();
        }
        *self.now.lock().unwrap() += Duration::from_secs(time.as_secs() + 2);
    }
}

impl Drop for Cluster {
    /// Whatever a test was about: nothing else is ever asked, and no write goes without a version.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for asked in self.server.asked().all() {
            let ours = ["secrets/crm", "leases/crm"].contains(&asked.object.as_str());
            let right = match asked.verb {
                "get" => ours,
                "patch" => ours && asked.version.is_some_and(|version| !version.is_empty()),
                _ => false,
            };
            assert!(right, "{} {}", asked.verb, asked.object);
        }
    }
}

/// A kubeconfig with one context, and what is said of its cluster and its user beside that.
fn kubeconfig(server: &str, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts:\n- name: here\n  context: {{cluster: c, user: u, namespace: {NAMESPACE}}}\n\
         clusters:\n- name: c\n  cluster:\n    server: {server}\n    {cluster}\n\
         users:\n- name: u\n  user:\n    {user}\n"
    )
}

fn holder() -> Holder {
    Holder::named("pod-1")
}
