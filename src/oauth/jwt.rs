//! A look into a token that happens to be a JWT.
//!
//! What always holds: nothing here is verified and nothing is decided by it but how long the
//! token is kept; it is the server that judges the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use crate::secret::Secret;

/// Claims beyond this are not looked into; such a token would hardly fit a header field.
const LARGEST: usize = 64 * 1024;

/// When the token says that it ends (RFC 7519 §4.1.4 `exp`); nothing where it is no JWT or does
/// not say.
pub(super) fn expiry(token: &Secret<String>) -> Option<Timestamp> {
    let mut parts = token.expose().split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    // Five parts are an encrypted token (RFC 7516 §3.1), whose second part is no claims.
    if parts.next().is_some() || claims.len() > LARGEST {
        return None;
    }
    let claims = Secret::new(URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
    let claims: Value = serde_json::from_slice(claims.expose()).ok()?;
    numeric_date(claims.get("exp")?)
}

/// A `NumericDate` (RFC 7519 §2), to the second; nothing where it is no number or no moment.
pub(super) fn numeric_date(claim: &Value) -> Option<Timestamp> {
    let seconds = claim.as_f64()?;
    // Beyond this a float says nothing exact, and no timestamp reaches that far.
    if !(0.0..1e12).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
    Timestamp::from_second(seconds as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Secret<String> {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn reads_exp() {
        for (claims, second) in [
            (r#"{"exp":1700000000}"#, Some(1_700_000_000)),
            (r#"{"exp":1700000000.9}"#, Some(1_700_000_000)),
            (r#"{"exp":"1700000000"}"#, None),
            (r#"{"exp":-5}"#, None),
            (r#"{"exp":1e300}"#, None),
            (r#"{"exp":999999999999}"#, None),
            (r#"{"iat":1700000000}"#, None),
            ("[]", None),
            ("not json", None),
        ] {
            let second = second.map(|second| Timestamp::from_second(second).unwrap());
            assert_eq!(expiry(&token(claims)), second, "{claims}");
        }
    }

    #[test]
    fn leaves_other_tokens_alone() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1}"#);
        for text in [
            "opaque",
            "",
            "a.b",
            "a.!!!.c",
            &format!("a.{claims}.c.d.e"),
            "..",
        ] {
            assert_eq!(expiry(&Secret::new(text.to_owned())), None, "{text}");
        }
    }
}
