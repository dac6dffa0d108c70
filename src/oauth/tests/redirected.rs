//! What a browser brings back, believed or not.

use serde_json::Value;

use crate::oauth::{Awaited, Disbelief, Iss, Redirected, pasted};
use crate::secret::Secret;

const ISSUER: &str = "https://as.example";

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn read(query: &str, iss: Iss) -> Result<Redirected, Disbelief> {
    let (state, capture) = (secret("S1"), [String::from("realmId")]);
    let awaited = Awaited {
        state: &state,
        issuer: Some(ISSUER),
        iss,
        code: "code",
        capture: &capture,
    };
    Redirected::read(&secret(query), &awaited)
}

#[test]
fn a_code_with_our_state_is_taken_with_what_is_captured() {
    let query = "code=C%2F1&state=S1&iss=https%3A%2F%2Fas.example&realmId=17%00&other=x";
    let Ok(Redirected::Code(code, captured)) = read(query, Iss::Always) else {
        panic!("no code");
    };
    assert_eq!(code, secret("C/1"));
    assert_eq!(
        captured.into_iter().collect::<Vec<_>>(),
        [("realmId".to_owned(), Value::from("17"))]
    );
}

#[test]
fn an_error_is_told_in_bearable_words() {
    let query = "error=access_denied&error_description=The%20user%0D%0A%1B%5B31m%20said%E2%80%AE%20no&state=S1";
    let Ok(Redirected::Refused(complaint)) = read(query, Iss::Untold) else {
        panic!("not refused");
    };
    assert_eq!(
        complaint.to_string(),
        "access_denied (\"The user [31m said no\")"
    );
    assert!(complaint.words().unwrap().contains("consent"));
}

#[test]
fn what_is_not_ours_is_not_believed() {
    let other = || Disbelief::OtherIssuer {
        asked: ISSUER.to_owned(),
        came: String::from("https://evil.example"),
    };
    for (query, iss, wanted) in [
        ("code=C", Iss::Untold, Disbelief::State),
        ("code=C&state=", Iss::Untold, Disbelief::State),
        ("code=C&state=S2", Iss::Untold, Disbelief::State),
        ("code=C&state=S1S1", Iss::Untold, Disbelief::State),
        ("error=access_denied", Iss::Untold, Disbelief::State),
        (
            "code=C&state=S1&state=S1",
            Iss::Untold,
            Disbelief::Twice(String::from("state")),
        ),
        (
            "code=C&code=D&state=S1",
            Iss::Untold,
            Disbelief::Twice(String::from("code")),
        ),
        ("state=S1", Iss::Untold, Disbelief::Empty),
        ("state=S1&code=", Iss::Untold, Disbelief::Empty),
        ("code=C&state=S1", Iss::Always, Disbelief::NoIssuer),
        (
            "code=C&state=S1&iss=https://evil.example",
            Iss::Untold,
            other(),
        ),
        (
            "code=C&state=S1&iss=https://evil.example",
            Iss::Always,
            other(),
        ),
        // RFC 9207 §2.4: by simple string comparison.
        (
            "error=access_denied&state=S1&iss=https://evil.example",
            Iss::Always,
            other(),
        ),
    ] {
        assert_eq!(read(query, iss).unwrap_err(), wanted, "{query}");
    }
    let slash = read("code=C&state=S1&iss=https://as.example/", Iss::Always);
    assert!(matches!(slash, Err(Disbelief::OtherIssuer { .. })));
}

#[test]
fn what_is_pasted_may_be_an_address_or_its_end() {
    for text in [
        "http://127.0.0.1/callback?code=C&state=S1",
        "  http://127.0.0.1/callback?code=C&state=S1#_=_\n",
        "code=C&state=S1",
        "\"https://app.example/cb?code=C&state=S1\"",
    ] {
        assert_eq!(pasted(&secret(text)), secret("code=C&state=S1"), "{text}");
    }
}
