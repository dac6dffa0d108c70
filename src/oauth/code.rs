//! A server's error code on its way into logs, metrics and replies.
//!
//! What always holds: a code is at most 64 of the characters `A-Z a-z 0-9 _ . : -` and shows no
//! token. A server may put anything into its error member, a whole token too, so a code that
//! nobody has described must look like words before it is shown.

use crate::oauth::class::Class;

/// The longest code.
const LONGEST: usize = 64;

/// The longest word of a code; random text soon is longer than that without a separator.
const LONGEST_WORD: usize = 32;

/// What is shown instead of an error code that could be a token.
pub(super) const CONCEALED: &str = "unnamed_error";

/// A server that is asked too often, in the word of RFC 6585 §4.
pub(super) const TOO_MANY_REQUESTS: &str = "too_many_requests";

/// The codes that somebody has described, in lower case.
const DESCRIBED: [(&str, Class); 42] = [
    // RFC 6749 §5.2 and the servers' own words for a refresh token that is spent or gone.
    ("invalid_grant", Class::Dead),
    ("bad_refresh_token", Class::Dead),
    ("invalid_refresh_token", Class::Dead),
    ("invalid_code", Class::Dead),
    ("token_revoked", Class::Dead),
    ("token_expired", Class::Dead),
    // OpenID Connect Core §3.1.2.6: a person must come.
    ("interaction_required", Class::Dead),
    ("consent_required", Class::Dead),
    ("login_required", Class::Dead),
    // The client's own credential.
    ("invalid_client", Class::ClientBroken),
    ("unauthorized_client", Class::ClientBroken),
    ("incorrect_client_credentials", Class::ClientBroken),
    ("bad_client_secret", Class::ClientBroken),
    ("invalid_client_id", Class::ClientBroken),
    ("invalid_client_secret", Class::ClientBroken),
    ("aadsts7000215", Class::ClientBroken),
    ("aadsts7000222", Class::ClientBroken),
    // The request itself; DPoP's codes (RFC 9449 §5, §8) until proofs are sent.
    ("invalid_request", Class::Configuration),
    ("invalid_scope", Class::Configuration),
    ("invalid_target", Class::Configuration),
    ("unsupported_grant_type", Class::Configuration),
    ("redirect_uri_mismatch", Class::Configuration),
    ("use_dpop_nonce", Class::Configuration),
    ("invalid_dpop_proof", Class::Configuration),
    // Not now.
    ("slow_down", Class::Later),
    ("temporarily_unavailable", Class::Later),
    ("ratelimited", Class::Later),
    ("rate_limited", Class::Later),
    ("rate_limit_exceeded", Class::Later),
    (TOO_MANY_REQUESTS, Class::Later),
    ("aadsts50033", Class::Later),
    ("aadsts50087", Class::Later),
    ("aadsts50196", Class::Later),
    ("aadsts90006", Class::Later),
    ("aadsts90012", Class::Later),
    ("aadsts90024", Class::Later),
    ("aadsts90033", Class::Later),
    ("aadsts90055", Class::Later),
    // Slack says of its own that some of the operation may have succeeded.
    ("server_error", Class::Ambiguous),
    ("service_unavailable", Class::Ambiguous),
    ("internal_error", Class::Ambiguous),
    ("fatal_error", Class::Ambiguous),
];

/// What a code means that somebody has described, in whatever case it is spelt.
pub(super) fn described(code: &str) -> Option<Class> {
    DESCRIBED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(code))
        .map(|(_, class)| *class)
}

/// The code as it may be shown: itself if it looks like words, else nothing.
pub(super) fn shown(code: &str) -> Option<&str> {
    let looks =
        (1..=LONGEST).contains(&code.len()) && code.split(['_', '.', ':', '-']).all(is_word);
    looks.then_some(code)
}

/// The code of an operator's own list, which holds no secret; only its alphabet is made safe.
pub(super) fn spelt(code: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    code.chars()
        .take(LONGEST)
        .map(|c| if safe(c) { c } else { '_' })
        .collect()
}

/// Whether a code that nobody has described shows `secret` or a part of it.
pub(super) fn shows(code: &str, secret: &str) -> bool {
    !secret.is_empty()
        && described(code).is_none()
        && (code.contains(secret) || secret.contains(code))
}

/// Letters of a plausible case with a number behind them at most (`invalid`, `AADSTS700082`,
/// `ExpiredJwtException`, `4711`). Base64 and hexadecimal mix digits and cases too much.
fn is_word(word: &str) -> bool {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = word.len() - letters.len();
    let humps = letters
        .bytes()
        .zip(letters.bytes().skip(1))
        .filter(|(one, next)| one.is_ascii_lowercase() && next.is_ascii_uppercase())
        .count();
    letters.bytes().all(|byte| byte.is_ascii_alphabetic())
        && letters.len() <= LONGEST_WORD
        && digits <= 10
        && humps <= letters.len() / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown() {
        for code in [
            "invalid_grant",
            "BAD_REFRESH_TOKEN",
            "AADSTS700082",
            "OAuthException",
            "ExpiredJwtException",
            "invalidGrant",
            "urn:ietf:params:oauth:error:invalid_token",
            "4711",
            "390318",
            "http_400",
        ] {
            assert_eq!(shown(code), Some(code));
        }
    }

    #[test]
    fn what_could_be_a_token_is_not() {
        for code in [
            "",
            "two words",
            "déjà",
            "invalid_grant\r\nX: y",
            "ya29.a0AfH6SMBx9Kq3",
            "8xLOxBtZp8",
            "550e8400-e29b-41d4-a716-446655440000",
            "0123456789abcdef",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498",
            "RdXvTzKqWbYpLmNc",
            "12345678901234567890",
            &"a".repeat(33),
            &"a_".repeat(33),
        ] {
            assert_eq!(shown(code), None, "{code}");
        }
    }

    #[test]
    fn a_secret_is_recognised_in_a_code_and_a_code_in_a_secret() {
        assert!(shows("hunter", "hunter"));
        assert!(shows("token_hunter_is_bad", "hunter"));
        assert!(shows("hunter", "my-hunter-secret"));
        assert!(!shows("hunter", ""));
        assert!(!shows("hunter", "gatherer"));
        // The code of the standard says nothing about a secret that happens to contain it.
        assert!(!shows("invalid_grant", "my-invalid_grant"));
    }

    #[test]
    fn an_operators_code_is_spelt_safely() {
        assert_eq!(spelt("Invalid Token!"), "Invalid_Token_");
        assert_eq!(spelt(&"é".repeat(100)).len(), 64);
    }
}
