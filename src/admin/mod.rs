//! Faces the operator: health, readiness, metrics, status.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process runs its control thread |
//! | `/readyz` | 200 when ready, else 503 with one reason per line |
//! | `/metrics` | Prometheus text format 0.0.4 |
//! | `/status` | every grant's state as JSON; fingerprints, never secrets |
//! | `POST /grants/NAME/refresh` | refreshes now, where `admin.actions` allows it |
//! | `POST /grants/NAME/import` | takes the body, a refresh token or a record, into the store; likewise |
//! | `POST /grants/NAME/revoke` | revokes the grant at the server and leaves a tombstone; likewise |
//! | `POST /grants/NAME/forget` | the same without asking the server; likewise |
//!
//! What always holds: it runs on the control thread, so its work never delays a call. An action
//! needs leave by the configuration, and is refused to a page in a browser.

mod actions;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use prometheus::{Encoder, Registry, TextEncoder};
use serde::Serialize;

use crate::grant::{Grant, Status};
use crate::listen::{Handler, Hangup, Inbound};
use crate::ready::Ready;

/// What the admin side shows, and what it may do.
#[derive(Clone)]
pub struct Admin {
    registry: Registry,
    ready: Ready,
    grants: Grants,
    actions: Actions,
}

/// The grants as they are when somebody asks: a reload changes them.
pub type Grants = Arc<dyn Fn() -> Vec<Grant> + Send + Sync>;

/// Whether the admin side may do something, beside showing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// It may refresh, import, revoke and forget a grant.
    Allow,
    /// It only shows.
    Refuse,
}

/// The body of `/status`.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    ready: bool,
    not_ready: Vec<String>,
    /// Whether actions are allowed: who is to ask for one can know before.
    actions: bool,
    grants: Vec<Status>,
}

impl Admin {
    /// Shows `registry`, `ready` and `grants`, and does what `actions` allow.
    pub fn new(registry: Registry, ready: Ready, grants: Grants, actions: Actions) -> Self {
        Self {
            registry,
            ready,
            grants,
            actions,
        }
    }

    fn show(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let page = match path {
            "/livez" => (StatusCode::OK, TEXT, String::from("ok\n")),
            "/readyz" => self.readiness(),
            "/metrics" => self.metrics(),
            "/status" => self.status(),
            _ => (StatusCode::NOT_FOUND, TEXT, String::from(PAGES)),
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            return not_allowed("GET, HEAD");
        }
        response(page)
    }

    fn readiness(&self) -> Page {
        let blockers = self.ready.blockers();
        if blockers.is_empty() {
            return (StatusCode::OK, TEXT, String::from("ready\n"));
        }
        let lines = blockers.join("\nnot ready: ");
        let lines = format!("not ready: {lines}\n");
        (StatusCode::SERVICE_UNAVAILABLE, TEXT, lines)
    }

    fn metrics(&self) -> Page {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => (
                StatusCode::OK,
                METRICS,
                String::from_utf8_lossy(&text).into_owned(),
            ),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("{error}\n"),
            ),
        }
    }

    fn status(&self) -> Page {
        let not_ready = self.ready.blockers();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            ready: not_ready.is_empty(),
            not_ready,
            actions: self.actions == Actions::Allow,
            grants: (self.grants)().iter().map(Grant::status).collect(),
        };
        match serde_json::to_string_pretty(&report) {
            Ok(json) => (StatusCode::OK, JSON, json + "\n"),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("{error}\n"),
            ),
        }
    }
}

/// The answer to a method that a path does not have.
fn not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let page = (StatusCode::METHOD_NOT_ALLOWED, TEXT, String::from(PAGES));
    let mut refused = response(page);
    let allowed = HeaderValue::from_static(allowed);
    refused.headers_mut().insert(ALLOW, allowed);
    refused
}

type Page = (StatusCode, &'static str, String);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PAGES: &str = "here are: /livez /readyz /metrics /status\n";

fn response((status, content_type, text): Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Handler for Admin {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Inbound>) -> Result<Response<Full<Bytes>>, Hangup> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        match actions::named(path) {
            Some(action) => Ok(self.act(action, &head.method, &head.headers, body).await),
            None => Ok(self.show(&head.method, path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn admin(ready: &Ready) -> Admin {
        let none: Grants = Arc::new(Vec::new);
        Admin::new(Registry::new(), ready.clone(), none, Actions::Allow)
    }

    async fn get(admin: &Admin, path: &str) -> (StatusCode, String) {
        let response = admin.show(&Method::GET, path);
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_each_reason() {
        let ready = Ready::default();
        let admin = admin(&ready);
        let blocker = ready.block("grant crm");
        let (status, body) = get(&admin, "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: grant crm\n")
        );
        drop(blocker);
        assert_eq!(get(&admin, "/readyz").await.0, StatusCode::OK);
        assert_eq!(get(&admin, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let admin = admin(&Ready::default());
        assert_eq!(get(&admin, "/").await.0, StatusCode::NOT_FOUND);
        let refused = admin.show(&Method::POST, "/status");
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[ALLOW], "GET, HEAD");
    }
}
