//! `Retry-After` (RFC 9110 §10.2.3), read leniently and bounded.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::{rfc2822, strtime};

/// A server may ask to be left alone for this long; one that asks for more gets a probe an hour,
/// so that a mistyped number cannot put a grant to sleep.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long the server asks to be left alone; nothing where it does not say, or says a moment
/// that has passed.
///
/// A moment is taken against the answer's own `Date` where there is one, so that clocks that
/// differ do no harm.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    // A float's own words, `inf` and `nan`, are none of HTTP's.
    let wait = if text.starts_with(|first: char| first.is_ascii_digit()) {
        let seconds: f64 = text.parse().ok()?;
        Duration::try_from_secs_f64(seconds.min(LONGEST.as_secs_f64())).ok()?
    } else {
        let sent = headers
            .get(DATE)
            .and_then(|date| http_date(date.to_str().ok()?.trim()));
        let wait = http_date(text)?.duration_since(sent.unwrap_or(now));
        Duration::try_from(wait).ok()?
    };
    Some(wait.min(LONGEST)).filter(|wait| !wait.is_zero())
}

/// The three forms of RFC 9110 §5.6.7, all of which a recipient must take.
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(zoned) = rfc2822::DateTimeParser::new().parse_zoned(text) {
        return Some(zoned.timestamp());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .into_iter()
        .find_map(|form| strtime::parse(form, text).ok()?.to_datetime().ok())
        .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    const THEN: i64 = 784_111_777;

    fn wait(headers: &[(&'static str, &'static str)], now: i64) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        retry_after(&headers, Timestamp::from_second(now).unwrap()).map(|wait| wait.as_secs())
    }

    #[test]
    fn reads_seconds() {
        for (text, seconds) in [
            ("30", Some(30)),
            (" 30 ", Some(30)),
            ("1.5", Some(1)),
            ("0", None),
            ("-1", None),
            ("99999999999999999999", Some(3600)),
            ("1e400", Some(3600)),
            ("inf", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait(&[("retry-after", text)], 0), seconds, "{text:?}");
        }
        assert_eq!(wait(&[], 0), None);
    }

    #[test]
    fn reads_the_three_forms_of_a_date() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                wait(&[("retry-after", text)], THEN - 90),
                Some(90),
                "{text}"
            );
            assert_eq!(wait(&[("retry-after", text)], THEN + 1), None, "{text}");
            assert_eq!(wait(&[("retry-after", text)], 0), Some(3600), "{text}");
        }
    }

    #[test]
    fn counts_from_the_servers_own_clock() {
        let headers = [
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("date", "Sun, 06 Nov 1994 08:49:07 GMT"),
        ];
        assert_eq!(wait(&headers, 0), Some(30));
        assert_eq!(wait(&headers, THEN * 2), Some(30));
    }
}
