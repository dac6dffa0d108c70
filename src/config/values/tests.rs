//! What each unit takes, how it prints it, and what it refuses.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use super::*;

fn round_trips<T: FromStr<Err = Malformed> + Display + Debug>(cases: &[(&str, &str)]) {
    for (text, printed) in cases {
        let value: T = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(value.to_string(), *printed, "{text}");
    }
}

fn refuses<T: FromStr<Err = Malformed> + Debug>(cases: &[&str]) {
    for text in cases {
        let fault = text.parse::<T>().expect_err(text).to_string();
        assert!(fault.contains("; "), "`{fault}` names no way out");
        assert!(
            text.len() < 2 || !fault.contains(&format!("`{text}`")),
            "`{fault}` quotes the text"
        );
    }
}

#[test]
fn periods() {
    round_trips::<Period>(&[
        ("30s", "30s"),
        ("90s", "1m30s"),
        ("1h30m", "1h30m"),
        ("0500ms", "500ms"),
        ("0s", "0s"),
        ("2d", "2d"),
    ]);
    refuses::<Period>(&[
        "",
        "30",
        "s",
        "30 s",
        "-1s",
        "1.5h",
        "3x",
        "9999999999999999999s",
        "4000000d",
    ]);
}

#[test]
fn deadlines() {
    round_trips::<Deadline>(&[("never", "never"), ("1m", "1m")]);
    refuses::<Deadline>(&["Never", "forever", "", "10"]);
}

#[test]
fn margins() {
    round_trips::<Margin>(&[("1%", "1%"), ("50%", "50%"), ("45s", "45s")]);
    refuses::<Margin>(&["0%", "51%", "%", "10 %", "-1%", "+5%", "10"]);
}

#[test]
fn sizes() {
    round_trips::<Size>(&[
        ("64KiB", "64KiB"),
        ("1024KiB", "1MiB"),
        ("500B", "500B"),
        ("0B", "0B"),
    ]);
    refuses::<Size>(&[
        "64",
        "64KB",
        "KiB",
        "1.5MiB",
        "-1B",
        "+1B",
        "99999999999999GiB",
    ]);
}

#[test]
fn addresses() {
    round_trips::<Listen>(&[
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]:0", "[::1]:0"),
        ("unix:/run/p.sock", "unix:/run/p.sock"),
    ]);
    refuses::<Listen>(&[
        "8080",
        ":8080",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:99999",
        "unix:run/p",
    ]);
}

#[test]
fn urls() {
    round_trips::<Url>(&[
        ("https://api.example.com", "https://api.example.com/"),
        ("http://[::1]:8080/v2?x=1", "http://[::1]:8080/v2?x=1"),
    ]);
    refuses::<Url>(&[
        "",
        "api.example.com",
        "/v2",
        "ftp://a.example",
        "https://user:word@a.example",
        "https://a.example/#top",
        "https://a.example:port/",
        "https://",
    ]);
}

#[test]
fn loopback_is_known_by_name_and_address() {
    let loopback = |text: &str| text.parse::<Url>().is_ok_and(|url| url.is_loopback());
    for text in ["http://localhost", "http://127.8.9.1:1", "http://[::1]/x"] {
        assert!(loopback(text), "{text}");
    }
    for text in [
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://[::2]",
    ] {
        assert!(!loopback(text), "{text}");
    }
}

#[test]
fn names_of_grants() {
    round_trips::<GrantName>(&[("crm", "crm"), ("a-1_b", "a-1_b")]);
    refuses::<GrantName>(&["", "CRM", "a.b", "-a", "a-", "ä", &"x".repeat(64)]);
}
