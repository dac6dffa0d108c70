//! What must hold for any answer whatever: seeded random and mutated bodies.

use fastrand::Rng;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::grant;
use crate::oauth::{Answer, Class, Failure, Reply, ResponseRules, classify, classify_cut};
use crate::secret::Secret;

/// A refresh token as real ones are, and of letters that could pass for words.
const SENT: [&str; 2] = [
    "ghr_1B4a2e77838347a7E420ce178F2E7c69",
    "correcthorse_batterystaple",
];

const SEEDS: [&str; 8] = [
    r#"{"access_token":"AT2","token_type":"Bearer","expires_in":3600,"refresh_token":"RT2","scope":"a b"}"#,
    r#"{"error":"invalid_grant","error_description":"bad SENT"}"#,
    r#"{"error":"SENT"}"#,
    r#"{"status":"SENT","refresh_token":"SENT"}"#,
    r#"{"errors":[{"errorType":"invalid_grant","message":"SENT"}],"success":false}"#,
    r#"{"ok":false,"error":"x_SENT","access_token":"SENT"}"#,
    "access_token=AT2&refresh_token=SENT&expires_in=5",
    "<html>SENT</html>",
];

fn mutated(dice: &mut Rng, body: &mut Vec<u8>) {
    for _ in 0..dice.usize(..6) {
        let place = dice.usize(..=body.len());
        match dice.u8(..5) {
            0 => body.truncate(place),
            1 => body.insert(place, dice.u8(..)),
            2 if place < body.len() => body[place] ^= 1 << dice.u8(..8),
            3 if place < body.len() => drop(body.remove(place)),
            _ => {
                let piece =
                    dice.choice([&b"\""[..], b"{", b"[", b"\\u0000", b"null", b"1e999", b","]);
                let piece = piece.unwrap().to_vec();
                drop(body.splice(place..place, piece));
            }
        }
    }
}

fn check(failure: &Failure, sent: &str, body: &[u8]) {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    let code = &failure.code;
    let body = String::from_utf8_lossy(body);
    assert!(
        (1..=64).contains(&code.len()) && code.bytes().all(safe),
        "{code:?} of {body}"
    );
    assert!(!code.contains(sent), "{code:?} of {body}");
    assert!(
        failure.rotated.is_none() || failure.class != Class::Ambiguous,
        "{body}"
    );
}

#[test]
fn no_answer_breaks_the_promises() {
    let mut dice = Rng::with_seed(0x0bea_2027);
    let rules = ResponseRules::new(&grant(&json!({ "capture": ["scope", "x.0"] }))).unwrap();
    for round in 0..30_000 {
        let sent = dice.choice(SENT).unwrap();
        let mut body = dice
            .choice(SEEDS)
            .unwrap()
            .replace("SENT", sent)
            .into_bytes();
        if round % 10 == 0 {
            body = (0..dice.usize(..200)).map(|_| dice.u8(..)).collect();
        }
        mutated(&mut dice, &mut body);
        let mut headers = HeaderMap::new();
        let types = [
            "application/json",
            "text/html",
            "application/x-www-form-urlencoded",
            "",
        ];
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(dice.choice(types).unwrap()),
        );
        let status = dice
            .choice([200, 201, 302, 400, 401, 403, 429, 500, 503])
            .unwrap();
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            body: &body,
        };
        if let Answer::Failed(cut) = classify_cut(&reply, &rules, Timestamp::UNIX_EPOCH, "cut") {
            check(&cut.without(&Secret::new(sent.to_owned())), sent, &body);
        }
        match classify(&reply, &rules, Timestamp::UNIX_EPOCH) {
            Answer::Success(tokens) => {
                assert!(reply.status.is_success());
                let token = tokens.access_token.expose();
                assert!(!token.is_empty() && token.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                assert!(HeaderValue::from_str(&format!("Bearer {token}")).is_ok());
                assert!(
                    tokens
                        .refresh_token
                        .is_none_or(|token| !token.expose().is_empty())
                );
            }
            Answer::Failed(failure) => {
                let failure = failure.without(&Secret::new(sent.to_owned()));
                check(&failure, sent, &body);
                if failure.class == Class::Dead {
                    assert!(!matches!(status, 302 | 429 | 500 | 503), "{failure:?}");
                }
            }
        }
    }
}

#[test]
fn a_cut_answer_never_kills_a_grant() {
    let rules = ResponseRules::new(&grant(&json!({}))).unwrap();
    for whole in SEEDS {
        for end in 0..whole.len() {
            let reply = Reply {
                status: StatusCode::OK,
                headers: &HeaderMap::new(),
                body: &whole.as_bytes()[..end],
            };
            if !whole.starts_with('{') {
                continue;
            }
            let Answer::Failed(failure) = classify(&reply, &rules, Timestamp::UNIX_EPOCH) else {
                panic!("success of a cut answer: {}", &whole[..end]);
            };
            assert!(
                matches!(failure.class, Class::Ambiguous | Class::Later),
                "{failure:?}"
            );
        }
    }
}
