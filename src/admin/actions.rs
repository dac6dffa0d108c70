//! What an operator may have done.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Actions, Admin, JSON, not_allowed, response};
use crate::grant::Denied;

/// The longest that an operator waits for a refresh: a token endpoint's own generous deadline,
/// and a little for the store.
const PATIENCE: Duration = Duration::from_secs(35);

/// Something that is asked for by a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// Refresh the grant of this name.
    Refresh(&'a str),
}

/// The action that a path names.
pub(super) fn named(path: &str) -> Option<Action<'_>> {
    let name = path.strip_prefix("/grants/")?.strip_suffix("/refresh")?;
    (!name.contains('/')).then_some(Action::Refresh(name))
}

impl Admin {
    /// Does what is asked, if that is allowed.
    pub(super) async fn act(
        &self,
        action: Action<'_>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        if *method != Method::POST {
            return not_allowed("POST");
        }
        if self.actions == Actions::Refuse {
            return told(
                StatusCode::FORBIDDEN,
                &refused("set `admin.actions = true` to allow it"),
            );
        }
        // Only a page in a browser says where it comes from, and none has business here.
        if headers.contains_key(ORIGIN) {
            return told(
                StatusCode::FORBIDDEN,
                &refused("this is not for pages in a browser"),
            );
        }
        match action {
            Action::Refresh(name) => self.refresh(name).await,
        }
    }

    async fn refresh(&self, name: &str) -> Response<Full<Bytes>> {
        let grants = (self.grants)();
        let Some(grant) = grants.iter().find(|grant| grant.name().as_str() == name) else {
            let error = json!({ "error": "no_such_grant", "message": "no grant has this name" });
            return told(StatusCode::NOT_FOUND, &error);
        };
        tracing::info!(grant = name, "an operator asks for a refresh");
        match grant.refresh_by(Instant::now() + PATIENCE).await {
            Ok(_) => told(StatusCode::OK, &json!({ "grant": name, "refreshed": true })),
            Err(denied) => failed(name, &denied),
        }
    }
}

fn refused(why: &str) -> Value {
    json!({ "error": "actions_refused", "message": why })
}

fn failed(name: &str, denied: &Denied) -> Response<Full<Bytes>> {
    let reason = denied.reason.as_str();
    let error = json!({ "error": reason, "code": denied.code, "grant": name });
    let mut answer = told(StatusCode::SERVICE_UNAVAILABLE, &error);
    if let Some(wait) = denied.retry_after {
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        answer.headers_mut().insert(RETRY_AFTER, seconds);
    }
    answer
}

fn told(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    response((status, JSON, format!("{body}\n")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::Registry;

    use super::super::Grants;
    use super::*;
    use crate::ready::Ready;

    fn admin(actions: Actions) -> Admin {
        let none: Grants = Arc::new(Vec::new);
        Admin::new(Registry::new(), Ready::default(), none, actions)
    }

    async fn post(admin: &Admin, headers: &HeaderMap) -> StatusCode {
        let action = named("/grants/crm/refresh").unwrap();
        admin.act(action, &Method::POST, headers).await.status()
    }

    #[test]
    fn an_action_is_named_by_a_whole_path() {
        assert_eq!(named("/grants/crm/refresh"), Some(Action::Refresh("crm")));
        for path in [
            "/grants/crm",
            "/grants/a/b/refresh",
            "/status",
            "/grants/crm/refresh/",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn an_action_needs_leave_a_known_grant_and_no_browser() {
        let none = HeaderMap::new();
        assert_eq!(
            post(&admin(Actions::Refuse), &none).await,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            post(&admin(Actions::Allow), &none).await,
            StatusCode::NOT_FOUND
        );
        let page = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("http://evil"))]);
        assert_eq!(
            post(&admin(Actions::Allow), &page).await,
            StatusCode::FORBIDDEN
        );
        let get = admin(Actions::Allow)
            .act(Action::Refresh("crm"), &Method::GET, &none)
            .await;
        assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
