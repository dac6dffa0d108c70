//! What answers the browser on loopback.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::Returned;
use super::slot::{Slot, Slots};
use crate::listen::{Handler, Hangup, Inbound};
use crate::login::page::Page;
use crate::secret::Secret;

/// The start of the paths on which endings are shown.
const ENDINGS: &str = "/done/";

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What answers the browser: the redirect address, and the endings.
#[derive(Clone)]
pub(super) struct Door {
    path: Arc<str>,
    port: u16,
    slots: Slots,
    returns: mpsc::Sender<Returned>,
}

impl Handler for Door {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Inbound>) -> Result<Response<Full<Bytes>>, Hangup> {
        let (head, _) = request.into_parts();
        Ok(self.answer(&head).await)
    }
}

impl Door {
    pub(super) fn new(
        path: &str,
        port: u16,
        slots: Slots,
        returns: mpsc::Sender<Returned>,
    ) -> Self {
        Self {
            path: path.into(),
            port,
            slots,
            returns,
        }
    }

    async fn answer(&self, head: &Parts) -> Response<Full<Bytes>> {
        if !self.is_meant(head) {
            return plain(StatusCode::MISDIRECTED_REQUEST, "no such host is here");
        }
        let path = head.uri.path();
        let slot = || self.slots.named(path.strip_prefix(ENDINGS)?);
        if path == &*self.path {
            self.arrival(head)
        } else if let Some(slot) = slot() {
            match head.method {
                Method::GET => ending(slot.fetch().await),
                _ => not_allowed(),
            }
        } else {
            plain(StatusCode::NOT_FOUND, "nothing is here")
        }
    }

    /// True when the request names loopback and our port: another site's name that leads here
    /// is that site's script at work.
    fn is_meant(&self, head: &Parts) -> bool {
        let mut hosts = head.headers.get_all(HOST).iter();
        let authority = match (head.uri.authority(), hosts.next(), hosts.next()) {
            // The target's own goes before the field (RFC 9112 §3.2.2).
            (Some(authority), _, None) => Some(authority.clone()),
            (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
            _ => None,
        };
        authority.is_some_and(|authority| {
            is_loopback(authority.host()) && authority.port_u16().unwrap_or(80) == self.port
        })
    }

    /// The redirect address.
    fn arrival(&self, head: &Parts) -> Response<Full<Bytes>> {
        let query = head.uri.query().filter(|query| is_an_answer(query));
        match query {
            _ if head.method != Method::GET => not_allowed(),
            _ if is_ahead_of_time(&head.headers) => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "this address is for a person's own visit",
            ),
            _ if is_embedded(&head.headers) => plain(
                StatusCode::FORBIDDEN,
                "this address is for a window of its own",
            ),
            Some(query) => self.hand_over(query),
            None => plain(
                StatusCode::NOT_FOUND,
                "here an authorization server's answer is awaited, and this is none",
            ),
        }
    }

    /// Hands the query over and sends the browser to its page; the same one comes through once.
    fn hand_over(&self, query: &str) -> Response<Full<Bytes>> {
        let query = Secret::new(query.to_owned());
        let hash = query.hash();
        if let Some(known) = self.slots.with_query(&hash) {
            return see_other(&known);
        }
        let slot = Arc::new(Slot::new(hash));
        let place = self.returns.try_reserve();
        match place.ok().filter(|_| self.slots.remember(&slot)) {
            Some(place) => {
                let slot = Arc::clone(&slot);
                place.send(Returned { query, slot });
            }
            None => return plain(StatusCode::SERVICE_UNAVAILABLE, "too many answers came"),
        }
        see_other(&slot)
    }
}

/// True for the names and addresses of this machine that never leave it.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// True when the query has a parameter of an authorization answer (RFC 6749 §4.1.2).
fn is_an_answer(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| matches!(&*name, "code" | "error" | "state"))
}

/// True for a browser that loads what the person may visit next.
fn is_ahead_of_time(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            [b"prefetch".as_slice(), b"preview", b"prerender"]
                .iter()
                .any(|word| value.windows(word.len()).any(|part| part == *word))
        })
}

/// True for what another page loads: a picture, a frame, a script's own request. Browsers say so
/// (Fetch Metadata); what says nothing is believed.
fn is_embedded(headers: &HeaderMap) -> bool {
    let destination = headers.get("sec-fetch-dest");
    destination.is_some_and(|destination| destination != "document")
}

fn see_other(slot: &Slot) -> Response<Full<Bytes>> {
    let location = HeaderValue::try_from(format!("{ENDINGS}{}", slot.name()));
    let mut response = plain(StatusCode::SEE_OTHER, "");
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn ending(page: Option<Page>) -> Response<Full<Bytes>> {
    let Some(Page { html, csp }) = page else {
        return plain(
            StatusCode::GONE,
            "this login has ended without a word; the terminal says more, and this tab can be closed",
        );
    };
    let mut response = response(StatusCode::OK, HTML, html);
    if let Ok(csp) = HeaderValue::try_from(csp) {
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, csp);
    }
    response
}

fn not_allowed() -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here");
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

fn plain(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    response(status, TEXT, format!("{line}\n"))
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let fields = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
