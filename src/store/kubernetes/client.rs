//! The two verbs that are used of the Kubernetes API: get and patch, of one object by its name.
//!
//! What always holds: a call ends within its time (an answer 401 brings one more try with fresh
//! credentials, and the time for it); a patch names a version, so sending it twice does what
//! sending it once does; nothing of an object reaches an error.

use std::fmt;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::access::{Access, Pass};
use super::trouble;
use crate::config::{Namespace, ObjectName, Url};
use crate::secret::Secret;
use crate::store::{Error, ErrorKind};
use crate::upstream::{Bounds, Reply, exchange};

/// The largest answer that is read: an object has at most 1.5 MiB where it is kept, and grows by
/// what the API server adds.
const LARGEST: usize = 4 << 20;

/// A merge patch (RFC 7396): what it does not name stays as it is.
const MERGE_PATCH: HeaderValue = HeaderValue::from_static("application/merge-patch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("bearward/", env!("CARGO_PKG_VERSION")));

/// What an overloaded server is left alone for, at least, before it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// One object by its name.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) namespace: Namespace,
    pub(super) name: ObjectName,
}

/// The kinds of objects that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    Lease,
}

impl Kind {
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::Secret => "",
            Self::Lease => "coordination.k8s.io",
        }
    }

    /// The resource, as Roles name it.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Lease => "leases",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "/api/v1",
            Self::Lease => "/apis/coordination.k8s.io/v1",
        }
    }
}

impl Object {
    pub(super) fn secret(namespace: Namespace, name: ObjectName) -> Self {
        let kind = Kind::Secret;
        Self {
            kind,
            namespace,
            name,
        }
    }

    pub(super) fn lease(namespace: Namespace, name: ObjectName) -> Self {
        let kind = Kind::Lease;
        Self {
            kind,
            namespace,
            name,
        }
    }

    /// Where it is below the server's URL. Nothing in the names needs to be escaped.
    fn path(&self) -> String {
        format!(
            "{}/namespaces/{}/{}/{}",
            self.kind.prefix(),
            self.namespace,
            self.kind.resource(),
            self.name
        )
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} `{}/{}`", self.kind, self.namespace, self.name)
    }
}

/// An object's `resourceVersion`: never empty, since a write with an empty one overwrites whatever
/// is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Version(String);

impl TryFrom<String> for Version {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Err("an object without a version");
        }
        Ok(Self(text))
    }
}

/// What came of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patched {
    Done,
    /// The object has changed since it was read.
    Stale,
}

/// Calls the API server.
#[derive(Debug)]
pub(super) struct Client {
    access: Access,
    limit: Duration,
}

/// What is asked.
struct Question<'a> {
    method: Method,
    object: &'a Object,
    patch: Secret<Vec<u8>>,
}

impl Client {
    pub(super) fn new(access: Access, limit: Duration) -> Self {
        Self { access, limit }
    }

    /// The object as it is now.
    pub(super) async fn get<T: DeserializeOwned>(&self, object: &Object) -> Result<T, Error> {
        let question = Question {
            method: Method::GET,
            object,
            patch: Secret::new(Vec::new()),
        };
        let reply = self.ask(&question).await?;
        if reply.status != StatusCode::OK {
            return Err(trouble::said("get", object, &reply));
        }
        match reply.cut {
            Some("timeout") => Err(trouble::slow(self.limit)),
            Some(how) => Err(trouble::broken(how)),
            // The parser's own words could show what it read.
            None => serde_json::from_slice(&reply.body).map_err(|_| trouble::strange()),
        }
    }

    /// Changes what `patch` names, unless the object is of another version than it says.
    pub(super) async fn patch(
        &self,
        object: &Object,
        patch: &impl Serialize,
    ) -> Result<Patched, Error> {
        let patch = serde_json::to_vec(patch).map_err(|cause| {
            Error::new(ErrorKind::Refused, "the change cannot be written as JSON").because(cause)
        })?;
        let question = Question {
            method: Method::PATCH,
            object,
            patch: Secret::new(patch),
        };
        let reply = self.ask(&question).await?;
        match reply.status {
            // Said once it has happened, so the rest of the answer does not matter.
            status if status.is_success() => Ok(Patched::Done),
            StatusCode::CONFLICT => Ok(Patched::Stale),
            _ => Err(trouble::said("patch", object, &reply)),
        }
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Reply, Error> {
        let reply = self.try_ask(question).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        self.access.rejected().await;
        self.try_ask(question).await
    }

    /// Asks, and again where the server is busy and says when, as long as there is time.
    async fn try_ask(&self, question: &Question<'_>) -> Result<Reply, Error> {
        let pass = self.access.pass().await?;
        let deadline = Instant::now() + self.limit;
        loop {
            let request = question.request(&pass)?;
            let bounds = Bounds {
                largest: LARGEST,
                deadline,
                not_after: None,
            };
            let reply = exchange(&pass.dialer, request, bounds).await;
            let reply = reply.map_err(|missed| trouble::missed(&pass, self.limit, missed))?;
            match told_wait(&reply) {
                Some(wait) if Instant::now() + wait < deadline => sleep(wait).await,
                _ => return Ok(reply),
            }
        }
    }
}

impl Question<'_> {
    fn request(&self, pass: &Pass) -> Result<Request<Secret<Vec<u8>>>, Error> {
        let server = pass.dialer.url();
        let base = server.uri().path().trim_end_matches('/');
        let mut request = Request::new(self.patch.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = format!("{base}{}", self.object.path())
            .parse()
            .map_err(|_| trouble::unusable(server))?;
        *request.headers_mut() = headers(pass, server)?;
        if self.method == Method::PATCH {
            request.headers_mut().insert(CONTENT_TYPE, MERGE_PATCH);
        }
        Ok(request)
    }
}

fn headers(pass: &Pass, server: &Url) -> Result<HeaderMap, Error> {
    let authority = server.uri().authority().map_or("", |a| a.as_str());
    let host = HeaderValue::from_str(authority).map_err(|_| trouble::unusable(server))?;
    let mut headers = HeaderMap::from_iter([(HOST, host), (ACCEPT, JSON), (USER_AGENT, AGENT)]);
    if let Some(token) = &pass.token {
        let value = Secret::new(format!("Bearer {}", token.expose()));
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
            Error::new(
                ErrorKind::Refused,
                "the token for the API server is no token",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// How long a busy server asks to be left alone, in whole seconds, as this API says it.
fn told_wait(reply: &Reply) -> Option<Duration> {
    let busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let told = reply.headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = Duration::from_secs(told.trim().parse().ok()?).max(PAUSE);
    busy.contains(&reply.status).then_some(wait)
}
