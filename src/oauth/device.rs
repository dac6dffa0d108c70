//! The answers of the device grant (RFC 8628 §3.2, §3.5).
//!
//! What always holds: what a person is shown is printable and short; a server cannot make us ask
//! more often than once a second, nor wait for ever.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::config::TimeUnit;
use crate::oauth::answer::{Expires, Failure};
use crate::oauth::class::Class;
use crate::oauth::complaint::Complaint;
use crate::oauth::reading;
use crate::secret::Secret;

/// RFC 8628 §3.2: where the server does not say.
const INTERVAL: Duration = Duration::from_secs(5);

/// What `slow_down` adds (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest interval; a server that wants more would let the code expire.
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);

/// The longest that a person is waited for.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What a person is to do, and how long.
#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// What the token endpoint is asked with.
    pub device_code: Secret<String>,
    /// What the person enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, where the server has one: what a QR code shows.
    pub verification_uri_complete: Option<String>,
    /// How long the codes live.
    pub expires_in: Duration,
    /// The time between two polls.
    pub interval: Duration,
}

impl DeviceCode {
    /// Reads the answer of the device authorization endpoint.
    pub fn read(status: StatusCode, body: &[u8]) -> Result<Self, Complaint> {
        let members: Value = serde_json::from_slice(body).unwrap_or_default();
        if !status.is_success() || members.get("error").is_some() {
            return Err(Complaint::read(status, body));
        }
        let unusable = |what: &str| Complaint::new("unusable_answer", Some(what));
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let device_code = text("device_code").filter(|code| !code.is_empty());
        let device_code = device_code.ok_or_else(|| unusable("it has no `device_code`"))?;
        let user_code = text("user_code").filter(|code| is_code(code));
        let user_code = user_code.ok_or_else(|| unusable("it has no usable `user_code`"))?;
        // Some servers follow an early draft, which had `verification_url`.
        let verification_uri = text("verification_uri")
            .or(text("verification_url"))
            .filter(|uri| is_address(uri))
            .ok_or_else(|| unusable("it has no usable `verification_uri`"))?;
        let complete = text("verification_uri_complete").filter(|uri| is_address(uri));
        let duration = |name| match reading::lifetime(members.get(name), TimeUnit::Seconds) {
            Expires::In(lifetime) => Some(lifetime),
            Expires::At(_) | Expires::Untold => None,
        };
        Ok(Self {
            device_code: Secret::new(device_code.to_owned()),
            user_code: user_code.to_owned(),
            verification_uri: verification_uri.to_owned(),
            verification_uri_complete: complete.map(str::to_owned),
            expires_in: duration("expires_in")
                .unwrap_or(Duration::from_secs(600))
                .min(LONGEST_LIFE),
            interval: duration("interval")
                .unwrap_or(INTERVAL)
                .clamp(Duration::from_secs(1), LONGEST_INTERVAL),
        })
    }
}

/// A code that can be read, and typed: visible ASCII.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.trim().is_empty()
}

/// An address that a browser opens and a terminal shows as it is.
fn is_address(text: &str) -> bool {
    text.len() <= 2048
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.parse::<crate::config::Url>().is_ok()
}

/// What an unsuccessful poll means (RFC 8628 §3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Nobody has answered yet, or the server could not be asked: again after this long.
    Again(Duration),
    /// It is over.
    Over(Failure),
}

impl Poll {
    /// What follows from `failure` where the last poll came `interval` after the one before.
    pub fn of(failure: Failure, interval: Duration) -> Self {
        let wait = match (failure.code.as_str(), failure.class) {
            ("authorization_pending", _) => interval,
            ("slow_down", _) => interval + SLOWER,
            // A busy server, a lost answer: less often, as the connection may be what is slow.
            (_, Class::Later | Class::Ambiguous) => interval * 2,
            _ => return Self::Over(failure),
        };
        let wait = wait.max(failure.retry_after.unwrap_or_default());
        Self::Again(wait.min(LONGEST_INTERVAL))
    }
}
