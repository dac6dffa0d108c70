//! Single members of a token answer, read leniently: texts, lifetimes, moments, scopes.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::config::TimeUnit;
use crate::oauth::answer::Expires;
use crate::secret::Secret;

/// No lifetime is this long (31 years in seconds), but every moment since 2001 is.
const MOMENTS_FROM: f64 = 1e9;

/// Unix time in seconds stays below this until the year 5138; in milliseconds it is above since 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// A token's text without the space around it; nothing where it is absent, null or empty.
pub(super) fn token(member: Option<&Value>) -> Option<Secret<String>> {
    let text = member?.as_str()?.trim();
    (!text.is_empty()).then(|| Secret::new(text.to_owned()))
}

/// The granted scope as one text; an array's items are joined by a space (Twitch).
pub(super) fn scope(member: Option<&Value>) -> Option<String> {
    let text = match member? {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join(" ")
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A lifetime: a number or a numeric text, an ISO 8601 duration, or, where a server mislabels
/// it, a moment. 0 and negative numbers mean "not told" or "never" and say nothing.
pub(super) fn lifetime(member: Option<&Value>, unit: TimeUnit) -> Expires {
    let Some(value) = member else {
        return Expires::Untold;
    };
    let Some(number) = number(value) else {
        return value.as_str().map_or(Expires::Untold, lifetime_text);
    };
    let seconds = match unit {
        TimeUnit::Seconds => number.floor(),
        TimeUnit::Milliseconds => number / 1000.0,
    };
    if seconds >= MOMENTS_FROM {
        return moment(member).map_or(Expires::Untold, Expires::At);
    }
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|lifetime| !lifetime.is_zero())
        .map_or(Expires::Untold, Expires::In)
}

fn lifetime_text(text: &str) -> Expires {
    if let Some(moment) = moment_text(text.trim()) {
        return Expires::At(moment);
    }
    text.trim()
        .parse::<SignedDuration>()
        .ok()
        .and_then(|lifetime| Duration::try_from(lifetime).ok())
        .filter(|lifetime| !lifetime.is_zero())
        .map_or(Expires::Untold, Expires::In)
}

/// A moment: RFC 3339, or Unix time in seconds or milliseconds, also as text. A number too small
/// for a moment is none.
pub(super) fn moment(member: Option<&Value>) -> Option<Timestamp> {
    let value = member?;
    let Some(number) = number(value) else {
        return moment_text(value.as_str()?.trim());
    };
    // Beyond this neither reading is a moment that a timestamp can hold.
    if !(MOMENTS_FROM..1e15).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
    let whole = number as i64;
    if number < MILLISECONDS_FROM {
        Timestamp::from_second(whole).ok()
    } else {
        Timestamp::from_millisecond(whole).ok()
    }
}

/// RFC 3339; without an offset it is taken for UTC.
fn moment_text(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

/// A finite number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_lifetimes() {
        let seconds = |seconds| Expires::In(Duration::from_secs(seconds));
        let at = |text: &str| Expires::At(text.parse().unwrap());
        for (value, wanted) in [
            (json!(3600), seconds(3600)),
            (json!("3600"), seconds(3600)),
            (json!(" 3600 "), seconds(3600)),
            (json!("3600.0"), seconds(3600)),
            (json!(3599.9), seconds(3599)),
            (json!(5_184_000), seconds(5_184_000)),
            (json!("PT1H"), seconds(3600)),
            (json!("2099-01-01T00:00:00Z"), at("2099-01-01T00:00:00Z")),
            (
                json!("2099-01-01T00:00:00+01:00"),
                at("2098-12-31T23:00:00Z"),
            ),
            (json!("2099-01-01T00:00:00"), at("2099-01-01T00:00:00Z")),
            (json!(4_102_444_800_u64), at("2100-01-01T00:00:00Z")),
            (json!(4_102_444_800_000_u64), at("2100-01-01T00:00:00Z")),
            (json!(0), Expires::Untold),
            (json!("0"), Expires::Untold),
            (json!(0.4), Expires::Untold),
            (json!(-1), Expires::Untold),
            (json!("-PT1H"), Expires::Untold),
            (json!(1e300), Expires::Untold),
            (json!(u64::MAX), Expires::Untold),
            (json!("inf"), Expires::Untold),
            (json!("NaN"), Expires::Untold),
            (json!("soon"), Expires::Untold),
            (json!(""), Expires::Untold),
            (json!(null), Expires::Untold),
            (json!(true), Expires::Untold),
            (json!([3600]), Expires::Untold),
        ] {
            assert_eq!(lifetime(Some(&value), TimeUnit::Seconds), wanted, "{value}");
        }
        assert_eq!(lifetime(None, TimeUnit::Seconds), Expires::Untold);
        let millis = lifetime(Some(&json!(1500)), TimeUnit::Milliseconds);
        assert_eq!(millis, Expires::In(Duration::from_millis(1500)));
    }

    #[test]
    fn reads_moments() {
        for (value, wanted) in [
            (json!("2100-01-01T00:00:00Z"), Some("2100-01-01T00:00:00Z")),
            (json!("2100-01-01 00:00:00"), Some("2100-01-01T00:00:00Z")),
            (json!(4_102_444_800_u64), Some("2100-01-01T00:00:00Z")),
            (json!("4102444800"), Some("2100-01-01T00:00:00Z")),
            (json!(4_102_444_800_500_u64), Some("2100-01-01T00:00:00.5Z")),
            (json!(3600), None),
            (json!(0), None),
            (json!(1e18), None),
            (json!("tomorrow"), None),
            (json!(null), None),
        ] {
            let wanted = wanted.map(|text| text.parse().unwrap());
            assert_eq!(moment(Some(&value)), wanted, "{value}");
        }
    }

    #[test]
    fn reads_scopes_and_tokens() {
        for (value, wanted) in [
            (json!("a b"), Some("a b")),
            (json!(["a", "b"]), Some("a b")),
            (json!([]), None),
            (json!([1]), None),
            (json!(""), None),
            (json!(null), None),
            (json!({}), None),
        ] {
            assert_eq!(scope(Some(&value)).as_deref(), wanted, "{value}");
        }
        for (value, wanted) in [
            (json!(" AT\n"), Some("AT")),
            (json!("  "), None),
            (json!(17), None),
        ] {
            let wanted = wanted.map(|text: &str| Secret::new(text.to_owned()));
            assert_eq!(token(Some(&value)), wanted, "{value}");
        }
    }
}
