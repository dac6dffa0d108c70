//! What an operator may have done.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Actions, Admin, JSON, not_allowed, response};
use crate::grant::{Denied, Grant, Imported, Means};
use crate::secret::Secret;
use crate::store::{Record, RefreshToken};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The longest that an operator waits for a refresh: a token endpoint's own generous deadline,
/// and a little for the store.
const PATIENCE: Duration = Duration::from_secs(35);

/// Something that is asked for by a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// Refresh the grant of this name.
    Refresh(&'a str),
    /// Put the body, a record or a refresh token, into the grant of this name.
    Import(&'a str),
    /// Take the grant of this name back.
    Disown(&'a str, Means),
}

/// The action that a path names.
pub(super) fn named(path: &str) -> Option<Action<'_>> {
    match path.strip_prefix("/grants/")?.split_once('/')? {
        (name, "refresh") => Some(Action::Refresh(name)),
        (name, "import") => Some(Action::Import(name)),
        (name, "revoke") => Some(Action::Disown(name, Means::Revoke)),
        (name, "forget") => Some(Action::Disown(name, Means::Forget)),
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
        let (Action::Refresh(name) | Action::Import(name) | Action::Disown(name, _)) = action;
        let Some(grant) = self.grant(name) else {
            return unknown();
        };
        match action {
            Action::Refresh(_) => refresh(&grant).await,
            Action::Import(_) => import(&grant, headers, body).await,
            Action::Disown(_, means) => disown(&grant, means).await,
        }
    }

    fn grant(&self, name: &str) -> Option<Grant> {
        let mut grants = (self.grants)().into_iter();
        grants.find(|grant| grant.name().as_str() == name)
    }
}

async fn refresh(grant: &Grant) -> Response<Full<Bytes>> {
    tracing::info!(grant = %grant.name(), "an operator asks for a refresh");
    let name = grant.name().as_str();
    match grant.refresh_by(Instant::now() + PATIENCE).await {
        Ok(_) => told(StatusCode::OK, &json!({ "grant": name, "refreshed": true })),
        Err(denied) => failed(name, &denied),
    }
}

/// Nothing of the body is ever shown, in an error neither.
async fn import<B>(grant: &Grant, headers: &HeaderMap, body: B) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let record = match handed_in(headers, body).await {
        Ok(record) => record,
        Err((status, error, message)) => {
            return told(status, &json!({ "error": error, "message": message }));
        }
    };
    tracing::info!(grant = %grant.name(), "an operator puts a grant in");
    let name = grant.name().as_str();
    let imported = grant.import_by(record, Instant::now() + PATIENCE).await;
    match imported {
        Ok(Imported::Serves(_)) => told(
            StatusCode::OK,
            &json!({ "grant": name, "kept": true, "refreshed": true }),
        ),
        Ok(Imported::Kept(denied)) => told(
            StatusCode::OK,
            &json!({
                "grant": name, "kept": true, "refreshed": false,
                "error": denied.reason.as_str(), "code": denied.code,
            }),
        ),
        Err(denied) => failed(name, &denied),
    }
}

/// Why a body is not taken: the status, a code, and words that show nothing of it.
type Unfit = (StatusCode, &'static str, &'static str);

/// The grant in a body: a whole record as JSON, else a bare refresh token.
async fn handed_in<B>(headers: &HeaderMap, body: B) -> Result<Record, Unfit>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let media_type = headers.get(CONTENT_TYPE).map_or("", |value| {
        let text = value.to_str().unwrap_or("unreadable");
        text.split(';').next().unwrap_or_default().trim()
    });
    let is_record = media_type.eq_ignore_ascii_case(JSON);
    if !is_record && !media_type.is_empty() && !media_type.eq_ignore_ascii_case("text/plain") {
        let message = "the body must be `application/json` or `text/plain`";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err((status, "unknown_media_type", message));
    }
    let bad = |code, message| (StatusCode::BAD_REQUEST, code, message);
    let largest = if is_record {
        Record::LARGEST_HANDED_IN
    } else {
        RefreshToken::LONGEST
    };
    let read = Limited::new(body, largest).collect().await;
    let read = read.map_err(|_| bad("not_readable", "the body is cut or too large"))?;
    let bytes = Zeroizing::new(read.to_bytes().to_vec());
    if is_record {
        let record = Record::handed_in(&bytes);
        return record.map_err(|why| bad("not_a_record", why.as_str()));
    }
    let text = Secret::new(String::from_utf8_lossy(&bytes).into_owned());
    let token = RefreshToken::new(text);
    let token = token.map_err(|_| bad("not_a_token", "the body is no refresh token"))?;
    Ok(Record::new(token.into_secret(), Timestamp::now()))
}

async fn disown(grant: &Grant, means: Means) -> Response<Full<Bytes>> {
    tracing::info!(grant = %grant.name(), ?means, "an operator takes a grant back");
    let name = grant.name().as_str();
    match grant.revoke_by(means, Instant::now() + PATIENCE).await {
        Ok(farewell) => {
            let done = json!({ "grant": name, "revoked": farewell });
            told(StatusCode::OK, &done)
        }
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
        for (path, action) in [
            ("/grants/crm/refresh", Action::Refresh("crm")),
            ("/grants/crm/import", Action::Import("crm")),
            ("/grants/crm/revoke", Action::Disown("crm", Means::Revoke)),
            ("/grants/crm/forget", Action::Disown("crm", Means::Forget)),
        ] {
            assert_eq!(named(path), Some(action));
        }
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
    async fn a_body_is_a_record_or_a_bare_token() {
        let record = Record::new(Secret::new(String::from("rt-1")), Timestamp::UNIX_EPOCH);
        let json = serde_json::to_string(&record).unwrap();
        let large = "x".repeat(Record::LARGEST_HANDED_IN + 1);
        for (media_type, body, status) in [
            ("application/json", json.as_str(), StatusCode::OK),
            ("Application/JSON; charset=utf-8", &json, StatusCode::OK),
            ("text/plain", "rt-1", StatusCode::OK),
            ("", "rt-1", StatusCode::OK),
            ("application/json", "rt-1", StatusCode::BAD_REQUEST),
            ("application/json", &large, StatusCode::BAD_REQUEST),
            ("text/plain", &large, StatusCode::BAD_REQUEST),
            ("", "b\u{e4}r", StatusCode::BAD_REQUEST),
            ("text/html", "rt-1", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            let stated = (!media_type.is_empty()).then(|| media_type.parse().unwrap());
            let headers = stated.map(|media_type| (CONTENT_TYPE, media_type));
            let headers = headers.into_iter().collect();
            let read = handed_in(&headers, Full::new(Bytes::from(body.to_owned()))).await;
            let token = read.as_ref().ok().map(|read| &read.refresh_token);
            let fits = status == StatusCode::OK;
            assert_eq!(token, fits.then_some(&record.refresh_token));
            let came = read.map_or_else(|(status, ..)| status, |_| StatusCode::OK);
            assert_eq!(came, status, "{media_type:?}");
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
