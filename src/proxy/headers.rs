//! What of a message's head may pass: first strip, then inject (RFC 9110 §7.6).

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::reply::Fault;

/// Refuses what HTTP forbids, or what would hand the credential to the caller, and that the HTTP
/// library lets through.
pub(super) fn admit(parts: &Parts) -> Result<(), Fault> {
    if goes_past_the_credential(&parts.method) {
        return Err(Fault::MethodRefused);
    }
    admit_target(parts)?;
    admit_host(parts)?;
    admit_transfer_encoding(&parts.headers)
}

/// TRACE would echo the injected credential to the caller, as TRACK does at servers that have it;
/// CONNECT would be a tunnel past it. Some servers take a method in any case.
fn goes_past_the_credential(method: &Method) -> bool {
    let method = method.as_str();
    ["TRACE", "TRACK", "CONNECT"]
        .iter()
        .any(|refused| method.eq_ignore_ascii_case(refused))
}

/// A path, a whole URL, or `*` of `OPTIONS` (RFC 9112 §3.2); never a user's name and password,
/// which have no business in a URL of HTTP (RFC 9110 §4.2.4).
fn admit_target(parts: &Parts) -> Result<(), Fault> {
    let uri = &parts.uri;
    let bare_authority = uri.authority().is_some() && uri.scheme().is_none();
    let star = uri.path() == "*" && parts.method != Method::OPTIONS;
    if bare_authority || star || is_query_of_http2(parts) {
        return Err(Fault::BadRequest("a target that this method cannot have"));
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(Fault::BadRequest("a user's name in its target"))
        }
        Some(authority) if !has_port_of_digits(authority) => {
            Err(Fault::BadRequest("a port that is no number in its target"))
        }
        _ => Ok(()),
    }
}

/// True for a query alone in `:path`, which has to begin with a slash (RFC 9113 §8.3.1). A whole URL
/// may have no path.
fn is_query_of_http2(parts: &Parts) -> bool {
    let target = parts.uri.path_and_query();
    parts.version == Version::HTTP_2
        && target.is_some_and(|target| target.as_str().starts_with('?'))
}

/// Exactly one well-formed host (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn admit_host(parts: &Parts) -> Result<(), Fault> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Fault::BadRequest("more than one `Host`"));
    }
    let Some(host) = host else {
        let needed = parts.version == Version::HTTP_11 || parts.uri.authority().is_none();
        if needed && parts.version != Version::HTTP_10 {
            return Err(Fault::BadRequest("no `Host`"));
        }
        return Ok(());
    };
    let other = parts
        .uri
        .authority()
        .filter(|_| parts.version == Version::HTTP_2);
    if other.is_none() && is_ordinary_host(host.as_bytes()) {
        return Ok(());
    }
    let parsed = Authority::try_from(host.as_bytes()).ok();
    let parsed = parsed.filter(|host| !host.as_str().contains('@') && has_port_of_digits(host));
    let parsed = parsed.ok_or(Fault::BadRequest("a malformed `Host`"))?;
    if other.is_some_and(|authority| *authority != parsed) {
        return Err(Fault::BadRequest("`Host` and `:authority` differ"));
    }
    Ok(())
}

/// True unless what stands where the port does is none (RFC 3986 §3.2.3), which the library takes.
fn has_port_of_digits(authority: &Authority) -> bool {
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
    port.is_none_or(|port| port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A name of letters, digits, `.` and `-`, with or without a port: well-formed at a glance, where
/// the parser of URIs would make a copy first.
fn is_ordinary_host(host: &[u8]) -> bool {
    let is_port = |port: &[u8]| !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    let mut halves = host.splitn(2, |byte| *byte == b':');
    let name = halves.next().unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !name.is_empty() && name.iter().all(plain) && halves.next().is_none_or(is_port)
}

/// At most one transfer coding, and that is plain `chunked` (RFC 9112 §6.1): any list that merely
/// ends in it would reach the upstream as an ambiguous message.
fn admit_transfer_encoding(headers: &HeaderMap) -> Result<(), Fault> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Fault::BadRequest("a transfer coding other than `chunked`")),
    }
}

/// The host that a request is for, without port and brackets kept.
pub(super) fn host(parts: &Parts) -> Option<&str> {
    if let Some(host) = parts.uri.host() {
        return Some(host);
    }
    let host = parts.headers.get(HOST)?.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

/// The protocol that an HTTP/1.1 request asks to change to (RFC 9110 §7.8).
///
/// A change to another HTTP, or to TLS with HTTP inside, is not asked on: its requests would run
/// through the tunnel past routes, limits and credential. The request goes its way without it, as
/// if we did not know how.
pub(super) fn asked_upgrade(parts: &Parts) -> Option<HeaderValue> {
    let asked = parts.version == Version::HTTP_11 && names_upgrade(&parts.headers);
    let protocols = parts.headers.get(UPGRADE).filter(|_| asked)?;
    let is_http = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        ["h2c", "h2"].contains(&&*name) || name.starts_with("http/") || name.starts_with("tls/")
    };
    let http = protocols.to_str().ok()?.split(',').any(is_http);
    (!http).then(|| protocols.clone())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    connection_names(headers).any(|name| name.eq_ignore_ascii_case("upgrade"))
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// True for a caller that waits to be told before it sends the body (RFC 9110 §10.1.1). One that
/// speaks HTTP/1.0 does not know what it says, and the word goes no further.
pub(super) fn expects_continue(parts: &mut Parts) -> bool {
    if parts.version == Version::HTTP_10 {
        parts.headers.remove(EXPECT);
    }
    let expectation = parts.headers.get(EXPECT);
    expectation.is_some_and(|word| word.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes off what is meant for this hop only: the fields that `Connection` names, and the known ones.
///
/// Most heads have few of them. One walk over the names they do have is cheaper than looking each
/// of the known ones up, and what is found is taken off one by one.
pub(super) fn strip_hop(headers: &mut HeaderMap) {
    if !headers.get_all(CONNECTION).iter().all(names_nothing) {
        while let Some(name) = named_by_connection(headers) {
            headers.remove(name.as_str());
        }
    }
    while let Some(name) = headers.keys().find(|name| is_hop(name)).cloned() {
        headers.remove(&name);
        if name == TRANSFER_ENCODING {
            // A length beside a transfer coding is a lie by now (RFC 9112 §6.3).
            headers.remove(CONTENT_LENGTH);
        }
    }
}

/// True for what most have to say there, which names no field that is not known anyway.
fn names_nothing(connection: &HeaderValue) -> bool {
    let value = connection.as_bytes();
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// A field that `Connection` names, if one is there; itself it goes last.
fn named_by_connection(headers: &HeaderMap) -> Option<String> {
    let is_field =
        |name: &&str| !name.eq_ignore_ascii_case("connection") && headers.contains_key(*name);
    connection_names(headers).find(is_field).map(str::to_owned)
}

/// The fields that are meant for one hop wherever they stand (RFC 9110 §7.6.1).
fn is_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Leaves one length where a head gives several that say the same (RFC 9110 §8.6), as fields or as
/// a list: the next party may know only one. False where they differ, or where one is no number.
pub(super) fn settle_length(headers: &mut HeaderMap) -> bool {
    let mut fields = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = fields.next() else {
        return true;
    };
    let is_number = |length: &[u8]| !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    if fields.next().is_none() && is_number(first.as_bytes()) {
        return true;
    }
    let fields = headers.get_all(CONTENT_LENGTH).iter();
    let mut lengths = fields
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let length = lengths.next().filter(|length| is_number(length));
    let Some(length) = length.filter(|length| lengths.all(|other| other == *length)) else {
        return false;
    };
    let length = HeaderValue::from_bytes(length);
    length.is_ok_and(|length| headers.insert(CONTENT_LENGTH, length).is_some())
}

/// Makes one field of the cookies that HTTP/2 may split over several (RFC 9113 §8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Values joined by what a value may hold are a value.
    if let Ok(mut joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        joined.set_sensitive(true);
        headers.insert(COOKIE, joined);
    }
}

/// True if trailers are announced. A length that is declared beside them, as HTTP/2 can, leaves
/// them no place in HTTP/1.1, and is taken off.
pub(super) fn make_room_for_trailers(headers: &mut HeaderMap) -> bool {
    let announced = headers.contains_key(TRAILER);
    if announced {
        headers.remove(CONTENT_LENGTH);
    }
    announced
}

/// Strips trailers: no framing, no routing and nothing that is meant for one hop comes after the
/// body (RFC 9110 §6.5.1).
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_hop(trailers);
    for name in [CONTENT_LENGTH, HOST, TE, TRAILER] {
        trailers.remove(name);
    }
}

/// Strips a request's trailers, in which there is no credential either.
pub(super) fn strip_request_trailers(trailers: &mut HeaderMap, credential: &HeaderName) {
    strip_trailers(trailers);
    trailers.remove(AUTHORIZATION);
    remove_credential(trailers, credential);
}

/// Takes the caller's own credential off, also from names that servers take for the field's: those
/// that hand fields on as variables, as CGI does, cannot tell `_` from `-`.
fn remove_credential(headers: &mut HeaderMap, credential: &HeaderName) {
    while let Some(alias) = headers
        .keys()
        .find(|name| is_same(name, credential))
        .cloned()
    {
        headers.remove(&alias);
    }
}

fn is_same(name: &HeaderName, credential: &HeaderName) -> bool {
    if name == credential {
        return true;
    }
    let (name, credential) = (name.as_str(), credential.as_str());
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == credential.len() && name.bytes().map(plain).eq(credential.bytes().map(plain))
}

/// Strips a request's head for its way out.
pub(super) fn strip_request(headers: &mut HeaderMap, credential: &HeaderName) {
    // Most requests carry none of it, and one walk over their names says so.
    let goes = |name: &HeaderName| *name == AUTHORIZATION || *name == TE || is_hop(name);
    if !headers
        .keys()
        .any(|name| is_same(name, credential) || goes(name))
    {
        return;
    }
    // Read before `Connection` takes it off: `trailers` is the one value that means something to
    // the next hop too, and gRPC demands it.
    let trailers = headers.get_all(TE).iter().any(|te| {
        te.to_str().is_ok_and(|te| {
            te.split(',')
                .any(|te| te.trim().eq_ignore_ascii_case("trailers"))
        })
    });
    strip_hop(headers);
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.remove(AUTHORIZATION);
    remove_credential(headers, credential);
}

/// Puts the marks of an upgrade back on, for a request that asks for one or an answer that grants it.
pub(super) fn mark_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Says that the connection ends with this answer.
pub(super) fn close_after(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Strips an answer's head for its way back. A 101 is let through only if it was asked for, to
/// the protocol that was asked for; a 426 says what could be asked for (RFC 9110 §15.5.22).
pub(super) fn strip_response(
    status: StatusCode,
    headers: &mut HeaderMap,
    asked: Option<&HeaderValue>,
) -> Result<(), Fault> {
    if !settle_length(headers) {
        return Err(Fault::UpstreamMalformed("it has two lengths, or none"));
    }
    if status == StatusCode::NO_CONTENT {
        // There must be none (RFC 9110 §8.6), and clients of HTTP/2 take offence.
        headers.remove(CONTENT_LENGTH);
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let wanted = (status == StatusCode::UPGRADE_REQUIRED).then(|| headers.remove(UPGRADE));
        strip_hop(headers);
        if let Some(Some(wanted)) = wanted {
            mark_upgrade(headers, wanted);
        }
        return Ok(());
    }
    let granted = headers.get(UPGRADE).cloned();
    match granted.zip(asked) {
        Some((granted, asked)) if same_protocol(&granted, asked) => {
            strip_hop(headers);
            mark_upgrade(headers, granted);
            Ok(())
        }
        _ => Err(Fault::UpstreamMalformed(
            "it changed to a protocol nobody asked for",
        )),
    }
}

fn same_protocol(granted: &HeaderValue, asked: &HeaderValue) -> bool {
    let (Ok(granted), Ok(asked)) = (granted.to_str(), asked.to_str()) else {
        return false;
    };
    asked
        .split(',')
        .any(|asked| asked.trim().eq_ignore_ascii_case(granted.trim()))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(version: Version, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_ordinary_host_needs_no_parser() {
        for host in ["a", "a.example", "10.0.0.1:8080", "a-b:0"] {
            assert!(is_ordinary_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a:", "a:b", "a:1:2", "[::1]", "a@b", "a/b", "a b", "a_b", "ä",
        ] {
            assert!(!is_ordinary_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_host_is_there_once_and_well_formed() {
        let refused: [&[(&str, &str)]; 6] = [
            &[],
            &[("host", "a"), ("host", "a")],
            &[("host", "")],
            &[("host", "user@a")],
            &[("host", "a/b")],
            &[("host", "a b")],
        ];
        for headers in refused {
            assert!(
                admit(&parts(Version::HTTP_11, "/", headers)).is_err(),
                "{headers:?}"
            );
        }
        for host in ["a", "a:80", "[::1]:8080", "127.0.0.1"] {
            assert!(
                admit(&parts(Version::HTTP_11, "/", &[("host", host)])).is_ok(),
                "{host}"
            );
        }
        assert!(admit(&parts(Version::HTTP_10, "/", &[])).is_ok());
        assert!(admit(&parts(Version::HTTP_2, "http://a/", &[])).is_ok());
        assert!(admit(&parts(Version::HTTP_2, "http://a/", &[("host", "b")])).is_err());
    }

    #[test]
    fn a_target_is_a_path_or_a_whole_url() {
        let host: &[(&str, &str)] = &[("host", "a")];
        for target in ["/", "/a//b", "http://b/x", "https://b"] {
            assert!(
                admit(&parts(Version::HTTP_11, target, host)).is_ok(),
                "{target}"
            );
        }
        for target in ["*", "b", "b:443", "http://user@b/x"] {
            assert!(
                admit(&parts(Version::HTTP_11, target, host)).is_err(),
                "{target}"
            );
        }
        let mut options = parts(Version::HTTP_11, "*", host);
        options.method = Method::OPTIONS;
        assert!(admit(&options).is_ok());
    }

    #[test]
    fn a_change_to_another_http_is_not_asked_on() {
        let asked = |protocols: &str| {
            let fields = [("connection", "upgrade"), ("upgrade", protocols)];
            asked_upgrade(&parts(Version::HTTP_11, "/", &fields)).is_some()
        };
        assert!(asked("websocket"));
        assert!(asked("a/1, b"));
        for protocols in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.2"] {
            assert!(!asked(protocols), "{protocols}");
        }
    }

    #[test]
    fn cookies_are_one_field() {
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let mut parts = parts(Version::HTTP_2, "http://a/", &fields);
        join_cookies(&mut parts.headers);
        let left: Vec<_> = parts.headers.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn only_plain_chunked_is_a_transfer_coding() {
        let framed = |codings: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
            admit(&parts(Version::HTTP_11, "/", &headers)).is_ok()
        };
        assert!(framed(&[]));
        assert!(framed(&["chunked"]));
        assert!(framed(&["Chunked"]));
        for codings in [
            &["gzip, chunked"][..],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &[", chunked"],
            &["identity"],
        ] {
            assert!(!framed(codings), "{codings:?}");
        }
    }

    #[test]
    fn trace_and_connect_are_refused() {
        for method in ["TRACE", "trace", "Track", "CONNECT", "connect"] {
            let mut parts = parts(Version::HTTP_11, "/", &[("host", "a")]);
            parts.method = method.parse().unwrap();
            assert!(matches!(admit(&parts), Err(Fault::MethodRefused)));
        }
    }

    #[test]
    fn the_callers_credential_and_hop_fields_stay_here() {
        let mut parts = parts(
            Version::HTTP_11,
            "/",
            &[
                ("connection", "close, X-Mine"),
                ("x-mine", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-authorization", "Basic eA=="),
                ("authorization", "Bearer stolen"),
                ("x-api-token", "stolen"),
                ("x_api_token", "stolen"),
                ("x-api_token", "stolen"),
                ("x-api.token", "another's"),
                ("te", "gzip, trailers"),
                ("x-kept", "1"),
            ],
        );
        strip_request(&mut parts.headers, &HeaderName::from_static("x-api-token"));
        let mut left: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["te", "x-api.token", "x-kept"]);
        assert_eq!(parts.headers[TE], "trailers");
    }

    #[test]
    fn one_length_is_left_of_several_that_agree() {
        for (lengths, left) in [
            (&[][..], Some(None)),
            (&["2"], Some(Some("2"))),
            (&["2", "2"], Some(Some("2"))),
            (&["2, 2"], Some(Some("2"))),
            (&["2,2", "2"], Some(Some("2"))),
            (&["2", "3"], None),
            (&["2, 3"], None),
            (&["2,"], None),
            (&[""], None),
            (&["+2"], None),
            (&["-2", "-2"], None),
            (&["2 2"], None),
        ] {
            let fields: Vec<_> = lengths.iter().map(|one| ("content-length", *one)).collect();
            let mut parts = parts(Version::HTTP_11, "/", &fields);
            let settled = settle_length(&mut parts.headers);
            assert_eq!(settled, left.is_some(), "{lengths:?}");
            let found: Vec<_> = parts.headers.get_all(CONTENT_LENGTH).iter().collect();
            if let Some(left) = left {
                assert_eq!(found, Vec::from_iter(left), "{lengths:?}");
            }
        }
    }

    #[test]
    fn a_length_beside_a_transfer_coding_is_dropped() {
        let mut parts = parts(
            Version::HTTP_11,
            "/",
            &[("transfer-encoding", "chunked"), ("content-length", "3")],
        );
        strip_hop(&mut parts.headers);
        assert!(parts.headers.is_empty());
    }

    #[test]
    fn a_change_of_protocol_must_have_been_asked_for() {
        let answer = |granted: &str, asked: Option<&'static str>| {
            let mut parts = parts(
                Version::HTTP_11,
                "/",
                &[("connection", "upgrade"), ("upgrade", granted)],
            );
            let asked = asked.map(HeaderValue::from_static);
            strip_response(
                StatusCode::SWITCHING_PROTOCOLS,
                &mut parts.headers,
                asked.as_ref(),
            )
        };
        assert!(answer("websocket", Some("WebSocket")).is_ok());
        assert!(answer("websocket", Some("h2c, websocket")).is_ok());
        assert!(answer("websocket", None).is_err());
        assert!(answer("h2c", Some("websocket")).is_err());
    }
}
