//! The one place where an error becomes a status.
//!
//! Every reply of ours is a small JSON object: `error` is a stable word, `message` is for people.
//! It carries `Proxy-Status` (RFC 9209), so that a caller can tell our answer from the upstream's.
//! No reply carries a secret, a token, or text that a server sent.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::config::GrantName;
use crate::grant::{Denied, Reason};
use crate::upstream::{DialFailure, SendError};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Why a request is answered here and not by the upstream.
#[derive(Debug)]
pub enum Fault {
    /// A method that would go past the credential's safeguards.
    MethodRefused,
    /// A head that HTTP forbids.
    BadRequest(&'static str),
    /// A path that leaves the route's prefix once an upstream normalises it.
    PathEscapes,
    /// No route matches.
    NoRoute,
    /// The request's body is beyond the limit.
    TooLarge,
    /// The request's body came too slowly.
    TooSlow,
    /// The caller went away in mid-body.
    CallerGone,
    /// There is no access token.
    NoToken(GrantName, Denied),
    /// The upstream could not be asked, or did not answer.
    Upstream(SendError),
    /// The upstream's answer is none that may be passed on.
    UpstreamMalformed(&'static str),
}

impl Fault {
    /// The status that the caller gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest(_) | Self::PathEscapes | Self::CallerGone => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoToken(..) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(error) if timed_out(error) => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream(_) | Self::UpstreamMalformed(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The stable word: in the reply, in the log and as a metric's `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::MethodRefused => "method_refused",
            Self::BadRequest(_) => "bad_request",
            Self::PathEscapes => "path_escapes_route",
            Self::NoRoute => "no_route",
            Self::TooLarge => "body_too_large",
            Self::TooSlow => "body_too_slow",
            Self::CallerGone => "caller_gone",
            Self::NoToken(_, denied) => denied.reason.as_str(),
            Self::Upstream(error) => error.as_str(),
            Self::UpstreamMalformed(_) => "upstream_malformed",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::MethodRefused => String::from("CONNECT and TRACE are not forwarded"),
            Self::BadRequest(what) => format!("the request has {what}"),
            Self::PathEscapes => String::from("the path would leave the route's prefix"),
            Self::NoRoute => String::from("no route matches this host and path"),
            Self::TooLarge => String::from("the body is larger than `proxy.max_body`"),
            Self::TooSlow => String::from("the body stalled for longer than `proxy.body_timeout`"),
            Self::CallerGone => String::from("the body ended before its time"),
            Self::NoToken(_, denied) => no_token(denied.reason).to_owned(),
            Self::Upstream(error) => error.to_string(),

            Self::UpstreamMalformed(what) => format!("the upstream's answer is refused: {what}"),
        }
    }

    /// The error type of RFC 9209 §2.3.
    fn proxy_error(&self) -> &'static str {
        match self {
            Self::MethodRefused | Self::PathEscapes => "http_request_denied",
            Self::BadRequest(_) | Self::TooLarge | Self::TooSlow | Self::CallerGone => {
                "http_request_error"
            }
            Self::NoRoute => "destination_not_found",
            Self::NoToken(..) => "proxy_internal_response",
            Self::Upstream(error) => upstream_error(error),
            Self::UpstreamMalformed(_) => "http_protocol_error",
        }
    }

    /// The whole reply.
    pub fn reply(&self) -> Response<Bytes> {
        let mut body = json!({ "error": self.reason(), "message": self.message() });
        if let (Self::NoToken(grant, denied), Some(body)) = (self, body.as_object_mut()) {
            body.insert(String::from("grant"), grant.as_str().into());
            body.insert(String::from("code"), denied.code.as_str().into());
        }
        let mut response = Response::new(Bytes::from(format!("{body}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let status = format!("bearward; error={}", self.proxy_error());
        headers.extend(
            HeaderValue::try_from(status)
                .ok()
                .map(|status| (PROXY_STATUS, status)),
        );
        match self {
            // What follows may be meant for the tunnel that was asked for.
            Self::MethodRefused => {
                let allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NoToken(
                _,
                Denied {
                    retry_after: Some(wait),
                    ..
                },
            ) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*wait)));
            }
            // What is left of the body would be read as the next request; and who made a bad head
            // may have another mind of where the next one begins.
            Self::TooLarge | Self::TooSlow | Self::BadRequest(_) => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

fn timed_out(error: &SendError) -> bool {
    match error {
        SendError::TimedOut | SendError::Busy => true,
        SendError::Dial(error) => error.kind() == DialFailure::Timeout,
        _ => false,
    }
}

/// The error type of RFC 9209 §2.3 for an upstream that gave no answer.
fn upstream_error(error: &SendError) -> &'static str {
    match error {
        SendError::Dial(error) => match error.kind() {
            DialFailure::Resolve => "dns_error",
            DialFailure::Refused => "connection_refused",
            DialFailure::Unreachable => "destination_ip_unroutable",
            DialFailure::Tls => "tls_protocol_error",
            DialFailure::Timeout => "connection_timeout",
        },
        SendError::Busy => "connection_limit_reached",
        SendError::Closed { .. } | SendError::Refused(_) => "connection_terminated",
        SendError::TimedOut => "http_response_timeout",
        SendError::Malformed(_) => "http_protocol_error",
        SendError::Body(_) => "http_request_error",
    }
}

/// Rounded up: a caller that comes back at that second finds the next attempt made.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn no_token(reason: Reason) -> &'static str {
    match reason {
        Reason::NoGrant => "no grant is stored: run `bearward import` or configure a seed",
        Reason::GrantDead => {
            "the authorization server says the grant is dead: a person must log in again"
        }
        Reason::ClientRefused => "the authorization server refuses the client's credential",
        Reason::ConfigurationRefused => {
            "the authorization server refuses the form of the token request"
        }
        Reason::IssuerUnavailable => "the authorization server gives no token now",
        Reason::StoreUnavailable => "the store of the grant cannot be used now",
        Reason::TokenTimeout => "no access token came in time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(reason: Reason) -> Fault {
        let denied = Denied {
            reason,
            code: String::from("invalid_grant"),
            retry_after: Some(Duration::from_millis(1500)),
        };
        Fault::NoToken("crm".parse().unwrap(), denied)
    }

    #[test]
    fn a_missing_token_names_reason_grant_and_code() {
        let reply = denied(Reason::GrantDead).reply();
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.headers()[RETRY_AFTER], "2");
        assert_eq!(
            reply.headers()[PROXY_STATUS],
            "bearward; error=proxy_internal_response"
        );
        let body: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(body["error"], "grant_dead");
        assert_eq!(body["grant"], "crm");
        assert_eq!(body["code"], "invalid_grant");
    }

    #[test]
    fn every_fault_is_json_with_a_status_that_is_an_error() {
        let faults = [
            Fault::MethodRefused,
            Fault::BadRequest("no `Host`"),
            Fault::PathEscapes,
            Fault::NoRoute,
            Fault::TooLarge,
            Fault::TooSlow,
            Fault::CallerGone,
            denied(Reason::NoGrant),
            Fault::UpstreamMalformed("it changed to a protocol nobody asked for"),
        ];
        for fault in faults {
            let reply = fault.reply();
            assert!(reply.status().is_client_error() || reply.status().is_server_error());
            let body: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
            assert_eq!(body["error"], fault.reason());
        }
    }
}
