//! What one key says about another: the checks that need more than the value itself.
//!
//! One function per table. Each tells every fault it sees and none twice: [`Findings`] drops what
//! stands at a place that is known to be at fault.

mod authorize;
mod field;
mod files;
mod grant;
mod proxy;
mod route;
mod store;

use std::net::SocketAddr;

use super::document::Path;
use super::fault::{Findings, Problem};
use super::tls::Tls;
use super::values::{Deadline, Listen, Period, Url};
use super::{Config, Namespace, ObjectName, Store};

pub(super) use files::files;

/// Checks everything that can be known without looking beyond the text.
pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    proxy::check(&Path::of("proxy"), &config.proxy, findings);
    reload(config, findings);
    listeners(config, findings);
    presence(config, findings);
    for (name, grant) in &config.grant {
        grant::check(&Path::of("grant").key(name.as_str()), grant, findings);
    }
    stores(config, findings);
    for (index, route) in config.route.iter().enumerate() {
        route::check(&Path::of("route").index(index), route, findings);
    }
    route::against_grants(config, findings);
    route::against_each_other(&config.route, findings);
}

fn reload(config: &Config, findings: &mut Findings<'_>) {
    let at = Path::of("reload").key("interval");
    deadline(&at, config.reload.interval, findings);
}

/// The two listeners must not ask for the same address.
fn listeners(config: &Config, findings: &mut Findings<'_>) {
    let same = match (&config.proxy.listen, &config.admin.listen) {
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        (Listen::Tcp(one), Listen::Tcp(other)) => clash(one, other),
        _ => false,
    };
    let admin = Path::of("admin").key("listen");
    let proxy = Path::of("proxy").key("listen");
    if same && findings.sound(&proxy) && findings.sound(&admin) {
        let written = if config.admin == super::Admin::default() {
            &proxy
        } else {
            &admin
        };
        let problem = Problem::new("`proxy.listen` and `admin.listen` are the same address")
            .hint("give each its own port, such as `127.0.0.1:8080` and `127.0.0.1:9901`");
        findings.at(written, problem);
    }
    for (at, listen) in [(proxy, &config.proxy.listen), (admin, &config.admin.listen)] {
        if let Listen::Tcp(address) = listen
            && (address.ip().is_multicast() || is_broadcast(address))
        {
            findings.at(
                &at,
                Problem::new("nobody can listen on a multicast or broadcast address"),
            );
        }
    }
}

/// The same port on the same address, or on one address and all of them.
fn clash(one: &SocketAddr, other: &SocketAddr) -> bool {
    let all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (all || one.ip() == other.ip())
}

fn is_broadcast(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V4(address) if address.ip().is_broadcast())
}

/// A file without grants or routes does nothing.
fn presence(config: &Config, findings: &mut Findings<'_>) {
    let grant = Path::of("grant");
    if config.grant.is_empty() && findings.sound(&grant) {
        let problem = Problem::new("there is no grant")
            .hint("add a table `[grant.NAME]` with `issuer`, `client_id` and a store");
        findings.at(&grant, problem);
    }
    let route = Path::of("route");
    if config.route.is_empty() && findings.sound(&route) {
        let problem = Problem::new("there is no route")
            .hint("add a table `[[route]]` with `grant` and `upstream`");
        findings.at(&route, problem);
    }
}

/// Two grants in one place would overwrite each other's refresh token.
fn stores(config: &Config, findings: &mut Findings<'_>) {
    let mut seen: Vec<(Place<'_>, &str)> = Vec::new();
    for (name, grant) in &config.grant {
        let at = Path::of("grant").key(name.as_str()).key("store");
        for (place, at) in places(&grant.store, &at) {
            if !findings.sound(&at) {
                continue;
            }
            if let Some((_, other)) = seen.iter().find(|(taken, _)| *taken == place) {
                let problem = place.taken(other);
                findings.at(&at, problem);
            }
            seen.push((place, name.as_str()));
        }
    }
}

/// What only one grant can have.
#[derive(PartialEq, Eq)]
enum Place<'c> {
    File(&'c std::path::Path),
    Secret(&'c ObjectName, Cluster<'c>),
    Lease(&'c ObjectName, Cluster<'c>),
}

/// Which cluster, and where in it.
type Cluster<'c> = (Option<&'c Namespace>, Option<&'c std::path::Path>);

impl Place<'_> {
    fn taken(&self, other: &str) -> Problem {
        let (done, own) = match self {
            Self::File(_) => ("is kept in this file", "a file"),
            Self::Secret(..) => ("is kept in this Secret", "a Secret"),
            Self::Lease(..) => ("takes its turns by this Lease", "a Lease"),
        };
        Problem::new(format!("`grant.{other}` {done} already"))
            .hint(format!("give each grant {own} of its own"))
    }
}

/// What `store` takes, and where that is said.
fn places<'c>(store: &'c Store, at: &Path) -> Vec<(Place<'c>, Path)> {
    match store {
        Store::File(file) => vec![(Place::File(&file.path), at.key("file").key("path"))],
        // There the name of the grant is part of the key.
        Store::Redis(_) => Vec::new(),
        Store::Kubernetes(store) => {
            let at = at.key("kubernetes");
            let cluster = (store.namespace.as_ref(), store.kubeconfig.as_deref());
            let lease = at.key(if store.lease.is_some() {
                "lease"
            } else {
                "secret"
            });
            vec![
                (Place::Secret(&store.secret, cluster), at.key("secret")),
                (Place::Lease(store.lease(), cluster), lease),
            ]
        }
    }
}

/// `http://` shows what it carries, unless it stays on this machine. Not asked where
/// `allow_plaintext` is set.
fn transport(at: &Path, url: &Url, findings: &mut Findings<'_>) {
    if !url.is_https() && !url.is_loopback() {
        let problem = Problem::new(
            "`http://` to a host that is not loopback shows the credential to the network",
        )
        .hint("use `https://`, or set `allow_plaintext = true` in this table if the network is trusted");
        findings.at(at, problem);
    }
}

/// A timeout of nothing would end everything at once.
fn period(at: &Path, period: Period, findings: &mut Findings<'_>) {
    if period.duration().is_zero() {
        let problem = Problem::new("this needs a length of time above zero");
        findings.at(at, problem.hint("write a length such as `\"30s\"`"));
    }
}

fn deadline(at: &Path, deadline: Deadline, findings: &mut Findings<'_>) {
    if deadline
        .duration()
        .is_some_and(|duration| duration.is_zero())
    {
        let problem = Problem::new("this needs a length of time above zero");
        findings.at(
            at,
            problem.hint("write a length such as `\"30s\"`, or `\"never\"`"),
        );
    }
}

/// `[….tls]`: a pair is a pair, and somebody must be trusted.
fn tls(at: &Path, tls: &Tls, findings: &mut Findings<'_>) {
    for (one, other, here) in [
        ("cert", "key", tls.cert.is_some()),
        ("key", "cert", tls.key.is_some()),
    ] {
        let alone = here && tls.cert.is_some() != tls.key.is_some();
        if alone && findings.sound(&at.key(other)) {
            let problem = Problem::new(format!("`{one}` needs `{other}` beside it"))
                .hint("mutual TLS takes a certificate and its private key, or neither");
            findings.at(&at.key(one), problem);
        }
    }
    if !tls.system_roots && tls.ca.is_none() && findings.sound(&at.key("ca")) {
        let problem = Problem::new("without the system's authorities nobody is trusted")
            .hint("name the authorities to trust: `ca = \"/path/to/ca.pem\"`");
        findings.at(&at.key("system_roots"), problem);
    }
    if let Some(name) = &tls.server_name
        && !field::is_host(name)
    {
        let problem = Problem::new("this is not a host name").hint(
            "write the name that stands in the server's certificate, such as `api.example.com`",
        );
        findings.at(&at.key("server_name"), problem);
    }
}
