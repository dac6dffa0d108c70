//! What the API server's refusals mean here, and what a person can do about them.
//!
//! What always holds: it is decided on statuses and reasons, never on texts; of what the server
//! says only its reason is shown, and its message where it speaks of rights alone.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use super::access::Pass;
use super::client::{Kind, Object};
use crate::config::Url;
use crate::store::{Error, ErrorKind};
use crate::upstream::{DialFailure, Missed, Reply};

/// The most of the server's own words that is shown.
const LONGEST: usize = 400;

/// What the API says beside a status (`kind: Status`).
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// An answer that is not what was asked for.
pub(super) fn said(verb: &'static str, object: &Object, reply: &Reply) -> Error {
    let status: Status = serde_json::from_slice(&reply.body).unwrap_or_default();
    let ours = status.kind == "Status";
    let error = match reply.status {
        StatusCode::UNAUTHORIZED => unknown(),
        StatusCode::FORBIDDEN => forbidden(verb, object).because(Said::new(&status.message)),
        StatusCode::NOT_FOUND if ours => missing(object),
        StatusCode::TOO_MANY_REQUESTS => away("the Kubernetes API server is overloaded"),
        code if code.is_server_error() => away("the Kubernetes API server is in trouble"),
        code if code.is_client_error() && ours => {
            let message = format!("the Kubernetes API server does not {verb} the {object}");
            Error::new(ErrorKind::Refused, message)
        }
        _ => return strange(),
    };
    if reply.status == StatusCode::FORBIDDEN {
        return error;
    }
    error.because(Said::new(&format!(
        "{} {}",
        reply.status.as_str(),
        status.reason
    )))
}

fn away(message: &str) -> Error {
    Error::new(ErrorKind::Away, message)
}

fn unknown() -> Error {
    let message = "the Kubernetes API server does not know who we are";
    Error::new(ErrorKind::Refused, message).with_hint(
        "look at the pod's service account, or at the user in the kubeconfig; \
         tokens are read again for each call",
    )
}

fn forbidden(verb: &str, object: &Object) -> Error {
    let (group, resource) = (object.kind.group(), object.kind.resource());
    let message = format!("we may not {verb} the {object}");
    Error::new(ErrorKind::Refused, message).with_hint(format!(
        "bind a Role with the rule `{{apiGroups: [\"{group}\"], resources: [\"{resource}\"], \
         resourceNames: [\"{}\"], verbs: [\"get\", \"patch\"]}}`",
        object.name
    ))
}

fn missing(object: &Object) -> Error {
    let (namespace, name) = (&object.namespace, &object.name);
    let hint = match object.kind {
        Kind::Secret => {
            format!("make it: `kubectl --namespace {namespace} create secret generic {name}`")
        }
        Kind::Lease => format!(
            "apply a manifest: `{{apiVersion: coordination.k8s.io/v1, kind: Lease, \
             metadata: {{name: {name}, namespace: {namespace}}}}}`"
        ),
    };
    Error::new(ErrorKind::Refused, format!("there is no {object}")).with_hint(hint)
}

/// An answer that no API server gives. Nothing of it is shown.
pub(super) fn strange() -> Error {
    away("what answers is no Kubernetes API server").with_hint("look at the server's address")
}

/// No answer, or not the whole of it. What was asked may have happened.
pub(super) fn missed(pass: &Pass, limit: Duration, missed: Missed) -> Error {
    match missed {
        Missed::Unreached(error) => {
            let server = pass.dialer.url();
            let reached = error.kind();
            let error = away(&format!("`{server}` cannot be reached")).because(error);
            if reached == DialFailure::Tls {
                return error.with_hint(
                    "its certificate must be signed by the authority that the service account or \
                     the kubeconfig names",
                );
            }
            error
        }
        Missed::Unsent("connect_timeout") | Missed::Unanswered("timeout", _) => slow(limit),
        Missed::Unsent(how) | Missed::Unanswered(how, _) => broken(how),
    }
}

/// No answer in time.
pub(super) fn slow(limit: Duration) -> Error {
    away(&format!(
        "the Kubernetes API server gave no answer within {limit:?}"
    ))
}

/// The connection broke.
pub(super) fn broken(how: &'static str) -> Error {
    away("the connection to the Kubernetes API server broke").because(Said::new(how))
}

/// A server's URL that nothing can be sent to.
pub(super) fn unusable(server: &Url) -> Error {
    let message = format!("`{server}` cannot be the URL of an API server");
    Error::new(ErrorKind::Refused, message)
}

/// What the server said, as far as it can be shown.
#[derive(Debug)]
struct Said(String);

impl Said {
    fn new(text: &str) -> Self {
        let shown = |c: char| c.is_ascii_graphic() || c == ' ';
        let text = text.trim().chars().take(LONGEST);
        Self(text.map(|c| if shown(c) { c } else { '?' }).collect())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}
