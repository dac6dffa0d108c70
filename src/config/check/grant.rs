//! `[grant.NAME]`: a grant that can be refreshed, by a client that can prove itself.

use std::collections::BTreeMap;

use crate::config::document::Path;
use crate::config::fault::{Findings, Problem};
use crate::config::predicate::{Predicate, is_path};
use crate::config::source::Text;
use crate::config::{ClientAuth, Grant, Inject, Lifetime, Names, Response, RotationRule};

use super::{authorize, field};

pub(super) fn check(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    endpoints(at, grant, findings);
    client(at, grant, findings);
    scope(at, grant, findings);
    times(at, grant, findings);
    lifetime(&at.key("lifetime"), &grant.lifetime, findings);
    authorize::check(at, grant, findings);
    refresh(&at.key("refresh"), grant, findings);
    names(&at.key("names"), &grant.names, findings);
    response(&at.key("response"), &grant.response, findings);
    lists(at, grant, findings);
    token_headers(&at.key("token_headers"), grant, findings);
    inject(&at.key("inject"), &grant.inject, findings);
    super::store::check(&at.key("store"), &grant.store, findings);
    super::tls(&at.key("tls"), &grant.tls, findings);
}

fn endpoints(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    for (key, url) in [
        ("issuer", &grant.issuer),
        ("token_endpoint", &grant.token_endpoint),
        ("authorization_endpoint", &grant.authorization_endpoint),
        (
            "device_authorization_endpoint",
            &grant.device_authorization_endpoint,
        ),
        ("revocation_endpoint", &grant.revocation_endpoint),
        (
            "pushed_authorization_request_endpoint",
            &grant.pushed_authorization_request_endpoint,
        ),
        ("jwks_uri", &grant.jwks_uri),
    ] {
        if let (Some(url), false) = (url, grant.allow_plaintext) {
            super::transport(&at.key(key), url, findings);
        }
    }
    let issuer = at.key("issuer");
    if grant
        .issuer
        .as_ref()
        .is_some_and(|url| url.uri().query().is_some())
    {
        let problem = Problem::new("an issuer has no query (RFC 8414 §2)")
            .hint("set `token_endpoint` by hand if the server needs one");
        findings.at(&issuer, problem);
    }
    let known =
        grant.issuer.is_some() || grant.token_endpoint.is_some() || grant.refresh.url.is_some();
    let told = [
        issuer,
        at.key("token_endpoint"),
        at.key("refresh").key("url"),
    ];
    if !known && told.iter().all(|path| findings.sound(path)) {
        let problem = Problem::new("nothing says where this grant is refreshed")
            .hint("set `issuer`, whose endpoints are then discovered, or `token_endpoint`");
        findings.at(at, problem);
    }
}

/// Client authentication and the secret go together, at login and on a refresh.
fn client(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    if grant.client_id.is_empty() || grant.client_id.contains(char::is_control) {
        let problem = Problem::new("this cannot be the identifier of a client")
            .hint("write what the authorization server gave out at registration");
        findings.at(&at.key("client_id"), problem);
    }
    let secret = at.key("client_secret");
    let refresh = at.key("refresh").key("client_auth");
    for (at, auth) in [
        (at.key("client_auth"), grant.client_auth),
        (refresh.clone(), grant.refresh.client_auth),
    ] {
        let needs = matches!(
            auth,
            Some(ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretPost)
        );
        if needs && grant.client_secret.is_none() && findings.sound(&secret) {
            let problem = Problem::new("this needs a `client_secret`").hint(
                "add `client_secret = { file = \"/path/to/it\" }`, or set `\"none\"` for a public client",
            );
            findings.at(&at, problem);
        }
    }
    let never = grant.client_auth == Some(ClientAuth::None)
        && matches!(grant.refresh.client_auth, None | Some(ClientAuth::None));
    if never && grant.client_secret.is_some() && findings.sound(&refresh) {
        let problem =
            Problem::new("there is a secret, but `client_auth = \"none\"` never sends it")
                .hint("remove one of the two");
        findings.at(&secret, problem);
    }
}

fn scope(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    let separator = &grant.scope_separator;
    if separator.is_empty() {
        findings.at(
            &at.key("scope_separator"),
            Problem::new("something must stand between two scopes"),
        );
        return;
    }
    for (index, scope) in grant.scope.iter().enumerate() {
        let at = at.key("scope").index(index);
        if scope.is_empty() || scope.contains(char::is_control) {
            findings.at(
                &at,
                Problem::new("a scope is neither empty nor has control characters in it"),
            );
        } else if scope.contains(separator) {
            let problem = Problem::new("this is more than one scope")
                .hint("write each as a text of its own: `[\"one\", \"two\"]`");
            findings.at(&at, problem);
        }
    }
    if grant.refresh.scope && grant.scope.is_empty() && findings.sound(&at.key("scope")) {
        let problem = Problem::new("there is no scope to send").hint("set `scope`, or remove this");
        findings.at(&at.key("refresh").key("scope"), problem);
    }
}

fn times(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    super::period(&at.key("connect_timeout"), grant.connect_timeout, findings);
    super::period(&at.key("token_timeout"), grant.token_timeout, findings);
    super::deadline(
        &at.key("default_expires_in"),
        grant.default_expires_in,
        findings,
    );
}

fn lifetime(at: &Path, lifetime: &Lifetime, findings: &mut Findings<'_>) {
    for (key, period) in [("idle", lifetime.idle), ("absolute", lifetime.absolute)] {
        if let Some(period) = period {
            super::period(&at.key(key), period, findings);
        }
    }
    let window = !lifetime.replay_window.duration().is_zero();
    if window && lifetime.rotation == RotationRule::Never && findings.sound(&at.key("rotation")) {
        let problem = Problem::new("a refresh token that never changes can always be sent again")
            .hint("remove this, or set `rotation = \"auto\"`");
        findings.at(&at.key("replay_window"), problem);
    }
}

/// Parameters that are secrets wherever they go.
pub(super) const SECRET_PARAMS: [&str; 5] = [
    "client_secret",
    "refresh_token",
    "client_assertion",
    "assertion",
    "password",
];

fn refresh(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    if let (Some(url), false) = (&grant.refresh.url, grant.allow_plaintext) {
        super::transport(&at.key("url"), url, findings);
    }
    params(&at.key("params"), &grant.refresh.params, findings);
}

/// Further parameters of a request: named, and none a secret that stands in the file.
pub(super) fn params(at: &Path, params: &BTreeMap<String, Text>, findings: &mut Findings<'_>) {
    for (name, value) in params {
        let at = at.key(name);
        if name.is_empty() {
            findings.at_key(&at, Problem::new("a parameter needs a name"));
        }
        let secret = SECRET_PARAMS.contains(&name.as_str());
        if matches!(value, Text::Literal(text) if secret && !text.is_empty()) {
            findings.at(&at, Problem::inline_secret());
        }
    }
}

fn names(at: &Path, names: &Names, findings: &mut Findings<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (key, name) in [
        ("client_id", &names.client_id),
        ("client_secret", &names.client_secret),
        ("grant_type", &names.grant_type),
        ("refresh_token", &names.refresh_token),
        ("scope", &names.scope),
        ("redirect_uri", &names.redirect_uri),
        ("code", &names.code),
    ] {
        if name.is_empty() {
            let problem = Problem::new("a parameter needs a name").hint(
                "to leave out a parameter of a refresh, set it to `\"\"` in `refresh.params`",
            );
            findings.at(&at.key(key), problem);
        } else if seen.contains(&name.as_str()) {
            findings.at(
                &at.key(key),
                Problem::new("another parameter has this name already"),
            );
        }
        seen.push(name);
    }
}

fn response(at: &Path, response: &Response, findings: &mut Findings<'_>) {
    let paths = [
        ("access_token", Some(&response.access_token)),
        ("refresh_token", Some(&response.refresh_token)),
        ("expires_in", Some(&response.expires_in)),
        ("expires_at", Some(&response.expires_at)),
        ("refresh_expires_in", response.refresh_expires_in.as_ref()),
        ("scope", Some(&response.scope)),
        ("error", Some(&response.error)),
    ];
    for (key, path) in paths {
        if let Some(path) = path {
            dotted(&at.key(key), path, findings);
        }
    }
    if let Some(Err(fault)) = response.ok.as_ref().map(|text| text.parse::<Predicate>()) {
        findings.at(
            &at.key("ok"),
            Problem::new(fault.problem).hint(fault.remedy),
        );
    }
}

/// A path to a member of a JSON body.
pub(super) fn dotted(at: &Path, path: &str, findings: &mut Findings<'_>) {
    if !is_path(path) {
        let problem = Problem::new("this is not a path to a member")
            .hint("write the names of members with dots between them, such as `data.access_token`");
        findings.at(at, problem);
    }
}

fn lists(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    for (index, path) in grant.capture.iter().enumerate() {
        dotted(&at.key("capture").index(index), path, findings);
    }
    for (index, code) in grant.dead.iter().enumerate() {
        if code.is_empty() {
            findings.at(
                &at.key("dead").index(index),
                Problem::new("an error code is not empty"),
            );
        }
    }
}

fn token_headers(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    field::table(at, &grant.token_headers, findings);
    let basic = match grant.refresh.client_auth.or(grant.client_auth) {
        None => grant.client_secret.is_some(),
        Some(auth) => auth == ClientAuth::ClientSecretBasic,
    };
    for (name, value) in &grant.token_headers {
        let at = at.key(name);
        if basic && name.eq_ignore_ascii_case("authorization") {
            let problem =
                Problem::new("client authentication by `client_secret_basic` writes this field")
                    .hint("remove it here, or set `client_auth` to another method");
            findings.at_key(&at, problem);
        }
        if let Text::Literal(text) = value
            && has_unknown_variable(text)
        {
            let problem = Problem::new("only `${uuid}` and `${now}` stand for something here")
                .hint("for a secret write `{ file = \"/path/to/it\" }` in place of the text");
            findings.at(&at, problem);
        }
    }
}

/// True for a text with a `${…}` that means nothing.
fn has_unknown_variable(text: &str) -> bool {
    let mut rest = text.split("${").skip(1);
    rest.any(|rest| !rest.starts_with("uuid}") && !rest.starts_with("now}"))
}

fn inject(at: &Path, inject: &Inject, findings: &mut Findings<'_>) {
    match field::name(&inject.header) {
        None => {
            let problem = Problem::new("this is not the name of a header field")
                .hint("use letters, digits and `-`");
            findings.at(&at.key("header"), problem);
        }
        Some(name) if field::is_of_the_connection(&name) => {
            findings.at(&at.key("header"), field::of_the_connection(&name));
        }
        Some(_) => {}
    }
    // A scheme is a token (RFC 9110 §11.1), as the name of a field is.
    if !inject.scheme.is_empty() && field::name(&inject.scheme).is_none() {
        let problem = Problem::new("this is not an authentication scheme")
            .hint("write one word, such as `Bearer`, or `\"\"` for the bare token");
        findings.at(&at.key("scheme"), problem);
    }
}
