//! Where the API server is and who we are there: from the pod's service account, or from a
//! kubeconfig.
//!
//! What always holds: everything that can change is read again for each call, so a token or an
//! authority that rotates is taken up by itself; which cluster, context and namespace is meant is
//! settled when the store is opened and stays so, whatever somebody's kubeconfig is switched to.

mod exec;
mod file;
mod kubeconfig;
mod pod;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;

use self::kubeconfig::Kubeconfig;
use self::pod::Pod;
use crate::config::{self, Namespace, Url};
use crate::secret::Secret;
use crate::store::{Error, ErrorKind};
use crate::tls::{self, Alpn, Pem};
use crate::upstream::Dialer;

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The ways to the API server that lie around a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// `KUBECONFIG`: paths with `:` between them.
    pub(super) kubeconfig: Option<String>,
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub(super) service: Option<(String, String)>,
    /// The folder of the pod's service account.
    pub(super) account: PathBuf,
    /// The user's home.
    pub(super) home: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn of_this_process() -> Self {
        let told = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let port = told("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| String::from("443"));
        Self {
            kubeconfig: told("KUBECONFIG"),
            service: told("KUBERNETES_SERVICE_HOST").map(|host| (host, port)),
            account: PathBuf::from(ACCOUNT),
            home: told("HOME").map(PathBuf::from),
        }
    }
}

/// All that one call needs.
pub(super) struct Pass {
    /// To the API server; its URL may have a path, below which the API is.
    pub(super) dialer: Dialer,
    /// Who we are, where no client certificate says so.
    pub(super) token: Option<Secret<String>>,
}

/// The same as it is told, before connections can be made of it.
pub(super) struct Terms {
    server: Url,
    /// The name that the server's certificate must carry, where it is not the URL's host.
    server_name: Option<String>,
    trust: Trust,
    token: Option<Secret<String>>,
}

/// Whom TLS trusts, and by what it proves who we are.
#[derive(PartialEq, Eq)]
struct Trust {
    ca: Option<Pem>,
    identity: Option<Identity>,
}

/// A client certificate's chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    chain: Pem,
    key: Pem,
}

/// Knows the way to the API server.
pub(super) struct Access {
    told: Told,
    /// What the last call's trust came to: making it anew each time would resume no sessions.
    last: Mutex<Option<(Trust, Arc<ClientConfig>)>>,
    limit: Duration,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.told.fmt(f)
    }
}

/// Who tells it.
#[derive(Debug)]
enum Told {
    Pod(Pod),
    Kubeconfig(Kubeconfig),
}

impl Access {
    /// Settles who tells it: the configuration's kubeconfig, else `KUBECONFIG`, else the pod's
    /// service account, else the user's kubeconfig. Reads it, so that what is wrong is known at
    /// once. Blocks the thread.
    pub(super) fn find(
        configured: Option<&Path>,
        surroundings: &Surroundings,
        limit: Duration,
    ) -> Result<Self, Error> {
        let told = match (configured, &surroundings.kubeconfig, &surroundings.service) {
            (Some(path), _, _) => Told::Kubeconfig(Kubeconfig::read(vec![path.to_owned()])?),
            (None, Some(paths), _) => {
                let paths = std::env::split_paths(paths).filter(|path| path != Path::new(""));
                Told::Kubeconfig(Kubeconfig::read(paths.collect())?)
            }
            (None, None, Some((host, port))) => {
                Told::Pod(Pod::new(&surroundings.account, host, port)?)
            }
            (None, None, None) => {
                let home = surroundings
                    .home
                    .as_ref()
                    .map(|home| home.join(".kube/config"));
                let path = home.filter(|path| path.exists()).ok_or_else(nowhere)?;
                Told::Kubeconfig(Kubeconfig::read(vec![path])?)
            }
        };
        Ok(Self {
            told,
            last: Mutex::default(),
            limit,
        })
    }

    /// The namespace where none is configured.
    pub(super) fn namespace(&self) -> Result<Namespace, Error> {
        match &self.told {
            Told::Pod(pod) => pod.namespace(),
            Told::Kubeconfig(kubeconfig) => kubeconfig.namespace(),
        }
    }

    /// What the next call needs, read now.
    pub(super) async fn pass(&self) -> Result<Pass, Error> {
        let terms = match &self.told {
            Told::Pod(pod) => pod.terms()?,
            Told::Kubeconfig(kubeconfig) => kubeconfig.terms().await?,
        };
        let dialer = self.dialer(&terms.server, terms.server_name.as_deref(), terms.trust)?;
        let token = terms.token;
        Ok(Pass { dialer, token })
    }

    /// Forgets credentials that were made for us: the server did not take them.
    pub(super) async fn rejected(&self) {
        if let Told::Kubeconfig(kubeconfig) = &self.told {
            kubeconfig.forget().await;
        }
    }

    fn dialer(&self, server: &Url, name: Option<&str>, trust: Trust) -> Result<Dialer, Error> {
        let dialer = if server.is_https() {
            Dialer::secured(
                server,
                self.client(trust).map_err(untrusted)?,
                name,
                self.limit,
            )
        } else {
            Dialer::new(server, &config::Tls::default(), Alpn::Http1, self.limit)
        };
        dialer.map_err(untrusted)
    }

    fn client(&self, trust: Trust) -> Result<Arc<ClientConfig>, tls::Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*last
            && *of == trust
        {
            return Ok(Arc::clone(client));
        }
        let identity = trust.identity.as_ref();
        let identity = identity.map(|identity| (&identity.chain, &identity.key));
        let client = tls::client_with(trust.ca.as_ref(), identity)?;
        let client = tls::with_alpn(&client, Alpn::Http1);
        *last = Some((trust, Arc::clone(&client)));
        Ok(client)
    }
}

/// What was told cannot be used.
fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Refused, message)
}

fn untrusted(error: tls::Error) -> Error {
    refused("the way to the Kubernetes API server cannot be trusted").because(error)
}

fn nowhere() -> Error {
    refused("nothing says where the Kubernetes API server is").with_hint(
        "run it in a pod with a service account, or name a kubeconfig: `kubeconfig = \"/path\"`, \
         or `KUBECONFIG` in the environment",
    )
}
