//! The service account of the pod that we run in.

use std::path::{Path, PathBuf};

use super::{Terms, Trust, refused};
use crate::config::{Malformed, Namespace, Source, Url};
use crate::secret::Secret;
use crate::store::Error;
use crate::tls::Pem;

/// What Kubernetes puts into each pod: where its API is, and a folder with `token`, `ca.crt` and
/// `namespace`, of which the first two change while the pod lives.
#[derive(Debug)]
pub(super) struct Pod {
    server: Url,
    account: PathBuf,
}

impl Pod {
    pub(super) fn new(account: &Path, host: &str, port: &str) -> Result<Self, Error> {
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let server = format!("https://{bracketed}:{port}").parse();
        let server = server.map_err(|cause: Malformed| {
            refused("`KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` make no address")
                .because(cause)
        })?;
        let pod = Self {
            server,
            account: account.to_owned(),
        };
        pod.terms()?;
        Ok(pod)
    }

    pub(super) fn namespace(&self) -> Result<Namespace, Error> {
        let text = self.read("namespace")?;
        text.expose().trim().parse().map_err(|cause: Malformed| {
            refused("the pod's service account names no namespace")
                .with_hint("set `namespace`")
                .because(cause)
        })
    }

    pub(super) fn terms(&self) -> Result<Terms, Error> {
        let ca = Pem::read(&self.account.join("ca.crt")).map_err(|cause| {
            refused("the authority of the Kubernetes API server cannot be read").because(cause)
        })?;
        Ok(Terms {
            server: self.server.clone(),
            server_name: None,
            trust: Trust {
                ca: Some(ca),
                identity: None,
            },
            token: Some(self.read("token")?),
        })
    }

    fn read(&self, name: &str) -> Result<Secret<String>, Error> {
        Source::File(self.account.join(name))
            .read()
            .map_err(|cause| {
                refused("the pod's service account cannot be read")
                    .with_hint("the pod needs `automountServiceAccountToken: true`")
                    .because(cause)
            })
    }
}
