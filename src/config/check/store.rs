//! `[grant.NAME.store.…]`: a place of its own, and one that can be reached without leaking.

use crate::config::document::Path;
use crate::config::fault::{Findings, Problem};
use crate::config::values::RedisUrl;
use crate::config::{FileStore, KubernetesStore, RedisStore, Sentinel, Source, Store};

/// The longest prefix of a key: more is a mistake.
const LONGEST_PREFIX: usize = 128;

pub(super) fn check(at: &Path, store: &Store, findings: &mut Findings<'_>) {
    match store {
        Store::File(file) => file_store(&at.key("file"), file, findings),
        Store::Kubernetes(store) => kubernetes_store(&at.key("kubernetes"), store, findings),
        Store::Redis(redis) => redis_store(&at.key("redis"), redis, findings),
    }
}

fn file_store(at: &Path, file: &FileStore, findings: &mut Findings<'_>) {
    if !file.path.is_absolute() || file.path.file_name().is_none() {
        let problem = Problem::new("this is not the absolute path of a file")
            .hint("write it from the root, such as `/var/lib/bearward/crm.grant`");
        findings.at(&at.key("path"), problem);
    }
    if !file.old_keys.is_empty() && file.key.is_none() && findings.sound(&at.key("key")) {
        let problem = Problem::new("old keys without a `key` would leave the file unsealed")
            .hint("set `key`, or remove `old_keys`");
        findings.at(&at.key("old_keys"), problem);
    }
}

fn kubernetes_store(at: &Path, kubernetes: &KubernetesStore, findings: &mut Findings<'_>) {
    super::period(&at.key("timeout"), kubernetes.timeout, findings);
    if let Some(path) = &kubernetes.kubeconfig
        && !path.is_absolute()
    {
        let problem = Problem::new("this is not an absolute path")
            .hint("write it from the root, such as `/home/somebody/.kube/config`");
        findings.at(&at.key("kubeconfig"), problem);
    }
}

fn redis_store(at: &Path, redis: &RedisStore, findings: &mut Findings<'_>) {
    places(at, redis, findings);
    if let Some(sentinel) = &redis.sentinel {
        sentinels(&at.key("sentinel"), sentinel, findings);
    }
    let (username, password) = (&redis.username, &redis.password);
    user(at, username.as_ref(), password.as_ref(), findings);
    prefix(&at.key("prefix"), &redis.prefix, findings);
    super::period(&at.key("timeout"), redis.timeout, findings);
    super::tls(&at.key("tls"), &redis.tls, findings);
}

/// Where the engine is: told in one of three ways, and reached in one way.
fn places(at: &Path, redis: &RedisStore, findings: &mut Findings<'_>) {
    let told = [
        ("url", redis.url.is_some()),
        ("cluster", !redis.cluster.is_empty()),
        ("sentinel", redis.sentinel.is_some()),
    ];
    let sound = told.iter().all(|(key, _)| findings.sound(&at.key(key)));
    let mut told = told.iter().filter(|(_, told)| *told).map(|(key, _)| key);
    match (told.next(), told.next()) {
        (None, _) if sound => {
            let problem = Problem::new("nothing says where this Redis is")
                .hint("set `url = \"rediss://host:6379/0\"`, or `cluster`, or a table `sentinel`");
            findings.at(&at.key("url"), problem);
        }
        (Some(one), Some(other)) => {
            let problem = Problem::new(format!("`{one}` and `{other}` exclude each other"))
                .hint("keep the one that leads to the grant");
            findings.at(&at.key(other), problem);
        }
        _ => {}
    }
    let lists = [
        (at.key("cluster"), redis.cluster.as_slice()),
        (at.key("sentinel").key("urls"), sentinel_urls(redis)),
    ];
    for (at, urls) in &lists {
        alike(at, urls, findings);
    }
    if let Some(database) = redis.cluster.iter().position(|url| url.database() != 0) {
        let problem = Problem::new("a cluster has no numbered databases")
            .hint("leave out what follows the port");
        findings.at(&at.key("cluster").index(database), problem);
    }
    if redis.allow_plaintext {
        return;
    }
    for (at, urls) in &lists {
        let listed = urls.iter().enumerate();
        listed.for_each(|(index, url)| transport(&at.index(index), url, findings));
    }
    if let Some(url) = &redis.url {
        transport(&at.key("url"), url, findings);
    }
}

fn sentinel_urls(redis: &RedisStore) -> &[RedisUrl] {
    redis
        .sentinel
        .as_ref()
        .map_or(&[], |sentinel| &sentinel.urls)
}

/// What one server tells of another is reached as the first one was, whichever that is.
fn alike(at: &Path, urls: &[RedisUrl], findings: &mut Findings<'_>) {
    let kind = |url: &RedisUrl| (url.is_tls(), url.database());
    let other = urls
        .iter()
        .skip(1)
        .position(|url| urls.first().map(kind) != Some(kind(url)));
    if let Some(other) = other {
        let problem = Problem::new("these servers are not reached in the same way")
            .hint("give all the same scheme and database");
        findings.at(&at.index(other + 1), problem);
    }
}

fn transport(at: &Path, url: &RedisUrl, findings: &mut Findings<'_>) {
    if !url.is_tls() && !url.is_loopback() {
        let problem = Problem::new(
            "`redis://` to a host that is not loopback shows password and grant to the network",
        )
        .hint("use `rediss://`, or set `allow_plaintext = true` in the store's table if the network is trusted");
        findings.at(at, problem);
    }
}

fn sentinels(at: &Path, sentinel: &Sentinel, findings: &mut Findings<'_>) {
    let urls = at.key("urls");
    if sentinel.urls.is_empty() && findings.sound(&urls) {
        let problem = Problem::new("nothing says where the sentinels are")
            .hint("set `urls = [\"rediss://host:26379\", …]`");
        findings.at(&urls, problem);
    }
    let master = at.key("master");
    if sentinel.master.trim().is_empty() && findings.sound(&master) {
        let problem = Problem::new("the primary has a name")
            .hint("it stands in the sentinels' configuration, after `sentinel monitor`");
        findings.at(&master, problem);
    }
    let (username, password) = (&sentinel.username, &sentinel.password);
    user(at, username.as_ref(), password.as_ref(), findings);
}

fn user(
    at: &Path,
    username: Option<&String>,
    password: Option<&Source>,
    findings: &mut Findings<'_>,
) {
    if username.is_some() && password.is_none() && findings.sound(&at.key("password")) {
        let problem = Problem::new("a user without a password cannot prove itself")
            .hint("set `password = { file = \"/path/to/it\" }`");
        findings.at(&at.key("username"), problem);
    }
}

fn prefix(at: &Path, prefix: &str, findings: &mut Findings<'_>) {
    let visible = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || prefix.len() > LONGEST_PREFIX {
        let problem = Problem::new("this cannot stand before the name of a key").hint(format!(
            "use letters, digits and punctuation, at most {LONGEST_PREFIX}"
        ));
        findings.at(at, problem);
    }
}
