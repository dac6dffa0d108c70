//! Certificates and keys out of PEM texts (RFC 7468).
//!
//! The parser's own errors are dropped on purpose: they can quote what they read.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;
use crate::secret::Secret;

/// A PEM text, and the file that it stands in, which errors name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem {
    path: PathBuf,
    text: Secret<Vec<u8>>,
}

impl Pem {
    /// A text that was found in the file at `path`, whatever else that file holds.
    pub fn new(path: &Path, text: Secret<Vec<u8>>) -> Self {
        let path = path.to_owned();
        Self { path, text }
    }

    /// The whole of the file at `path`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            Ok(text) => Ok(Self::new(path, Secret::new(text))),
            Err(source) => {
                let path = path.to_owned();
                Err(Error::Read { path, source })
            }
        }
    }

    /// The file that it stands in.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All certificates in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(self.text.expose())
            .collect::<Result<_, _>>()
            .map_err(|_| Error::unusable(&self.path, "certificate"))?;
        if certificates.is_empty() {
            return Err(Error::missing(&self.path, "certificate"));
        }
        Ok(certificates)
    }

    /// The first private key in it: PKCS#8, PKCS#1 or SEC1.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(self.text.expose()).map_err(|error| match error {
            pem::Error::NoItemsFound => Error::missing(&self.path, "private key"),
            _ => Error::unusable(&self.path, "private key"),
        })
    }
}
