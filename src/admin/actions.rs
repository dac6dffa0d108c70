//! What an operator may have done.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Actions, Admin, JSON, not_allowed, response};
use crate::grant::{Denied, Grant};
use crate::secret::Secret;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// More is no refresh token.
const LARGEST_TOKEN: usize = 64 * 1024;

/// The longest that an operator waits for a refresh: a token endpoint's own generous deadline,
/// and a little for the store.
const PATIENCE: Duration = Duration::from_secs(35);

/// Something that is asked for by a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// Refresh the grant of this name.
    Refresh(&'a str),
    /// Put the body, a refresh token, into the grant of this name.
    Import(&'a str),
}

/// The action that a path names.
pub(super) fn named(path: &str) -> Option<Action<'_>> {
    match path.strip_prefix("/grants/")?.split_once('/')? {
        (name, "refresh") => Some(Action::Refresh(name)),
        (name, "import") => Some(Action::Import(name)),
        _ => None,
    }
}

impl Admin {
    /// Does what is asked, if that is allowed.
    pub(super) async fn act(
        &self,
        action: Action<'_>,
        method: &Method,
        headers: &HeaderMap,
        body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send,
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
            Action::Refresh(name) => match self.grant(name) {
                Some(grant) => refresh(&grant).await,
                None => unknown(),
            },
            Action::Import(name) => match self.grant(name) {
                Some(grant) => import(&grant, body).await,
                None => unknown(),
            },
        }
    }

    fn grant(&self, name: &str) -> Option<Grant> {
        let mut grants = (self.grants)().into_iter();
        grants.find(|grant| grant.name().as_str() == name)
    }
}

async fn refresh(grant: &Grant) -> Response<Full<Bytes>> {
    tracing::info!(grant = %grant.name(), "an operator asks for a refresh");
    let refreshed = grant.refresh_by(Instant::now() + PATIENCE).await;
    done(grant, refreshed.map(drop))
}

/// The token must be one of visible ASCII (RFC 6749 §A.17); it is never shown, in an error neither.
async fn import<B>(grant: &Grant, body: B) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let read = Limited::new(body, LARGEST_TOKEN).collect().await.ok();
    let text = read.and_then(|read| String::from_utf8(read.to_bytes().to_vec()).ok());
    let token = text.map(Secret::new).filter(|token| {
        let token = token.expose();
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let Some(token) = token else {
        let error = json!({ "error": "not_a_token", "message": "the body is no refresh token" });
        return told(StatusCode::BAD_REQUEST, &error);
    };
    tracing::info!(grant = %grant.name(), "an operator puts a refresh token in");
    let imported = grant.import_by(token, Instant::now() + PATIENCE).await;
    done(grant, imported.map(drop))
}

fn done(grant: &Grant, done: Result<(), Denied>) -> Response<Full<Bytes>> {
    let name = grant.name().as_str();
    match done {
        Ok(()) => told(StatusCode::OK, &json!({ "grant": name, "refreshed": true })),
        Err(denied) => failed(name, &denied),
    }
}

fn unknown() -> Response<Full<Bytes>> {
    let error = json!({ "error": "no_such_grant", "message": "no grant has this name" });
    told(StatusCode::NOT_FOUND, &error)
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
        admin
            .act(action, &Method::POST, headers, Full::default())
            .await
            .status()
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
            .act(Action::Refresh("crm"), &Method::GET, &none, Full::default())
            .await;
        assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
