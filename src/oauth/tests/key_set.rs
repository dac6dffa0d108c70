//! Which keys of a JWK Set are taken, and for what.

use serde_json::{Value, json};

use super::signer::{ED25519, OTHER_RSA, P256, P384, RSA, Signer, encoded};
use crate::oauth::{KeySet, KeySetError};

fn read(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn takes_the_keys_that_check_signatures_and_passes_over_the_rest() {
    let none = json!({});
    let signers: [&Signer; 4] = [&RSA, &P256, &P384, &ED25519];
    for signer in signers {
        for members in [
            json!({}),
            json!({ "use": "sig", "kid": "1", "x5c": ["odd"], "unknown": {} }),
            json!({ "use": null, "alg": null, "kid": null, "key_ops": null }),
            json!({ "key_ops": ["sign", "verify"] }),
            json!({ "kid": 7 }),
            // Published by mistake: the public half is still the public half.
            json!({ "d": "c2VjcmV0", "p": "AQ", "q": "AQ" }),
        ] {
            let jwk = signer.jwk(&members);
            assert_eq!(
                read(std::slice::from_ref(&jwk)).unwrap().count(),
                1,
                "{jwk}"
            );
        }
        for members in [
            json!({ "use": "enc" }),
            json!({ "use": "tls" }),
            json!({ "use": ["sig"] }),
            json!({ "key_ops": ["encrypt"] }),
            json!({ "alg": "RSA-OAEP" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "none" }),
            json!({ "alg": 7 }),
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            json!({ "kty": "unknown" }),
            json!({ "kty": null }),
        ] {
            let jwk = signer.jwk(&members);
            assert_eq!(
                read(std::slice::from_ref(&jwk)).unwrap_err(),
                KeySetError::NoKeys,
                "{jwk}"
            );
            assert_eq!(read(&[jwk, RSA.jwk(&none)]).unwrap().count(), 1);
        }
    }
}

#[test]
fn passes_over_keys_that_are_not_whole_or_contradict_themselves() {
    for jwk in [
        P256.jwk(&json!({ "crv": "P-384" })),
        P256.jwk(&json!({ "crv": "secp256k1" })),
        P256.jwk(&json!({ "x": encoded(&[1; 31]) })),
        P256.jwk(&json!({ "y": null })),
        P256.jwk(&json!({ "alg": "ES384" })),
        P384.jwk(&json!({ "alg": "RS256" })),
        ED25519.jwk(&json!({ "crv": "X25519" })),
        ED25519.jwk(&json!({ "x": encoded(&[1; 33]) })),
        RSA.jwk(&json!({ "alg": "ES256" })),
        RSA.jwk(&json!({ "n": "" })),
        RSA.jwk(&json!({ "n": "AAAA" })),
        RSA.jwk(&json!({ "e": null })),
        RSA.jwk(&json!({ "n": "not+base64url/" })),
        RSA.jwk(&json!({ "n": encoded(&[255; 1025]) })),
        json!(7),
        json!(null),
        json!([]),
    ] {
        assert_eq!(
            read(std::slice::from_ref(&jwk)).unwrap_err(),
            KeySetError::NoKeys,
            "{jwk}"
        );
    }
}

#[test]
fn the_number_of_keys_is_bounded() {
    let keys: Vec<Value> = (0..200)
        .map(|number| OTHER_RSA.jwk(&json!({ "kid": number.to_string() })))
        .collect();
    assert_eq!(read(&keys).unwrap().count(), 64);
}

#[test]
fn what_is_no_key_set_says_so() {
    for (document, wanted) in [
        (&b"<!doctype html>"[..], KeySetError::Html),
        (b"\n<html>", KeySetError::Html),
        (b"", KeySetError::NotKeySet),
        (b"[]", KeySetError::NotKeySet),
        (b"{}", KeySetError::NotKeySet),
        (b"{\"keys\":{}}", KeySetError::NotKeySet),
        (b"{\"keys\":null}", KeySetError::NotKeySet),
        (b"\xff", KeySetError::NotKeySet),
        (b"{\"keys\":[]}", KeySetError::NoKeys),
    ] {
        assert_eq!(KeySet::read(document).unwrap_err(), wanted);
        assert!(!wanted.to_string().is_empty());
    }
    let document = json!({ "keys": [RSA.jwk(&json!({}))] });
    let document = format!("\u{feff}{document}");
    assert_eq!(KeySet::read(document.as_bytes()).unwrap().count(), 1);
}
