//! Whom to trust: the system's certificate authorities, a file's, or both.

use std::sync::OnceLock;

use rustls::RootCertStore;

use super::{Error, Pem};
use crate::config;

/// The certificate authorities that `settings` trust, at least one.
pub(super) fn trusted(settings: &config::Tls) -> Result<RootCertStore, Error> {
    let mut roots = if settings.system_roots {
        system().clone()
    } else {
        RootCertStore::empty()
    };
    if let Some(ca) = &settings.ca {
        add(&mut roots, &Pem::read(ca)?)?;
    }
    if roots.is_empty() {
        return Err(Error::NoRoots);
    }
    Ok(roots)
}

/// The certificate authorities in `ca` alone.
pub(super) fn only(ca: &Pem) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    add(&mut roots, ca)?;
    Ok(roots)
}

fn add(roots: &mut RootCertStore, ca: &Pem) -> Result<(), Error> {
    for certificate in ca.certificates()? {
        roots
            .add(certificate)
            .map_err(|_| Error::unusable(ca.path(), "certificate"))?;
    }
    Ok(())
}

/// The system's certificate authorities, or Mozilla's list where the system has none, as in an
/// empty container. Read once per process, since it takes 4 to 13 ms.
fn system() -> &'static RootCertStore {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a system root certificate cannot be read");
        }
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(added, ignored, "system root certificates are loaded");
        if roots.is_empty() {
            tracing::debug!("the system has no root certificates; the built-in ones are used");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots
    })
}
