//! Values that must never be shown: refresh tokens, access tokens, client secrets, keys.
//!
//! What always holds: a [`Secret`] prints as `****`, has no `Display`, cannot be serialised,
//! and its memory is wiped when it is dropped. Copies that other crates make of it (header
//! values, write buffers of the HTTP and TLS stacks) are outside its reach and are not wiped.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroize;

/// A value that is used but never shown.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` into keeping.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each caller is a place where it could leak, so there are few.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// A short mark by which a person can tell two secrets apart without seeing either:
    /// the first eight hexadecimal digits of the SHA-256 hash.
    pub fn fingerprint(&self) -> String {
        let hash = self.hash();
        hash.chars().take(8).collect()
    }

    /// The whole SHA-256 hash in hexadecimal, for records that must recognise a secret again.
    pub fn hash(&self) -> String {
        let hash = digest(&SHA256, self.0.as_ref());
        hash.as_ref()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
                text
            })
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    /// In constant time, so that comparing never tells how much matched.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let secret = Secret::new(String::from("correct horse"));
        assert_eq!(format!("{secret:?}"), "****");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(****)");
    }

    #[test]
    fn a_fingerprint_is_the_start_of_the_hash() {
        let secret = Secret::new(String::from("abc"));
        assert_eq!(secret.fingerprint(), "ba7816bf");
        assert_eq!(
            secret.hash(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn equality_is_by_value() {
        let one = Secret::new(String::from("same"));
        assert_eq!(one, Secret::new(String::from("same")));
        assert_ne!(one, Secret::new(String::from("other")));
    }
}
