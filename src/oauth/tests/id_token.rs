//! ID tokens that may be believed, and the attacks that may not pass.

use aws_lc_rs::signature::KeyPair;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::signer::{ED25519, OTHER_RSA, P256, P384, RSA, Signer, encoded, message, shared};
use crate::oauth::IdTokenError::{
    Audience, Issuer, Malformed, NoKey, Nonce, Signature, Unsupported, Untimely,
};
use crate::oauth::{Expected, IdTokenError, KeySet, Subject, validate_id_token};
use crate::secret::Secret;

const NOW: i64 = 1_800_000_000;

fn expected() -> Expected<'static> {
    Expected {
        issuer: "https://as.example/r",
        client_id: "app",
        nonce: Some("n-0S6_WzA2Mj"),
        now: Timestamp::from_second(NOW).unwrap(),
    }
}

/// Good claims with some of them changed; null takes one away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://as.example/r", "sub": "248289761001", "aud": "app",
        "exp": NOW + 300, "iat": NOW - 5, "nonce": "n-0S6_WzA2Mj",
    });
    for (claim, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        } else {
            claims[claim] = value.clone();
        }
    }
    claims
}

fn keys(keys: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn rsa_keys() -> KeySet {
    keys(&[RSA.jwk(&json!({ "kid": "one" }))])
}

/// What becomes of a well signed token with these claims.
fn judged(changes: &Value) -> Result<Subject, IdTokenError> {
    let token = RSA.token(&json!({ "alg": "RS256", "kid": "one" }), &claims(changes));
    validate_id_token(&token, &rsa_keys(), &expected())
}

fn validate(token: &Secret<String>, keys: &KeySet) -> Result<Subject, IdTokenError> {
    validate_id_token(token, keys, &expected())
}

#[test]
fn every_algorithm_is_believed_with_its_key_and_with_no_other() {
    let all: [(&str, &Signer); 10] = [
        ("RS256", &RSA),
        ("RS384", &RSA),
        ("RS512", &RSA),
        ("PS256", &RSA),
        ("PS384", &RSA),
        ("PS512", &RSA),
        ("ES256", &P256),
        ("ES384", &P384),
        ("EdDSA", &ED25519),
        ("Ed25519", &ED25519),
    ];
    let everything = keys(&[
        OTHER_RSA.jwk(&json!({})),
        RSA.jwk(&json!({})),
        P256.jwk(&json!({})),
        P384.jwk(&json!({})),
        ED25519.jwk(&json!({})),
    ]);
    for (alg, signer) in all {
        let token = signer.token(&json!({ "alg": alg }), &claims(&json!({})));
        assert_eq!(validate(&token, &everything).unwrap().sub, "248289761001");
        let bound = keys(&[signer.jwk(&json!({ "alg": alg, "use": "sig" }))]);
        assert!(validate(&token, &bound).is_ok(), "{alg}");
        for (other, _) in all {
            // The header is written for another algorithm than the one that signed.
            let header = json!({ "alg": other }).to_string();
            let text = claims(&json!({})).to_string();
            let token = signer.token_of_texts(alg, &header, &text);
            let same = (alg, other) == ("EdDSA", "Ed25519")
                || (alg, other) == ("Ed25519", "EdDSA")
                || alg == other;
            assert_eq!(
                validate(&token, &everything).is_ok(),
                same,
                "{alg} as {other}"
            );
            assert_eq!(validate(&token, &bound).is_ok(), same, "{alg} as {other}");
        }
    }
}

#[test]
fn keys_are_found_by_name_and_without() {
    let token = |header: Value| RSA.token(&header, &claims(&json!({})));
    let named = token(json!({ "alg": "RS256", "kid": "one" }));
    let nameless = token(json!({ "alg": "RS256" }));
    let own = |kid: Value| RSA.jwk(&json!({ "kid": kid }));
    let other = |kid: Value| OTHER_RSA.jwk(&json!({ "kid": kid }));
    let (one, two, none) = (json!("one"), json!("two"), json!(null));
    for (set, by_name, without) in [
        (vec![own(one.clone())], Ok(()), Ok(())),
        (vec![other(two.clone()), own(one.clone())], Ok(()), Ok(())),
        // Two keys of one name, the wrong one first.
        (vec![other(one.clone()), own(one.clone())], Ok(()), Ok(())),
        (vec![own(none.clone())], Ok(()), Ok(())),
        (vec![other(one.clone()), own(none)], Ok(()), Ok(())),
        (vec![own(two.clone())], Err(NoKey), Ok(())),
        (vec![own(json!("ONE"))], Err(NoKey), Ok(())),
        // The right name on a wrong key.
        (vec![other(one.clone())], Err(Signature), Err(Signature)),
        (vec![other(one.clone()), own(two)], Err(Signature), Ok(())),
        (
            vec![P256.jwk(&json!({ "kid": one }))],
            Err(NoKey),
            Err(NoKey),
        ),
    ] {
        let keys = keys(&set);
        assert_eq!(validate(&named, &keys).map(drop), by_name, "{set:?}");
        assert_eq!(validate(&nameless, &keys).map(drop), without, "{set:?}");
    }
}

#[test]
fn a_key_that_is_meant_for_another_algorithm_is_not_used() {
    let keys = keys(&[RSA.jwk(&json!({ "alg": "PS256" }))]);
    let token = RSA.token(&json!({ "alg": "RS256" }), &claims(&json!({})));
    assert_eq!(validate(&token, &keys), Err(NoKey));
}

#[test]
fn unsigned_tokens_are_refused() {
    for alg in ["none", "None", "NONE", "nOnE"] {
        let message = message(
            &json!({ "alg": alg }).to_string(),
            &claims(&json!({})).to_string(),
        );
        for signature in ["", "c2ln"] {
            let token = Secret::new(format!("{message}.{signature}"));
            let error = validate(&token, &rsa_keys()).unwrap_err();
            assert!(matches!(error, Unsupported(_)), "{error}");
            assert!(error.to_string().contains("not signed"), "{error}");
        }
        assert!(matches!(
            validate(&Secret::new(message), &rsa_keys()),
            Err(Malformed(_))
        ));
    }
    // The signature of a good token taken off.
    let token = RSA.token(&json!({ "alg": "RS256" }), &claims(&json!({})));
    let (message, _) = token.expose().rsplit_once('.').unwrap();
    let token = Secret::new(format!("{message}."));
    assert_eq!(validate(&token, &rsa_keys()), Err(Signature));
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let Signer::Rsa(pair) = &*RSA else {
        unreachable!()
    };
    let jwk = RSA.jwk(&json!({ "kid": "one" }));
    let modulus = jwk["n"].as_str().unwrap();
    for secret in [
        pair.public_key().as_ref(),
        modulus.as_bytes(),
        jwk.to_string().as_bytes(),
        b"",
    ] {
        for alg in ["HS256", "HS384", "HS512"] {
            let token = shared(
                secret,
                &json!({ "alg": alg, "kid": "one" }),
                &claims(&json!({})),
            );
            let error = validate(&token, &rsa_keys()).unwrap_err();
            assert!(matches!(error, Unsupported(_)), "{error}");
            assert!(error.to_string().contains("shared secret"), "{error}");
        }
        // And the other way about: signed as HS256, said to be RS256.
        let token = shared(
            secret,
            &json!({ "alg": "RS256", "kid": "one" }),
            &claims(&json!({})),
        );
        assert_eq!(validate(&token, &rsa_keys()), Err(Signature));
    }
}

#[test]
fn a_token_does_not_bring_its_own_key() {
    for header in [
        json!({ "alg": "RS256", "jwk": OTHER_RSA.jwk(&json!({})) }),
        json!({ "alg": "RS256", "kid": "one", "jwk": OTHER_RSA.jwk(&json!({ "kid": "one" })) }),
        json!({ "alg": "RS256", "jku": "https://evil.example/keys" }),
        json!({ "alg": "RS256", "x5u": "https://evil.example/cert", "x5c": ["MIIB"] }),
    ] {
        let forged = OTHER_RSA.token(&header, &claims(&json!({})));
        assert_eq!(validate(&forged, &rsa_keys()), Err(Signature), "{header}");
        let honest = RSA.token(&header, &claims(&json!({})));
        assert!(validate(&honest, &rsa_keys()).is_ok(), "{header}");
    }
}

#[test]
fn a_changed_token_is_refused() {
    let token = RSA.token(
        &json!({ "alg": "RS256", "kid": "one" }),
        &claims(&json!({})),
    );
    let parts: Vec<&str> = token.expose().split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    let swapped = encoded(claims(&json!({ "sub": "admin" })).to_string().as_bytes());
    assert_eq!(
        validate(
            &Secret::new(format!("{header}.{swapped}.{signature}")),
            &rsa_keys()
        ),
        Err(Signature)
    );
    let other_header = encoded(br#"{"kid":"one","alg":"RS256"}"#);
    assert_eq!(
        validate(
            &Secret::new(format!("{other_header}.{body}.{signature}")),
            &rsa_keys()
        ),
        Err(Signature)
    );
    for changed in [
        format!("{header}.{body}.{}", &signature[4..]),
        format!("{header}.{body}.{signature}="),
        format!("{header}.{body}.{signature} "),
        format!("{header}.{body}.{}", signature.replace('A', "B")),
        format!("{header}.{body}.\u{e9}"),
    ] {
        let outcome = validate(&Secret::new(changed.clone()), &rsa_keys());
        assert_eq!(outcome, Err(Signature), "{changed}");
    }
}

#[test]
fn what_is_no_signed_token_says_so() {
    for (text, words) in [
        (String::new(), "three parts"),
        (String::from("opaque"), "three parts"),
        (String::from("a.b"), "three parts"),
        (String::from("a.b.c.d"), "three parts"),
        (String::from("a.b.c.d.e"), "encrypted"),
        (String::from("a.b.c.d.e.f"), "three parts"),
        (".".repeat(60_000), "three parts"),
        (String::from(".."), "header"),
        (String::from("!!.e30.c2ln"), "header"),
        (format!("{}.e30.c2ln", encoded(b"[]")), "header"),
        (format!("{}.e30.c2ln", encoded(b"{}")), "header"),
        (format!("{}.e30.c2ln", encoded(br#"{"alg":256}"#)), "header"),
        (
            format!("{}.e30.c2ln", encoded(b"{\"alg\":\"RS256\"")),
            "header",
        ),
        (
            format!("{}.e30.c2ln", encoded("[".repeat(40_000).as_bytes())),
            "header",
        ),
        (
            format!("{}.e30.c2ln", encoded(br#"{"alg":"RS256","alg":"none"}"#)),
            "header",
        ),
        (
            format!("{}.e30.c2ln", encoded(br#"{"alg":"ES512"}"#)),
            "not known",
        ),
        (
            format!("{}.e30.c2ln", encoded(br#"{"alg":"rs256"}"#)),
            "not known",
        ),
        ("x".repeat(64 * 1024 + 1), "longer than 64 KiB"),
    ] {
        let error = validate(&Secret::new(text.clone()), &rsa_keys()).unwrap_err();
        assert!(matches!(error, Malformed(_) | Unsupported(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp")] {
        let header = json!({ "alg": "RS256", "crit": crit, "exp": NOW, "b64": false });
        let error = validate(&RSA.token(&header, &claims(&json!({}))), &rsa_keys()).unwrap_err();
        assert!(error.to_string().contains("`crit`"), "{error}");
    }
}

/// What is changed in good claims, and what follows.
type Change = (Value, Result<(), IdTokenError>);

fn changes() -> Vec<Change> {
    [parties(), moments()].concat()
}

#[rustfmt::skip]
fn parties() -> Vec<Change> {
    let aud = Malformed("its `aud` names nobody");
    let (no_sub, bad_sub) = (Malformed("it has no text `sub`"), Malformed("its `sub` names nobody"));
    vec![
        (json!({}), Ok(())),
        (json!({ "unknown": { "deep": [1] } }), Ok(())),
        // Whose it is.
        (json!({ "iss": "https://as.example/r/" }), Err(Issuer)),
        (json!({ "iss": "https://as.example" }), Err(Issuer)),
        (json!({ "iss": "https://AS.example/r" }), Err(Issuer)),
        (json!({ "iss": "http://as.example/r" }), Err(Issuer)),
        (json!({ "iss": "" }), Err(Issuer)),
        (json!({ "iss": null }), Err(Malformed("it has no text `iss`"))),
        (json!({ "iss": ["https://as.example/r"] }), Err(Malformed("it has no text `iss`"))),
        // For whom it is.
        (json!({ "aud": ["app"] }), Ok(())),
        (json!({ "aud": "other" }), Err(Audience)),
        (json!({ "aud": "App" }), Err(Audience)),
        (json!({ "aud": "app other" }), Err(Audience)),
        (json!({ "aud": ["other"] }), Err(Audience)),
        (json!({ "aud": "other", "azp": "app" }), Err(Audience)),
        (json!({ "aud": ["app", "other"] }), Err(Audience)),
        (json!({ "aud": ["app", "other"], "azp": "app" }), Ok(())),
        (json!({ "aud": ["app", "other"], "azp": "other" }), Err(Audience)),
        (json!({ "aud": ["other", "third"], "azp": "app" }), Err(Audience)),
        (json!({ "aud": "app", "azp": "app" }), Ok(())),
        (json!({ "aud": "app", "azp": "other" }), Err(Audience)),
        (json!({ "aud": "app", "azp": ["app"] }), Err(Audience)),
        (json!({ "aud": [] }), Err(aud)),
        (json!({ "aud": null }), Err(aud)),
        (json!({ "aud": { "app": true } }), Err(aud)),
        (json!({ "aud": ["app", 7], "azp": "app" }), Err(aud)),
        // Who it is about.
        (json!({ "sub": null }), Err(no_sub)),
        (json!({ "sub": 248_289 }), Err(no_sub)),
        (json!({ "sub": ["248289"] }), Err(no_sub)),
        (json!({ "sub": "" }), Err(bad_sub)),
        (json!({ "sub": "x".repeat(255) }), Ok(())),
        (json!({ "sub": "x".repeat(256) }), Err(bad_sub)),
        (json!({ "sub": "a\u{1b}[2Jb" }), Err(bad_sub)),
        (json!({ "sub": "a\u{202e}b" }), Err(bad_sub)),
        (json!({ "sub": "a\nb" }), Err(bad_sub)),
    ]
}

#[rustfmt::skip]
fn moments() -> Vec<Change> {
    let expired = Untimely("it has expired");
    let (exp, iat) = (Malformed("its `exp` is no time"), Malformed("its `iat` is no time"));
    let nbf = Malformed("its `nbf` is no time");
    vec![
        // When it holds.
        (json!({ "exp": NOW - 59 }), Ok(())),
        (json!({ "exp": NOW - 60 }), Err(expired)),
        (json!({ "exp": 0 }), Err(expired)),
        (json!({ "exp": 1.8e9 + 0.5 }), Ok(())),
        (json!({ "exp": null }), Err(exp)),
        (json!({ "exp": (NOW + 300).to_string() }), Err(exp)),
        (json!({ "exp": -1 }), Err(exp)),
        (json!({ "exp": 1e300 }), Err(exp)),
        (json!({ "iat": NOW + 300 }), Ok(())),
        (json!({ "iat": NOW + 301, "exp": NOW + 900 }), Err(Untimely("it was issued in the future"))),
        (json!({ "iat": null }), Err(iat)),
        (json!({ "iat": "now" }), Err(iat)),
        (json!({ "nbf": NOW + 60 }), Ok(())),
        (json!({ "nbf": NOW + 61 }), Err(Untimely("it does not hold yet"))),
        (json!({ "nbf": "now" }), Err(nbf)),
        // Which request it answers.
        (json!({ "nonce": null }), Err(Nonce)),
        (json!({ "nonce": "" }), Err(Nonce)),
        (json!({ "nonce": "n-0S6_WzA2M" }), Err(Nonce)),
        (json!({ "nonce": "N-0S6_WzA2Mj" }), Err(Nonce)),
        (json!({ "nonce": ["n-0S6_WzA2Mj"] }), Err(Nonce)),
    ]
}

#[test]
fn claims_must_agree_with_the_login() {
    for (changes, wanted) in changes() {
        assert_eq!(judged(&changes).map(drop), wanted, "{changes}");
    }
}

#[test]
fn without_a_nonce_asked_for_none_is_compared() {
    for nonce in [json!(null), json!("left over"), json!(7)] {
        let token = RSA.token(
            &json!({ "alg": "RS256" }),
            &claims(&json!({ "nonce": nonce })),
        );
        let expected = Expected {
            nonce: None,
            ..expected()
        };
        assert!(validate_id_token(&token, &rsa_keys(), &expected).is_ok());
    }
}

#[test]
fn the_clock_is_the_one_handed_in() {
    let token = RSA.token(&json!({ "alg": "RS256" }), &claims(&json!({})));
    for (later, fine) in [
        (-310, false),
        (-305, true),
        (0, true),
        (359, true),
        (360, false),
    ] {
        let expected = Expected {
            now: expected().now + SignedDuration::from_secs(later),
            ..expected()
        };
        let outcome = validate_id_token(&token, &rsa_keys(), &expected);
        assert_eq!(outcome.is_ok(), fine, "{later} {outcome:?}");
    }
}

#[test]
fn claims_that_stand_there_twice_are_refused() {
    for claim in [
        "iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "email",
    ] {
        let text = claims(&json!({})).to_string();
        let value = claims(&json!({ "azp": "app", "nbf": NOW, "email": "a@b" }))[claim].clone();
        let twice = format!(
            "{},\"{claim}\":{value},\"{claim}\":{value}}}",
            &text[..text.len() - 1]
        );
        let token = RSA.token_of_texts("RS256", r#"{"alg":"RS256"}"#, &twice);
        let wanted = Err(Malformed("its claims cannot be read"));
        assert_eq!(validate(&token, &rsa_keys()), wanted, "{claim}");
    }
    for text in ["[]", "7", "null", "", "{\"sub\":\"\\ud800\"}", "{"] {
        let token = RSA.token_of_texts("RS256", r#"{"alg":"RS256"}"#, text);
        let wanted = Err(Malformed("its claims cannot be read"));
        assert_eq!(validate(&token, &rsa_keys()), wanted, "{text}");
    }
}

#[test]
fn a_person_is_named_by_what_people_know() {
    for (changes, wanted) in [
        (json!({}), None),
        (json!({ "name": "Jane Doe" }), Some("Jane Doe")),
        (
            json!({ "name": "Jane Doe", "preferred_username": "j.doe" }),
            Some("j.doe"),
        ),
        (
            json!({ "name": "J", "preferred_username": "j", "email": "j@x.example" }),
            Some("j@x.example"),
        ),
        (json!({ "email": " \n", "name": "Jane" }), Some("Jane")),
        (json!({ "email": 7, "name": "Jane" }), Some("Jane")),
        (
            json!({ "name": " Ja\u{1b}[31mne\u{202e}\r\n Doe " }),
            Some("Ja[31mne Doe"),
        ),
        (
            json!({ "name": "\u{e9}".repeat(300) }),
            Some(&*"\u{e9}".repeat(200)),
        ),
    ] {
        let subject = judged(&changes).unwrap();
        assert_eq!(subject.sub, "248289761001");
        assert_eq!(subject.name.as_deref(), wanted, "{changes}");
    }
}

#[test]
fn errors_are_one_short_line_and_quote_nothing() {
    for (changes, wanted) in changes() {
        let Err(error) = wanted else { continue };
        let text = error.to_string();
        assert!(text.len() < 250 && !text.ends_with('.'), "{text}");
        assert!(
            text.starts_with("the ID token cannot be believed: "),
            "{text}"
        );
        assert!(
            !error.as_str().is_empty() && !text.contains("248289"),
            "{text}"
        );
        for part in changes.as_object().unwrap().values() {
            let part = part
                .as_str()
                .filter(|part| part.len() > 3 && *part != "other");
            assert!(part.is_none_or(|part| !text.contains(part)), "{text}");
        }
    }
}
