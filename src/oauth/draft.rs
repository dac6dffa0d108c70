//! A request to an authorization server while it is made.
//!
//! What always holds: the target is in origin form and `Host` is there; a body has its length; no
//! parameter stands there twice but those that are added so.

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::config::{BodyFormat, Url};
use crate::oauth::request::RequestError;
use crate::secret::Secret;

/// Header fields and parameters so far.
pub(super) struct Draft {
    pub(super) headers: HeaderMap,
    params: Vec<(String, Secret<String>)>,
}

impl Draft {
    pub(super) fn new(endpoint: &Url) -> Result<Self, RequestError> {
        let host = endpoint
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str());
        let host =
            HeaderValue::from_str(host).map_err(|_| RequestError::Header(HOST.to_string()))?;
        let agent = concat!("bearward/", env!("CARGO_PKG_VERSION"));
        let headers = HeaderMap::from_iter([
            (HOST, host),
            // GitHub answers with a form unless asked for JSON, and nothing at all without a name.
            (ACCEPT, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static(agent)),
        ]);
        Ok(Self {
            headers,
            params: Vec::new(),
        })
    }

    /// Sets a parameter in place of one with the same name; an empty text drops that one.
    pub(super) fn set(&mut self, name: &str, text: Secret<String>) {
        let place = self.params.iter().position(|(known, _)| known == name);
        match (place, text.expose().is_empty()) {
            (Some(place), true) => drop(self.params.remove(place)),
            (Some(place), false) => {
                if let Some((_, known)) = self.params.get_mut(place) {
                    *known = text;
                }
            }
            (None, true) => {}
            (None, false) => self.params.push((name.to_owned(), text)),
        }
    }

    /// Adds a parameter beside those of the same name (RFC 8707 §2 has `resource` repeated).
    pub(super) fn add(&mut self, name: &str, text: &str) {
        self.params
            .push((name.to_owned(), Secret::new(text.to_owned())));
    }

    /// The address with the parameters, for a browser. It may hold what should not be logged.
    pub(super) fn address(self, endpoint: &Url) -> Result<Secret<String>, RequestError> {
        let target = target(endpoint, Some(&self.form()))?;
        let uri = endpoint.uri();
        let scheme = uri.scheme_str().unwrap_or("https");
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        Ok(Secret::new(format!("{scheme}://{authority}{target}")))
    }

    /// Sets a header field, marked as one that must not be shown.
    pub(super) fn put(
        &mut self,
        name: &HeaderName,
        text: &Secret<String>,
    ) -> Result<(), RequestError> {
        let mut value = HeaderValue::from_str(text.expose())
            .map_err(|_| RequestError::Header(name.to_string()))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// The request that asks for what stands at `place`.
    pub(super) fn get(self, place: &Url) -> Result<Request<Secret<Vec<u8>>>, RequestError> {
        let mut request = Request::new(Secret::new(Vec::new()));
        *request.uri_mut() = target(place, None)?;
        *request.headers_mut() = self.headers;
        Ok(request)
    }

    /// The request that hands the parameters to `endpoint`.
    pub(super) fn post(
        mut self,
        format: BodyFormat,
        endpoint: &Url,
    ) -> Result<Request<Secret<Vec<u8>>>, RequestError> {
        let (media_type, query, body) = match format {
            BodyFormat::Form => (Some("application/x-www-form-urlencoded"), None, self.form()),
            BodyFormat::Json => (Some("application/json"), None, self.json()),
            BodyFormat::Query => (None, Some(self.form()), Secret::new(Vec::new())),
        };
        if let Some(media_type) = media_type {
            self.headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(media_type));
        }
        // By hand, so that it stands there for an empty body too, and the body is never chunked.
        self.headers
            .insert(CONTENT_LENGTH, body.expose().len().into());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target(endpoint, query.as_ref())?;
        *request.headers_mut() = self.headers;
        Ok(request)
    }

    fn form(&self) -> Secret<Vec<u8>> {
        // Room for the worst case, so that growing leaves no copies of secrets behind.
        let room = self
            .params
            .iter()
            .map(|(name, text)| 3 * (name.len() + text.expose().len()) + 2);
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(room.sum()));
        for (name, text) in &self.params {
            form.append_pair(name, text.expose());
        }
        Secret::new(form.finish().into_bytes())
    }

    fn json(&self) -> Secret<Vec<u8>> {
        let room = self
            .params
            .iter()
            .map(|(name, text)| 6 * (name.len() + text.expose().len()) + 6);
        let mut body = Vec::with_capacity(room.sum::<usize>() + 2);
        for (name, text) in &self.params {
            body.push(if body.is_empty() { b'{' } else { b',' });
            quote(&mut body, name);
            body.push(b':');
            quote(&mut body, text.expose());
        }
        body.extend_from_slice(if body.is_empty() { b"{}" } else { b"}" });
        Secret::new(body)
    }
}

/// Appends `text` as a JSON string.
fn quote(body: &mut Vec<u8>, text: &str) {
    #[expect(
        clippy::expect_used,
        reason = "a text always has a JSON form and a Vec always room"
    )]
    serde_json::to_writer(body, text).expect("writing a text to memory");
}

/// The endpoint's path and query, and the parameters behind them.
fn target(endpoint: &Url, query: Option<&Secret<Vec<u8>>>) -> Result<Uri, RequestError> {
    let own = endpoint
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let Some(query) = query else {
        return own.parse().map_err(|_| RequestError::TooLong);
    };
    let joint = match (own.contains('?'), own.ends_with(['?', '&'])) {
        (false, _) => "?",
        (true, true) => "",
        (true, false) => "&",
    };
    let query = String::from_utf8_lossy(query.expose());
    let whole = Secret::new(format!("{own}{joint}{query}"));
    whole.expose().parse().map_err(|_| RequestError::TooLong)
}
