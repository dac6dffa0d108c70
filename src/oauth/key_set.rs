//! The keys by which an authorization server signs: a JWK Set (RFC 7517 §5).
//!
//! What always holds: every key in a [`KeySet`] is a public key that checks signatures, is of a
//! type and size that it says itself, and serves only the algorithms that fit it; there are at
//! most [`MOST_KEYS`]. Whatever else a document holds is passed over, private members too.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// A server has a handful of keys; beyond this only work could be made for us.
const MOST_KEYS: usize = 64;

/// An RSA modulus longer than this (8192 bits) is not checked by the provider anyway.
const LONGEST_MODULUS: usize = 1024;

/// The keys of one authorization server, as far as they can be used.
#[derive(Clone, Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    /// The one algorithm that the key is meant for, where it says so.
    alg: Option<Algorithm>,
    family: Family,
    public: DecodingKey,
}

/// What a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a document gives no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// It is a page for people.
    Html,
    /// It is no JSON object with an array `keys`.
    NotKeySet,
    /// None of its keys can check a signature here.
    NoKeys,
}

impl KeySet {
    /// Reads the document at a server's `jwks_uri`.
    pub fn read(document: &[u8]) -> Result<Self, KeySetError> {
        let document = document.trim_ascii_start();
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        if document.first() == Some(&b'<') {
            return Err(KeySetError::Html);
        }
        let document: Value =
            serde_json::from_slice(document).map_err(|_| KeySetError::NotKeySet)?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeySetError::NotKeySet)?.iter();
        let keys: Vec<Key> = keys.filter_map(Key::read).take(MOST_KEYS).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoKeys);
        }
        Ok(Self(keys))
    }

    /// How many keys can be used.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The keys that may have signed by `alg` under the name `kid`. A name need not be there on
    /// either side, and two keys may share one (RFC 7517 §4.5).
    pub(super) fn fitting(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        let keys = self.0.iter().filter(move |key| key.serves(alg));
        let named = move |key: &&Key| match (kid, key.kid.as_deref()) {
            (Some(asked), Some(own)) => asked == own,
            (None, _) | (_, None) => true,
        };
        keys.filter(named).map(|key| &key.public)
    }
}

impl Key {
    /// One item of the set; nothing where it is not for checking signatures by an algorithm that
    /// is known here.
    fn read(jwk: &Value) -> Option<Self> {
        let text = |member: &str| jwk.get(member).and_then(Value::as_str);
        let given = |member: &str| jwk.get(member).is_some_and(|value| !value.is_null());
        if given("use") && text("use") != Some("sig") {
            return None;
        }
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        if operations.is_some_and(|it| !it.iter().any(|operation| operation == "verify")) {
            return None;
        }
        let (family, public) = material(jwk)?;
        let alg = if given("alg") {
            Some(algorithm(text("alg")?)?)
        } else {
            None
        };
        if alg.is_some_and(|alg| !family.serves(alg)) {
            return None;
        }
        Some(Self {
            kid: text("kid").map(str::to_owned),
            alg,
            family,
            public,
        })
    }

    fn serves(&self, alg: Algorithm) -> bool {
        self.family.serves(alg) && self.alg.is_none_or(|own| own == alg)
    }
}

impl Family {
    fn serves(self, alg: Algorithm) -> bool {
        match alg {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => self == Self::Rsa,
            Algorithm::ES256 => self == Self::P256,
            Algorithm::ES384 => self == Self::P384,
            Algorithm::EdDSA => self == Self::Ed25519,
            // `HS…` above all: a public key is no secret, so whoever reads it could sign by those.
            _ => false,
        }
    }
}

/// The signature algorithm of this name (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2) that a
/// public key checks and this program knows.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// The public key itself (RFC 7518 §6, RFC 8037 §2).
fn material(jwk: &Value) -> Option<(Family, DecodingKey)> {
    let text = |member: &str| jwk.get(member).and_then(Value::as_str);
    let exactly = |member, length| bytes(jwk, member).filter(|bytes| bytes.len() == length);
    match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let (modulus, exponent) = (number(jwk, "n")?, number(jwk, "e")?);
            let public = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
            (modulus.len() <= LONGEST_MODULUS).then_some((Family::Rsa, public))
        }
        ("EC", Some("P-256")) => {
            Some((Family::P256, point(&exactly("x", 32)?, &exactly("y", 32)?)))
        }
        ("EC", Some("P-384")) => {
            Some((Family::P384, point(&exactly("x", 48)?, &exactly("y", 48)?)))
        }
        ("OKP", Some("Ed25519")) => {
            let public = DecodingKey::from_ed_der(&exactly("x", 32)?);
            Some((Family::Ed25519, public))
        }
        _ => None,
    }
}

/// An uncompressed point (SEC 1 §2.3.3).
fn point(x: &[u8], y: &[u8]) -> DecodingKey {
    DecodingKey::from_ec_der(&[&[4], x, y].concat())
}

/// A number without the zeros in front, which some servers write and the provider refuses.
fn number(jwk: &Value, member: &str) -> Option<Vec<u8>> {
    let bytes = bytes(jwk, member)?;
    let number: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    (!number.is_empty()).then_some(number)
}

/// A member in base64url, also from servers that pad it.
fn bytes(jwk: &Value, member: &str) -> Option<Vec<u8>> {
    let text = jwk.get(member)?.as_str()?.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Html => "it is an HTML page, not a key set",
            Self::NotKeySet => "it is not a JSON object with an array `keys`",
            Self::NoKeys => "it has no key that signatures can be checked with",
        })
    }
}

impl std::error::Error for KeySetError {}
