//! The validation of an ID token (OpenID Connect Core §3.1.3.7).
//!
//! What always holds: a [`Subject`] comes only from a token that one of the issuer's own keys has
//! signed, by an algorithm that fits that key, for this client and at this time. Keys that a
//! token brings along or points to are never looked at. No error quotes a token.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::oauth::bearable::{bearable, is_plain};
use crate::oauth::jwt::numeric_date;
use crate::oauth::key_set::{KeySet, algorithm};
use crate::secret::Secret;

/// The longest token that is looked at, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// The longest subject, in characters (OpenID Connect Core §2 `sub`).
const LONGEST_SUBJECT: usize = 255;

/// How far two clocks may be apart where a token ends or begins.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// How far in the future a token may have been issued; no clock that is kept runs so fast.
const EARLIEST_ISSUE: SignedDuration = SignedDuration::from_secs(300);

/// What an ID token must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The issuer as it names itself in its metadata; compared character by character.
    pub issuer: &'a str,
    /// The client that the login was for.
    pub client_id: &'a str,
    /// The nonce of the authorization request, where one was sent.
    pub nonce: Option<&'a str>,
    /// The wall clock.
    pub now: Timestamp,
}

/// Who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The person's identifier at this issuer, never given to another: 1 to 255 characters, none
    /// of them for control.
    pub sub: String,
    /// A name that people know, only to be shown: an e-mail address, a user name or a full name,
    /// at most 200 characters, none of them for control.
    pub name: Option<String>,
}

/// Why an ID token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTokenError {
    /// It is no signed JWT with the claims that each must have; this is what is wrong.
    Malformed(&'static str),
    /// It is protected in a way that is not accepted; this says in which, and what helps.
    Unsupported(&'static str),
    /// No key of the issuer fits its header.
    NoKey,
    /// No key of the issuer has signed it.
    Signature,
    /// It is another issuer's.
    Issuer,
    /// It was made for another client.
    Audience,
    /// It does not hold now; this says why.
    Untimely(&'static str),
    /// It does not answer this authorization request.
    Nonce,
}

/// The members of the header that count (RFC 7515 §4.1). A member that stands there twice is an
/// error. `jwk`, `jku`, `x5c` and `x5u` are left out: they are the sender's word for its own key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// The claims that count (OpenID Connect Core §2, §5.1). A claim that stands there twice is an
/// error.
#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    sub: Option<Value>,
    aud: Option<Value>,
    azp: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    nonce: Option<Value>,
    email: Option<Value>,
    preferred_username: Option<Value>,
    name: Option<Value>,
}

/// Who logged in, as `token` says, if it may be believed.
pub fn validate_id_token(
    token: &Secret<String>,
    keys: &KeySet,
    expected: &Expected<'_>,
) -> Result<Subject, IdTokenError> {
    let claims = verified(token.expose(), keys)?;
    claims.are_of(expected.issuer)?;
    claims.are_for(expected.client_id)?;
    claims.hold_at(expected.now)?;
    claims.answer(expected.nonce)?;
    Ok(Subject {
        sub: claims.subject()?,
        name: claims.shown_name(),
    })
}

/// The claims of a token that one of `keys` has signed (RFC 7515 §5.2).
fn verified(token: &str, keys: &KeySet) -> Result<Claims, IdTokenError> {
    if token.len() > LONGEST {
        return Err(IdTokenError::Malformed("it is longer than 64 KiB"));
    }
    let (header, claims, signature) = parts(token)?;
    let header: Header = part(header, "its header cannot be read")?;
    let alg = header.accepted()?;
    let (message, _) = token.rsplit_once('.').unwrap_or_default();
    let mut candidates = keys.fitting(alg, header.kid.as_deref()).peekable();
    if candidates.peek().is_none() {
        return Err(IdTokenError::NoKey);
    }
    let has_signed =
        |key| jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, alg) == Ok(true);
    if !candidates.any(has_signed) {
        return Err(IdTokenError::Signature);
    }
    part(claims, "its claims cannot be read")
}

/// Header, claims and signature, still encoded.
fn parts(token: &str) -> Result<(&str, &str, &str), IdTokenError> {
    // One more than is ever looked at, so that a token of dots makes no long list.
    let parts: Vec<&str> = token.splitn(6, '.').collect();
    match parts.as_slice() {
        [header, claims, signature] => Ok((header, claims, signature)),
        // RFC 7516 §3.1.
        [_, _, _, _, _] => Err(IdTokenError::Unsupported(
            "it is encrypted; hint: switch encryption of ID tokens off for this client at the server",
        )),
        _ => Err(IdTokenError::Malformed("it has not three parts")),
    }
}

fn part<T: DeserializeOwned>(encoded: &str, wrong: &'static str) -> Result<T, IdTokenError> {
    let wrong = IdTokenError::Malformed(wrong);
    let json = Secret::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| wrong)?);
    serde_json::from_slice(json.expose()).map_err(|_| wrong)
}

impl Header {
    /// The algorithm, where a public key checks it and nothing else must be understood.
    fn accepted(&self) -> Result<Algorithm, IdTokenError> {
        if self.crit.is_some() {
            return Err(IdTokenError::Unsupported(
                "its header names extensions (`crit`) that are not known here",
            ));
        }
        algorithm(&self.alg).ok_or(IdTokenError::Unsupported(match self.alg.as_str() {
            "HS256" | "HS384" | "HS512" => {
                "it is signed with a shared secret (`HS…`), not with a key of the issuer; hint: set the algorithm of ID tokens to RS256 or ES256 for this client at the server"
            }
            alg if alg.eq_ignore_ascii_case("none") => "it is not signed (`alg` is `none`)",
            _ => "it is signed by an algorithm that is not known here; hint: set it to RS256 or ES256 for this client at the server",
        }))
    }
}

impl Claims {
    /// Step 2: `iss`.
    fn are_of(&self, issuer: &str) -> Result<(), IdTokenError> {
        let named = text(self.iss.as_ref(), "it has no text `iss`")?;
        (named == issuer).then_some(()).ok_or(IdTokenError::Issuer)
    }

    /// Steps 3 to 5: `aud` and `azp`.
    fn are_for(&self, client_id: &str) -> Result<(), IdTokenError> {
        let audiences: &[Value] = match &self.aud {
            Some(Value::Array(audiences)) => audiences,
            Some(audience) => std::slice::from_ref(audience),
            None => &[],
        };
        if audiences.is_empty() || !audiences.iter().all(Value::is_string) {
            return Err(IdTokenError::Malformed("its `aud` names nobody"));
        }
        let is_authorized = match &self.azp {
            Some(party) => party == client_id,
            // Among several it must be said whose token it is.
            None => audiences.len() == 1,
        };
        (is_authorized && audiences.iter().any(|audience| audience == client_id))
            .then_some(())
            .ok_or(IdTokenError::Audience)
    }

    /// Steps 9 and 10: `exp` and `iat`, and `nbf` of RFC 7519 §4.1.5.
    fn hold_at(&self, now: Timestamp) -> Result<(), IdTokenError> {
        let ends = date(self.exp.as_ref(), "its `exp` is no time")?;
        let issued = date(self.iat.as_ref(), "its `iat` is no time")?;
        if now.duration_since(ends) >= LEEWAY {
            return Err(IdTokenError::Untimely("it has expired"));
        }
        if issued.duration_since(now) > EARLIEST_ISSUE {
            return Err(IdTokenError::Untimely("it was issued in the future"));
        }
        if self.nbf.is_some() {
            let begins = date(self.nbf.as_ref(), "its `nbf` is no time")?;
            if begins.duration_since(now) > LEEWAY {
                return Err(IdTokenError::Untimely("it does not hold yet"));
            }
        }
        Ok(())
    }

    /// Step 11: `nonce`.
    fn answer(&self, nonce: Option<&str>) -> Result<(), IdTokenError> {
        match (nonce, &self.nonce) {
            (None, _) => Ok(()),
            (Some(sent), Some(Value::String(came))) if sent == came => Ok(()),
            (Some(_), _) => Err(IdTokenError::Nonce),
        }
    }

    fn subject(&self) -> Result<String, IdTokenError> {
        let sub = text(self.sub.as_ref(), "it has no text `sub`")?;
        let fits =
            !sub.is_empty() && sub.chars().count() <= LONGEST_SUBJECT && sub.chars().all(is_plain);
        // Never made to fit: two people could become one.
        fits.then(|| sub.to_owned())
            .ok_or(IdTokenError::Malformed("its `sub` names nobody"))
    }

    fn shown_name(&self) -> Option<String> {
        [&self.email, &self.preferred_username, &self.name]
            .into_iter()
            .filter_map(|claim| claim.as_ref()?.as_str())
            .map(|name| bearable(name).trim().to_owned())
            .find(|name| !name.is_empty())
    }
}

fn text<'a>(claim: Option<&'a Value>, wrong: &'static str) -> Result<&'a str, IdTokenError> {
    claim
        .and_then(Value::as_str)
        .ok_or(IdTokenError::Malformed(wrong))
}

fn date(claim: Option<&Value>, wrong: &'static str) -> Result<Timestamp, IdTokenError> {
    claim
        .and_then(numeric_date)
        .ok_or(IdTokenError::Malformed(wrong))
}

impl IdTokenError {
    /// A word for it in logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_id_token",
            Self::Unsupported(_) => "unsupported_id_token",
            Self::NoKey => "unknown_signing_key",
            Self::Signature => "bad_signature",
            Self::Issuer => "other_issuer",
            Self::Audience => "other_audience",
            Self::Untimely(_) => "untimely_id_token",
            Self::Nonce => "other_nonce",
        }
    }
}

impl fmt::Display for IdTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ID token cannot be believed: ")?;
        match self {
            Self::Malformed(what) | Self::Unsupported(what) => f.write_str(what),
            Self::NoKey => f.write_str(
                "the issuer has published no key that could have signed it; hint: if it changes its keys just now, try again in some minutes",
            ),
            Self::Signature => f.write_str("no key of the issuer has signed it"),
            Self::Issuer => f.write_str(
                "it is another issuer's; hint: write `issuer` exactly as the server names itself",
            ),
            Self::Audience => f.write_str("it was made for another client than `client_id`"),
            Self::Untimely(what) => {
                write!(f, "{what}; hint: compare this machine's clock with the server's")
            }
            Self::Nonce => f.write_str("it does not answer this login (its `nonce` is not ours)"),
        }
    }
}

impl std::error::Error for IdTokenError {}
