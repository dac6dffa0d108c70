//! A server's key pairs and the tokens it signs. It signs with the provider itself, so that what
//! reads a token never judges its own work.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::secret::Secret;

pub(super) enum Signer {
    Rsa(RsaKeyPair),
    Ec(&'static str, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// One key pair of each kind, and a second RSA one; made once, for an RSA key takes a while.
pub(super) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(KeySize::Rsa2048));
pub(super) static OTHER_RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(KeySize::Rsa2048));
pub(super) static P256: LazyLock<Signer> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    Signer::Ec("P-256", pair)
});
pub(super) static P384: LazyLock<Signer> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    Signer::Ec("P-384", pair)
});
pub(super) static ED25519: LazyLock<Signer> =
    LazyLock::new(|| Signer::Ed(Ed25519KeyPair::generate().unwrap()));

impl Signer {
    fn rsa(size: KeySize) -> Self {
        Self::Rsa(RsaKeyPair::generate(size).unwrap())
    }

    /// The public key, with further members.
    pub(super) fn jwk(&self, members: &Value) -> Value {
        let mut jwk = match self {
            Self::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": encoded(&public.n), "e": encoded(&public.e) })
            }
            Self::Ec(curve, pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(match *curve {
                    "P-256" => 32,
                    _ => 48,
                });
                json!({ "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref()) })
            }
        };
        for (member, value) in members.as_object().unwrap() {
            jwk[member] = value.clone();
        }
        jwk
    }

    /// A token signed by the algorithm that `header` names.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> Secret<String> {
        self.token_of_texts(
            header["alg"].as_str().unwrap(),
            &header.to_string(),
            &claims.to_string(),
        )
    }

    /// A token whose parts are written as they are.
    pub(super) fn token_of_texts(&self, alg: &str, header: &str, claims: &str) -> Secret<String> {
        let message = message(header, claims);
        let signature = self.sign(alg, message.as_bytes());
        Secret::new(format!("{message}.{}", encoded(&signature)))
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(alg), &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Ec(_, pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A token signed with a shared secret by `HS256`, whatever its header says.
pub(super) fn shared(secret: &[u8], header: &Value, claims: &Value) -> Secret<String> {
    let message = message(&header.to_string(), &claims.to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    Secret::new(format!("{message}.{}", encoded(signature.as_ref())))
}

pub(super) fn message(header: &str, claims: &str) -> String {
    format!(
        "{}.{}",
        encoded(header.as_bytes()),
        encoded(claims.as_bytes())
    )
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_encoding(alg: &str) -> &'static dyn RsaEncoding {
    match alg {
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}
