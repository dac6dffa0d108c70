//! A kubeconfig: the way of an operator's machine, as kubectl goes it.
//!
//! Where several files are given the first that has an entry of a name is right, and paths begin
//! at the folder of the file they stand in.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;

use super::exec::{Issued, Plugin};
use super::file::{Cluster, Context, File, User};
use super::{Identity, Terms, Trust, refused};
use crate::config::{Malformed, Namespace, Source, Url};
use crate::secret::Secret;
use crate::store::Error;
use crate::tls::Pem;

/// One context of a kubeconfig.
#[derive(Debug)]
pub(super) struct Kubeconfig {
    paths: Vec<PathBuf>,
    context: String,
    /// What a credential plugin gave, while it is good.
    issued: Mutex<Option<Issued>>,
}

impl Kubeconfig {
    /// Reads the files and settles for the context that is the current one now. Blocks the thread.
    pub(super) fn read(paths: Vec<PathBuf>) -> Result<Self, Error> {
        let files = Files::read(&paths)?;
        let context = files.0.iter().find_map(File::current_context);
        let context = context.ok_or_else(|| {
            refused(format!("{} has no current context", files.named()))
                .with_hint("`kubectl config use-context NAME` sets it")
        })?;
        let context = context.to_owned();
        let (at, user) = files.user(&context)?;
        let (_, cluster) = files.cluster(&context)?;
        usable(cluster, user, at)?;
        Ok(Self {
            paths,
            context,
            issued: Mutex::default(),
        })
    }

    pub(super) fn namespace(&self) -> Result<Namespace, Error> {
        let files = Files::read(&self.paths)?;
        let context = files.context(&self.context)?;
        let name = context.namespace.as_deref().unwrap_or("default");
        name.parse().map_err(|cause: Malformed| {
            let context = &self.context;
            refused(format!("the context `{context}` names no namespace")).because(cause)
        })
    }

    pub(super) async fn terms(&self) -> Result<Terms, Error> {
        let files = Files::read(&self.paths)?;
        let (here, cluster) = files.cluster(&self.context)?;
        let (at, user) = files.user(&self.context)?;
        usable(cluster, user, at)?;
        let ca_data = cluster.certificate_authority_data.clone().map(Secret::new);
        let ca = pem(
            here,
            ca_data.as_ref(),
            cluster.certificate_authority.as_deref(),
        )?;
        let mut identity = identity(at, user)?;
        let mut token = token(at, user)?;
        if let (None, None, Some(exec)) = (&token, &identity, &user.exec) {
            let issued = self.issued(Plugin::new(at, exec, cluster)).await?;
            token = issued.token;
            identity = issued.identity;
        }
        Ok(Terms {
            server: server(cluster)?,
            server_name: cluster.tls_server_name.clone(),
            trust: Trust { ca, identity },
            token,
        })
    }

    /// Lets the plugin be asked again.
    pub(super) async fn forget(&self) {
        *self.issued.lock().await = None;
    }

    /// What the plugin gives; it is asked by one at a time and only when its last answer has
    /// ended.
    async fn issued(&self, plugin: Plugin) -> Result<Issued, Error> {
        let mut issued = self.issued.lock().await;
        if let Some(issued) = issued.as_ref().filter(|issued| issued.is_good()) {
            return Ok(issued.clone());
        }
        let fresh = plugin.run().await?;
        *issued = Some(fresh.clone());
        Ok(fresh)
    }
}

/// The files of a kubeconfig, in the order they were named.
struct Files(Vec<File>);

impl Files {
    /// Of several files some may be missing, as kubectl has it.
    fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let wanted = |path: &&PathBuf| paths.len() == 1 || path.exists();
        let files = paths.iter().filter(wanted).map(|path| File::read(path));
        Ok(Self(files.collect::<Result<_, _>>()?))
    }

    fn context(&self, name: &str) -> Result<&Context, Error> {
        let found = self.0.iter().find_map(|file| file.context(name));
        found.ok_or_else(|| refused(format!("{} has no context `{name}`", self.named())))
    }

    fn cluster(&self, context: &str) -> Result<(&File, &Cluster), Error> {
        let name = &self.context(context)?.cluster;
        let found = self
            .0
            .iter()
            .find_map(|file| Some((file, file.cluster(name)?)));
        found.ok_or_else(|| refused(format!("{} has no cluster `{name}`", self.named())))
    }

    fn user(&self, context: &str) -> Result<(&File, &User), Error> {
        let name = &self.context(context)?.user;
        let found = self
            .0
            .iter()
            .find_map(|file| Some((file, file.user(name)?)));
        found.ok_or_else(|| refused(format!("{} has no user `{name}`", self.named())))
    }

    fn named(&self) -> String {
        let paths = self
            .0
            .iter()
            .map(|file| format!("`{}`", file.path.display()));
        let paths: Vec<_> = paths.collect();
        format!("the kubeconfig {}", paths.join(", "))
    }
}

/// Refuses what would be unsafe, or is not done here: passing over it would be worse.
fn usable(cluster: &Cluster, user: &User, at: &File) -> Result<(), Error> {
    let path = at.path.display();
    let not_done = [
        (cluster.proxy_url.is_some(), "proxy-url"),
        (user.username.is_some(), "username"),
        (user.auth_provider.is_some(), "auth-provider"),
        (user.acts_as.is_some(), "as"),
    ];
    if let Some((_, member)) = not_done.iter().find(|(there, _)| *there) {
        return Err(refused(format!(
            "`{member}` of the kubeconfig `{path}` is not done here"
        ))
        .with_hint("use a token, a client certificate or an `exec` plugin, without a proxy"));
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(refused(
            "a grant is not sent to an API server that nobody has proved to be the one",
        )
        .with_hint("set `certificate-authority-data` instead of `insecure-skip-tls-verify`"));
    }
    server(cluster).map(drop)
}

fn server(cluster: &Cluster) -> Result<Url, Error> {
    let url: Url = cluster.server.parse().map_err(|cause: Malformed| {
        refused("the `server` of the kubeconfig is not a URL").because(cause)
    })?;
    if url.is_https() || url.is_loopback() {
        return Ok(url);
    }
    Err(
        refused(format!("`{url}` would show the grant to the network"))
            .with_hint("use the `https://` address of the API server"),
    )
}

/// What stands in the file itself, or in one that it names.
fn pem(
    at: &File,
    data: Option<&Secret<String>>,
    path: Option<&Path>,
) -> Result<Option<Pem>, Error> {
    if let Some(data) = data {
        let text = STANDARD.decode(data.expose()).map_err(|_| {
            let path = at.path.display();
            refused(format!(
                "a certificate or key in the kubeconfig `{path}` is no base64"
            ))
        })?;
        return Ok(Some(Pem::new(&at.path, Secret::new(text))));
    }
    let read = path.map(|path| Pem::read(&at.beside(path)));
    read.transpose()
        .map_err(|cause| refused("a file that the kubeconfig names cannot be read").because(cause))
}

fn identity(at: &File, user: &User) -> Result<Option<Identity>, Error> {
    let chain = user.client_certificate_data.clone().map(Secret::new);
    let chain = pem(at, chain.as_ref(), user.client_certificate.as_deref())?;
    let key = pem(
        at,
        user.client_key_data.as_ref(),
        user.client_key.as_deref(),
    )?;
    match (chain, key) {
        (Some(chain), Some(key)) => Ok(Some(Identity { chain, key })),
        (None, None) => Ok(None),
        _ => {
            let path = at.path.display();
            let message = "has a client certificate without its key, or the other way round";
            Err(refused(format!("the kubeconfig `{path}` {message}")))
        }
    }
}

/// A file goes before what is written out, as in kubectl.
fn token(at: &File, user: &User) -> Result<Option<Secret<String>>, Error> {
    let Some(path) = &user.token_file else {
        return Ok(user.token.clone());
    };
    let token = Source::File(at.beside(path)).read().map_err(|cause| {
        refused("the token that the kubeconfig names cannot be read").because(cause)
    })?;
    Ok(Some(token))
}
