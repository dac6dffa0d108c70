//! When a token ends, from all that is known about it.

use std::time::Duration;

use jiff::Timestamp;

use crate::oauth::answer::{Expires, Tokens};
use crate::oauth::jwt;
use crate::secret::Secret;

/// A lifetime below this is taken for it: one that is over before a call can carry the token
/// would mean a refresh per request, and the upstream says so when a token has ended.
const LEAST: Duration = Duration::from_secs(1);

/// When the access token ends; nothing: never, as far as anybody knows.
///
/// Asked in this order: the answer's own lifetime, the answer's moment, the token's `exp` if it
/// is a JWT, the lifetime that the server `last` told, `default`. A lifetime counts from
/// `sent_at`, just before the request left, so that the error is on the safe side.
///
/// A moment that has passed already is not believed: either the token was dead on arrival, and
/// the upstream will say so, or the clocks differ, and believing it would mean a refresh for
/// every request.
pub fn expires_at(
    tokens: &Tokens,
    sent_at: Timestamp,
    last: Option<Duration>,
    default: Option<Duration>,
) -> Option<Timestamp> {
    let ahead = |moment: &Timestamp| *moment > sent_at;
    let told = match tokens.expires {
        Expires::In(lifetime) => Some(after(sent_at, lifetime)),
        Expires::At(moment) => Some(moment).filter(ahead),
        Expires::Untold => None,
    };
    told.or_else(|| jwt::expiry(&tokens.access_token).filter(ahead))
        .or_else(|| last.or(default).map(|lifetime| after(sent_at, lifetime)))
        .map(|end| end.max(after(sent_at, LEAST)))
}

/// When the refresh token ends that `tokens` brought, or left as it was; nothing: untold.
///
/// Asked in this order: the answer's lifetime, counted from `sent_at`; the token's `exp` if it is
/// a JWT and that has not passed. Nothing is guessed: a refresh token without an end is usual.
pub fn refresh_expires_at(
    refresh_token: &Secret<String>,
    told: Option<Duration>,
    sent_at: Timestamp,
) -> Option<Timestamp> {
    told.map(|lifetime| after(sent_at, lifetime))
        .or_else(|| jwt::expiry(refresh_token).filter(|moment| *moment > sent_at))
}

/// `moment` and `lifetime` together, at most the last moment there is.
fn after(moment: Timestamp, lifetime: Duration) -> Timestamp {
    moment.checked_add(lifetime).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tokens(access_token: &str, expires: Expires) -> Tokens {
        Tokens {
            access_token: Secret::new(access_token.to_owned()),
            refresh_token: None,
            expires,
            refresh_expires_in: None,
            scope: None,
            id_token: None,
            captured: BTreeMap::new(),
        }
    }

    fn jwt(exp: i64) -> String {
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}"));
        format!("e30.{claims}.x")
    }

    #[test]
    fn a_refresh_token_ends_when_told_or_as_it_says_itself() {
        for (token, told, wanted) in [
            (jwt(5000), Some(MINUTE), Some(1060)),
            (jwt(5000), None, Some(5000)),
            (jwt(500), None, None),
            (String::from("opaque"), Some(MINUTE), Some(1060)),
            (String::from("opaque"), None, None),
        ] {
            let found = refresh_expires_at(&Secret::new(token), told, at(1000));
            assert_eq!(found, wanted.map(at));
        }
    }

    #[test]
    fn asks_in_order() {
        let (jwt, old, opaque) = (jwt(5000), jwt(500), String::from("opaque"));
        let instant = Expires::In(Duration::from_millis(3));
        let (told, untold) = (Expires::In(Duration::from_secs(10)), Expires::Untold);
        let moment = |second| Expires::At(at(second));
        for (token, expires, last, default, wanted) in [
            (&jwt, told, Some(MINUTE), Some(HOUR), Some(1010)),
            (&jwt, moment(2000), Some(MINUTE), None, Some(2000)),
            (&jwt, moment(900), Some(MINUTE), None, Some(5000)),
            (&jwt, untold, Some(MINUTE), None, Some(5000)),
            (&old, untold, Some(MINUTE), Some(HOUR), Some(1060)),
            (&opaque, moment(1000), None, Some(HOUR), Some(4600)),
            (&opaque, untold, Some(MINUTE), None, Some(1060)),
            (&opaque, untold, None, Some(HOUR), Some(4600)),
            (&opaque, untold, None, None, None),
            (&opaque, instant, None, None, Some(1001)),
        ] {
            let tokens = tokens(token, expires);
            let found = expires_at(&tokens, at(1000), last, default);
            assert_eq!(found, wanted.map(at), "{token} {expires:?}");
        }
        let endless = tokens("opaque", Expires::In(Duration::MAX));
        assert_eq!(
            expires_at(&endless, at(0), None, None),
            Some(Timestamp::MAX)
        );
    }
}
