//! Which calls go where: the table of routes, and a call's target.

use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::headers;
use super::held::Outgoing;
use super::metrics::{Metrics, RouteMetrics};
use super::reply::Fault;
use crate::config::{self, HttpVersion};
use crate::drain::Tasks;
use crate::grant::{Grant, Memo};
use crate::oauth::Rejection;
use crate::tls::Alpn;
use crate::upstream::{self, Dialer, Upstream};

/// A route as every worker shares it.
#[derive(Debug)]
pub struct Route {
    /// Its name in metrics and logs: host and path as configured.
    pub label: String,
    /// The grant whose token is put on.
    pub grant: Grant,
    /// The header field that carries the token.
    pub credential: HeaderName,
    /// What counts as a rejected token.
    pub rejection: Rejection,
    /// The section of the configuration.
    pub settings: config::Route,
    /// Its metrics.
    pub metrics: RouteMetrics,
    host_header: HeaderValue,
    /// The upstream's own path without a slash at its end.
    base: String,
    fixed: Vec<(HeaderName, HeaderValue)>,
    dialer: Dialer,
    upgrade_dialer: Dialer,
    upstream_metrics: upstream::Metrics,
}

/// A route that cannot be made.
#[derive(Debug)]
pub struct SetupError {
    route: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route `{}` cannot be set up", self.route)
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

impl Route {
    /// Makes a route of its section. Reads the secrets and certificates that it names.
    pub fn new(
        settings: config::Route,
        grant: Grant,
        credential: HeaderName,
        metrics: &Metrics,
        upstream_metrics: &upstream::Metrics,
    ) -> Result<Self, SetupError> {
        let label = label(&settings);
        let fail = |source| SetupError {
            route: label.clone(),
            source,
        };
        let fixed = fixed_headers(&settings).map_err(fail)?;
        let authority = settings
            .upstream
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str());
        let host_header = HeaderValue::from_str(authority).map_err(|error| fail(error.into()))?;
        let timeout = settings.connect_timeout.duration();
        let dialer = |alpn| {
            Dialer::new(&settings.upstream, &settings.tls, alpn, timeout)
                .map_err(|error| fail(Box::new(error)))
        };
        Ok(Self {
            dialer: dialer(Alpn::from(settings.http))?,
            upgrade_dialer: dialer(Alpn::Http1)?,
            metrics: metrics.of(&label),
            rejection: Rejection::new(&settings.expired_when)
                .map_err(|error| fail(error.into()))?,
            base: settings
                .upstream
                .uri()
                .path()
                .trim_end_matches('/')
                .to_owned(),
            upstream_metrics: upstream_metrics.clone(),
            label,
            grant,
            credential,
            host_header,
            fixed,
            settings,
        })
    }

    /// The call's path and query at the upstream, from the very bytes that the caller sent.
    pub fn target(&self, uri: &Uri) -> Result<PathAndQuery, Fault> {
        let sent = uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        if sent == "*" {
            return Ok(sent);
        }
        let prefix = self.settings.path.trim_end_matches('/');
        let guarded = !prefix.is_empty() || !self.base.is_empty();
        let rest = sent.path().get(prefix.len()..).unwrap_or_default();
        if guarded && climbs_out(rest) {
            return Err(Fault::PathEscapes);
        }
        let path = if self.settings.strip_prefix {
            rest
        } else {
            sent.path()
        };
        // A URL may have a query and no path (RFC 9110 §4.2.1), a target may not.
        let whole = sent.as_str().starts_with('/');
        if self.base.is_empty() && path.len() == sent.path().len() && whole {
            return Ok(sent);
        }
        let slash = if path.is_empty() && self.base.is_empty() {
            "/"
        } else {
            ""
        };
        let (mark, query) = sent.query().map_or(("", ""), |query| ("?", query));
        let target = format!("{}{slash}{path}{mark}{query}", self.base);
        target
            .try_into()
            .map_err(|_| Fault::BadRequest("a malformed path"))
    }

    /// Puts on what every call of this route carries.
    pub fn dress(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.host_header.clone());
        for (name, value) in &self.fixed {
            headers.insert(name, value.clone());
        }
    }

    /// Takes off a request's trailers what its head alone may carry, and what this route sets there.
    pub(super) fn strip_trailers(&self, trailers: &mut HeaderMap) {
        headers::strip_request_trailers(trailers, &self.credential);
        for (name, _) in &self.fixed {
            trailers.remove(name);
        }
    }

    fn matches(&self, host: Option<&str>, path: &str) -> bool {
        let prefix = self.settings.path.trim_end_matches('/');
        let rest = path.strip_prefix(prefix);
        let fits = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || (prefix.is_empty() && path == "*");
        fits && match (&self.settings.host, host) {
            (None, _) => true,
            (Some(wanted), Some(host)) => wanted.eq_ignore_ascii_case(host),
            (Some(_), None) => false,
        }
    }
}

fn label(settings: &config::Route) -> String {
    format!(
        "{}{}",
        settings.host.as_deref().unwrap_or_default(),
        settings.path
    )
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn fixed_headers(settings: &config::Route) -> Result<Vec<(HeaderName, HeaderValue)>, BoxError> {
    let mut fixed = Vec::new();
    for (name, text) in &settings.headers {
        let secret = text.read()?;
        let mut value = HeaderValue::from_str(secret.expose())?;
        value.set_sensitive(matches!(text, config::Text::Secret(_)));
        fixed.push((name.parse()?, value));
    }
    Ok(fixed)
}

/// True when the path's dot segments climb above its beginning once somebody normalises it,
/// whichever way that is: what may be a step up counts as one, and what may be a step down only if
/// everybody takes it for one.
fn climbs_out(path: &str) -> bool {
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let mut depth = 0;
    for segment in path.split('/') {
        let (lowest, end) = steps(segment);
        if depth + lowest < 0 {
            return true;
        }
        depth += end;
    }
    false
}

/// How deep a segment leads at the least, on its way and at its end.
///
/// Dots and slashes may be percent-encoded, more than once or in ways that only old decoders take,
/// slashes may be backslashes, and what a server cuts off may follow the dots.
fn steps(segment: &str) -> (i64, i64) {
    let (mut lowest, mut here) = (0_i64, 0_i64);
    for name in decoded(segment).split(['/', '\\']) {
        let name = name.split([';', '?', '#', '\0']).next();
        let name = name.unwrap_or_default();
        match name.trim_end_matches(|last: char| last.is_ascii_whitespace()) {
            "" | "." => {}
            ".." => here -= 1,
            _ => here += 1,
        }
        lowest = lowest.min(here);
    }
    // Who takes an encoded slash for part of a name sees one name.
    (lowest, here.min(1))
}

/// A segment as the most eager decoder would read it, as far as that moves about in a tree.
fn decoded(segment: &str) -> String {
    let mut plain = segment.to_ascii_lowercase();
    // Each round takes one layer off, so that it comes to an end.
    while let Some(peeled) = peel(&plain) {
        plain = peeled;
    }
    plain
}

/// A segment with one layer of encoding less, if there is one.
fn peel(segment: &str) -> Option<String> {
    const MEANT: [(&str, &str); 20] = [
        ("%25", "%"),
        ("%2e", "."),
        ("%2f", "/"),
        ("%5c", "\\"),
        ("%3b", ";"),
        ("%3f", "?"),
        ("%23", "#"),
        ("%00", "\0"),
        ("%20", " "),
        ("%09", "\t"),
        ("%0a", "\n"),
        ("%0d", "\r"),
        // Longer than UTF-8 may be.
        ("%c0%ae", "."),
        ("%c0%af", "/"),
        ("%c1%9c", "\\"),
        ("%e0%80%ae", "."),
        ("%e0%80%af", "/"),
        // As Windows' own server takes it beside what URLs have.
        ("%u002e", "."),
        ("%u002f", "/"),
        ("%u005c", "\\"),
    ];
    if !segment.contains('%') {
        return None;
    }
    let found = MEANT.iter().filter(|(code, _)| segment.contains(code));
    found.fold(None, |peeled: Option<String>, (code, plain)| {
        let segment = peeled.as_deref().unwrap_or(segment);
        Some(segment.replace(code, plain))
    })
}

/// The routes with one worker's own connections, the most particular first.
pub(super) struct Table {
    routes: Vec<Lane>,
}

/// A route and one worker's connections to its upstream.
pub(super) struct Lane {
    /// The route.
    pub route: Arc<Route>,
    /// The connections for ordinary calls.
    pub upstream: Upstream<Outgoing>,
    /// The connections for calls that ask to change the protocol, which only HTTP/1.1 can.
    pub upgrades: Upstream<Outgoing>,
    /// The token that this worker put on last.
    pub token: Memo,
}

impl Table {
    /// One worker's table.
    pub(super) fn new(routes: &[Arc<Route>], tasks: &Tasks) -> Self {
        let mut routes: Vec<Lane> = routes.iter().map(|route| lane(route, tasks)).collect();
        routes.sort_by_key(|lane| {
            let settings = &lane.route.settings;
            std::cmp::Reverse((
                settings.host.is_some(),
                settings.path.trim_end_matches('/').len(),
            ))
        });
        Self { routes }
    }

    /// The lane of the longest matching path, a matching host before any host.
    pub(super) fn find(&self, parts: &Parts) -> Result<&Lane, Fault> {
        let host = headers::host(parts);
        let path = parts.uri.path();
        let found = self
            .routes
            .iter()
            .find(|lane| lane.route.matches(host, path));
        found.ok_or(Fault::NoRoute)
    }
}

fn lane(route: &Arc<Route>, tasks: &Tasks) -> Lane {
    let open = |dialer: &Dialer, http| {
        let settings = upstream::Settings {
            route: Arc::from(route.label.as_str()),
            dialer: dialer.clone(),
            http,
            pool: route.settings.pool.clone(),
            max_headers: route.settings.max_headers.into(),
            response_timeout: route.settings.response_timeout.duration(),
            body_timeout: route.settings.body_timeout.duration(),
        };
        Upstream::new(settings, tasks.clone(), &route.upstream_metrics)
    };
    Lane {
        upstream: open(&route.dialer, route.settings.http),
        upgrades: open(&route.upgrade_dialer, HttpVersion::Http1),
        token: Memo::default(),
        route: Arc::clone(route),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_may_not_climb_out() {
        for path in [
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/.%2E/x",
            "/..%2fx",
            "/a/..%5c..%5cx",
            "/..;v=1/x",
            "/..",
            "\\..\\x",
            "/%252e%252e/x",
            "/%25252e./x",
            "/..%252fx",
            "/..%3bv=1/x",
            "/..%00/x",
            "/..%20/x",
            "/..%09/x",
            "/..%23/x",
            "/%c0%ae%C0%AE/x",
            "/..%c0%afx",
            "/..%c1%9cx",
            "/%e0%80%ae%E0%80%AE/x",
            "/..%e0%80%afx",
            "/%u002e%U002E/x",
            "/..%u002fx",
            "/..%u005cx",
            "/..%0a/x",
            "/..%0d/x",
            "/a/;/../../x",
            "/a%2fb/../../x",
            "/a\\b/../../x",
            "/a%5c..%5c/../x",
        ] {
            assert!(climbs_out(path), "{path}");
        }
        for path in [
            "",
            "/",
            "/a/../b",
            "/a/%2e/b",
            "/...",
            "/..a",
            "/a..",
            "/%2e%2e%2e",
            "/a%20b",
            "/100%25/a",
            "/%",
            "/a%252e%252e",
            "/.. a",
        ] {
            assert!(!climbs_out(path), "{path}");
        }
    }
}
