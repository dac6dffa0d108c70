//! Every secret of the practice world, so that a test can look for it where it must not be.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A set that only grows. Cloning gives another handle to the same set.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    values: Arc<Mutex<BTreeSet<String>>>,
}

impl Secrets {
    /// Remembers `secret` and hands it back.
    pub fn keep(&self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        self.values().insert(secret.clone());
        secret
    }

    /// All secrets up to now.
    pub fn all(&self) -> Vec<String> {
        self.values().iter().cloned().collect()
    }

    /// A new random secret of `length` characters that begins with `prefix`. It uses the whole
    /// alphabet that RFC 6750 §2.1 allows in a bearer token.
    pub fn make(&self, prefix: &str, length: usize) -> String {
        const ALPHABET: &[u8] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
        let random = std::iter::repeat_with(|| fastrand::choice(ALPHABET).copied().unwrap_or(b'x'))
            .map(char::from)
            .take(length.saturating_sub(prefix.len()));
        self.keep(prefix.chars().chain(random).collect::<String>())
    }

    fn values(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
