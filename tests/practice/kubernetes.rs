//! A Kubernetes API server as far as Secrets and Leases go, with its true rules of versions.
//!
//! What always holds: each change gives an object a new `resourceVersion`; a write that names an
//! old one is answered 409, one that names none overwrites silently, as the real server has it;
//! whoever shows no token of ours is answered 401, and whoever asks for another verb or name than
//! the Role allows 403. What was asked is written down, so that a test can hold it against what
//! may be asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::body::{Body, Cut};
use super::journal::Journal;
use super::reply::{Reply, Work};
use super::tls::Authority;
use super::wire::{Connection, Handler, Protocol, Server, address_of, bind};

/// The largest Secret, as the real server has it.
const LARGEST: usize = 1 << 20;

/// The namespace of everything here.
pub const NAMESPACE: &str = "practice";

/// An API server on loopback. It ends when it is dropped.
#[derive(Debug)]
pub struct Kubernetes {
    server: Server<Cluster>,
    cluster: Arc<Cluster>,
    url: String,
}

/// What was asked of the server.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The verb, as a Role names it.
    pub verb: &'static str,
    /// The resource and the object's name, such as `secrets/crm`.
    pub object: String,
    /// The `resourceVersion` that a write named.
    pub version: Option<String>,
    /// What was answered.
    pub status: u16,
}

#[derive(Debug, Default)]
struct Cluster {
    state: Mutex<State>,
    asked: Journal<Asked>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    token: String,
    /// The verbs and objects that the Role allows.
    allowed: Vec<(&'static str, String)>,
    scripted: VecDeque<Reply>,
}

impl Kubernetes {
    /// A server without TLS, with one empty Secret and one empty Lease of this name and a Role
    /// for them.
    pub async fn start(name: &str) -> Self {
        Self::listening(name, None).await
    }

    /// The same with TLS.
    pub async fn secured(name: &str, authority: &Authority) -> Self {
        Self::listening(name, Some(authority)).await
    }

    async fn listening(name: &str, authority: Option<&Authority>) -> Self {
        let cluster = Arc::new(Cluster::default());
        let listener = bind().await;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", address_of(&listener));
        let acceptor = authority.and_then(|authority| authority.acceptor(Protocol::Http1).ok());
        let server = Server::start(listener, Arc::clone(&cluster), Protocol::Http1, acceptor);
        let this = Self {
            server,
            cluster,
            url,
        };
        this.rotate_token("first-token");
        for object in [format!("secrets/{name}"), format!("leases/{name}")] {
            this.create(&object);
            for verb in ["get", "update", "patch"] {
                this.cluster.state().allowed.push((verb, object.clone()));
            }
        }
        this
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an empty object, as a manifest would.
    pub fn create(&self, object: &str) {
        let name = object.split('/').next_back().unwrap_or_default();
        let metadata = json!({ "name": name, "namespace": NAMESPACE });
        self.cluster
            .state()
            .put(object, json!({ "metadata": metadata }));
    }

    /// Removes an object.
    pub fn delete(&self, object: &str) {
        self.cluster.state().objects.remove(object);
    }

    /// The object as it is.
    pub fn object(&self, object: &str) -> Value {
        self.cluster
            .state()
            .objects
            .get(object)
            .cloned()
            .unwrap_or_default()
    }

    /// Changes an object behind everybody's back, which gives it a new version.
    pub fn merge(&self, object: &str, patch: &Value) {
        let mut changed = self.object(object);
        merge(&mut changed, patch);
        self.cluster.state().put(object, changed);
    }

    /// Takes only this token from now on.
    pub fn rotate_token(&self, token: &str) {
        token.clone_into(&mut self.cluster.state().token);
    }

    /// Takes a right away.
    pub fn forbid(&self, verb: &str, object: &str) {
        let mut state = self.cluster.state();
        state
            .allowed
            .retain(|(v, o)| (*v, o.as_str()) != (verb, object));
    }

    /// Answers the next request so. A [`Reply`] that begins as regular is given after the work
    /// is done, the others instead of it.
    pub fn next(&self, reply: Reply) {
        self.cluster.state().scripted.push_back(reply);
    }

    /// What was asked so far.
    pub fn asked(&self) -> &Journal<Asked> {
        &self.cluster.asked
    }

    /// Refuses connections and cuts those that are open.
    pub async fn go_down(&self) {
        self.server.go_down().await;
    }

    /// Listens again.
    pub async fn come_back(&self) -> std::io::Result<()> {
        self.server.come_back().await
    }
}

impl Handler for Cluster {
    async fn answer(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let reply = self
            .state()
            .scripted
            .pop_front()
            .unwrap_or_else(Reply::regular);
        let verb = verb(&head.method);
        let object = object(head.uri.path());
        let written = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let version = version(&written);
        let place = self.asked.push(Asked {
            verb,
            object: object.clone().unwrap_or_default(),
            version: version.map(str::to_owned),
            status: 0,
        });
        let done = self.judge(&head, reply.work, object, written);
        self.asked
            .update(place, |asked| asked.status = done.0.as_u16());
        reply.give(&connection, Some(response(done))).await
    }
}

const MERGE_PATCH: &str = "application/merge-patch+json";

/// A status and a body.
type Done = (StatusCode, Value);

impl Cluster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is asked, unless that is to be skipped.
    fn judge(&self, head: &Parts, work: Work, object: Option<String>, written: Value) -> Done {
        let mut state = self.state();
        let known = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if known != Some(format!("Bearer {}", state.token).as_bytes()) {
            return status(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
        }
        let (Work::Do, Some(object)) = (work, object) else {
            return status(StatusCode::NOT_FOUND, "NotFound", "no such path");
        };
        let verb = verb(&head.method);
        let merges = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == MERGE_PATCH);
        match verb {
            _ if !state.allowed.contains(&(verb, object.clone())) => forbidden(verb, &object),
            "get" => state.get(&object),
            "patch" if merges => state.patch(&object, &written),
            "update" => state.update(&object, written),
            _ => status(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "",
            ),
        }
    }
}

impl State {
    fn put(&mut self, object: &str, mut value: Value) -> Value {
        self.version += 1;
        let version = json!({ "resourceVersion": self.version.to_string() });
        merge(&mut value, &json!({ "metadata": version }));
        self.objects.insert(object.to_owned(), value.clone());
        value
    }

    fn get(&self, object: &str) -> Done {
        match self.objects.get(object) {
            Some(value) => (StatusCode::OK, value.clone()),
            None => missing(object),
        }
    }

    fn patch(&mut self, object: &str, patch: &Value) -> Done {
        let Some(mut value) = self.objects.get(object).cloned() else {
            return missing(object);
        };
        if is_stale(&value, patch) {
            return stale(object);
        }
        merge(&mut value, patch);
        self.store(object, value)
    }

    fn update(&mut self, object: &str, value: Value) -> Done {
        match self.objects.get(object) {
            None => missing(object),
            Some(there) if is_stale(there, &value) => stale(object),
            Some(_) => self.store(object, value),
        }
    }

    fn store(&mut self, object: &str, value: Value) -> Done {
        if let Some(fault) = invalid(&value) {
            return status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", fault);
        }
        (StatusCode::OK, self.put(object, value))
    }
}

/// What the real server would not keep.
fn invalid(value: &Value) -> Option<&'static str> {
    let data = value["data"].as_object().into_iter().flatten();
    let size: usize = data
        .map(|(_, text)| text.as_str().map_or(0, str::len) / 4 * 3)
        .sum();
    let spec = &value["spec"];
    let time = |key: &str| {
        let time = spec[key].as_str();
        // Go reads a `MicroTime` by a layout that has exactly six digits.
        time.is_none_or(|time| time.len() == 27 && time.ends_with('Z'))
    };
    if size > LARGEST {
        Some("data: Too long: may not be more than 1048576 bytes")
    } else if spec["leaseDurationSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds <= 0)
    {
        Some("spec.leaseDurationSeconds: must be greater than 0")
    } else if !(time("renewTime") && time("acquireTime")) {
        Some("spec: a time is malformed")
    } else {
        None
    }
}

/// A write without a version is never stale: that is the trap.
fn is_stale(there: &Value, written: &Value) -> bool {
    version(written).is_some_and(|named| version(there) != Some(named))
}

fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion")?.as_str()
}

/// A merge patch (RFC 7396 §2).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        patch.clone_into(target);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().and_then(|target| target.remove(key));
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "POST" => "create",
        "DELETE" => "delete",
        _ => "unknown",
    }
}

/// `secrets/NAME` or `leases/NAME`, out of the path.
fn object(path: &str) -> Option<String> {
    let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/");
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/");
    let of = |prefix: &str, resource: &str| {
        let name = path.strip_prefix(prefix)?;
        Some(format!("{resource}/{name}"))
    };
    of(&secret, "secrets").or_else(|| of(&lease, "leases"))
}

fn missing(object: &str) -> Done {
    let message = format!("{object} not found");
    status(StatusCode::NOT_FOUND, "NotFound", &message)
}

fn stale(object: &str) -> Done {
    let message =
        format!("Operation cannot be fulfilled on {object}: the object has been modified");
    status(StatusCode::CONFLICT, "Conflict", &message)
}

fn forbidden(verb: &str, object: &str) -> Done {
    let message = format!("{object} is forbidden: User \"practice\" cannot {verb} it");
    status(StatusCode::FORBIDDEN, "Forbidden", &message)
}

fn status(code: StatusCode, reason: &str, message: &str) -> Done {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code.as_u16(),
    });
    (code, status)
}

fn response((code, value): Done) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::from(value.to_string()), None));
    *response.status_mut() = code;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
