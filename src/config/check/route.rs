//! `[[route]]`: a place to go, a grant to go with, and no two for the same call.

use crate::config::document::Path;
use crate::config::fault::{Findings, Problem, quoted};
use crate::config::nearest::nearest;
use crate::config::values::GrantName;
use crate::config::{Config, ExpiredRule, Route};

use super::field;
use super::grant::dotted;
use super::proxy::number_within;

pub(super) fn check(at: &Path, route: &Route, findings: &mut Findings<'_>) {
    if let Some(host) = &route.host {
        check_host(&at.key("host"), host, findings);
    }
    path(&at.key("path"), &route.path, findings);
    upstream(&at.key("upstream"), route, findings);
    field::table(&at.key("headers"), &route.headers, findings);
    for (index, rule) in route.expired_when.iter().enumerate() {
        expired_rule(&at.key("expired_when").index(index), rule, findings);
    }
    let fields = u32::from(route.max_headers);
    number_within(&at.key("max_headers"), fields, 1..=10_000, findings);
    times(at, route, findings);
    super::tls(&at.key("tls"), &route.tls, findings);
}

fn check_host(at: &Path, host: &str, findings: &mut Findings<'_>) {
    if field::is_host(host) {
        return;
    }
    let without_port = host.rsplit_once(':').is_some_and(|(host, port)| {
        field::is_host(host) && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let hint = if without_port {
        "leave out the port: a route takes the host's calls on any"
    } else if host.contains("://") {
        "write the bare host name that the service asks for, without a scheme"
    } else if host.contains('*') {
        "there are no patterns; leave out `host` to take every host"
    } else {
        "write a host name, such as `api.internal`"
    };
    findings.at(at, Problem::new("this is not a host name").hint(hint));
}

fn path(at: &Path, path: &str, findings: &mut Findings<'_>) {
    let lower = path.to_ascii_lowercase().replace("%2e", ".");
    let problem = if !path.starts_with('/') {
        Problem::new("a path begins with `/`").hint(if path.is_empty() {
            "write `/` for every path"
        } else {
            "put a `/` in front"
        })
    } else if path.contains(['?', '#']) {
        Problem::new("a path ends before `?` and `#`").hint("a route is chosen by the path alone")
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Problem::new("a path has only printable ASCII characters")
            .hint("percent-encode the others, as the service sends them")
    } else if lower
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        Problem::new("a path has no `.` and `..` segments").hint("write the path they lead to")
    } else {
        return;
    };
    findings.at(at, problem);
}

fn upstream(at: &Path, route: &Route, findings: &mut Findings<'_>) {
    if !route.allow_plaintext {
        super::transport(at, &route.upstream, findings);
    }
    if route.upstream.uri().query().is_some() {
        let problem = Problem::new("an upstream has no query")
            .hint("the service's own query is passed on; leave this one out");
        findings.at(at, problem);
    }
}

fn expired_rule(at: &Path, rule: &ExpiredRule, findings: &mut Findings<'_>) {
    if !(100..=599).contains(&rule.status) {
        let problem = Problem::new("this is not the status of an answer")
            .hint("a status is between 100 and 599");
        findings.at(&at.key("status"), problem);
    }
    let bare = rule.json.is_none() && rule.body.is_none();
    let told = ["json", "body", "equals", "prefix"]
        .iter()
        .all(|key| findings.sound(&at.key(key)));
    if rule.status == 401 && bare && told {
        let problem = Problem::new("401 means a rejected token already").hint("remove this rule");
        findings.at(&at.key("status"), problem);
    }
    if (200..=299).contains(&rule.status) && bare && told {
        let problem = Problem::new("every success would be taken for a rejected token")
            .hint("say what in the answer tells it: `json`, with `equals` or `prefix`, or `body`");
        findings.at(&at.key("status"), problem);
    }
    if let Some(path) = &rule.json {
        dotted(&at.key("json"), path, findings);
    }
    for (key, given) in [
        ("equals", rule.equals.is_some()),
        ("prefix", rule.prefix.is_some()),
    ] {
        if given && rule.json.is_none() && findings.sound(&at.key("json")) {
            let problem = Problem::new(format!("`{key}` needs `json` beside it"))
                .hint("`json` is the path of the member that is compared, such as `error.code`");
            findings.at(&at.key(key), problem);
        }
    }
    if rule.equals.is_some() && rule.prefix.is_some() {
        let problem =
            Problem::new("`equals` and `prefix` say the same twice").hint("keep one of them");
        findings.at(&at.key("prefix"), problem);
    }
    for (key, text) in [("prefix", &rule.prefix), ("body", &rule.body)] {
        if text.as_ref().is_some_and(String::is_empty) {
            let problem =
                Problem::new("an empty text is found everywhere").hint("write what to look for");
            findings.at(&at.key(key), problem);
        }
    }
}

fn times(at: &Path, route: &Route, findings: &mut Findings<'_>) {
    super::period(&at.key("connect_timeout"), route.connect_timeout, findings);
    super::deadline(
        &at.key("response_timeout"),
        route.response_timeout,
        findings,
    );
    super::deadline(&at.key("body_timeout"), route.body_timeout, findings);
    if let Some(age) = route.max_stream_age {
        super::period(&at.key("max_stream_age"), age, findings);
    }
    let pool = at.key("pool");
    super::deadline(&pool.key("idle_timeout"), route.pool.idle_timeout, findings);
    super::deadline(&pool.key("max_age"), route.pool.max_age, findings);
    number_within(
        &pool.key("max_connections"),
        route.pool.max_connections,
        1..=1_000_000,
        findings,
    );
}

/// Each route's grant exists, and its headers leave the injected field alone.
pub(super) fn against_grants(config: &Config, findings: &mut Findings<'_>) {
    for (index, route) in config.route.iter().enumerate() {
        let at = Path::of("route").index(index);
        let Some(grant) = config.grant.get(&route.grant) else {
            // A grant whose table is at fault may be missing here for that reason alone.
            if findings.sound(&Path::of("grant").key(route.grant.as_str())) {
                findings.at(&at.key("grant"), unknown_grant(config, &route.grant));
            }
            continue;
        };
        for name in route.headers.keys() {
            if name.eq_ignore_ascii_case(&grant.inject.header) {
                let problem = Problem::new(format!("{} carries the access token", quoted(name)))
                    .hint("remove it here; `inject` of the grant says how it is written");
                findings.at_key(&at.key("headers").key(name), problem);
            }
        }
    }
}

fn unknown_grant(config: &Config, name: &GrantName) -> Problem {
    let names = || config.grant.keys().map(GrantName::as_str);
    let hint = if let Some(near) = nearest(name.as_str(), names()) {
        format!("did you mean `{near}`?")
    } else if config.grant.is_empty() {
        format!("add a table `[grant.{name}]`")
    } else {
        let known: Vec<_> = names().take(10).map(|name| format!("`{name}`")).collect();
        format!(
            "add a table `[grant.{name}]`, or name one that is there: {}",
            known.join(", ")
        )
    };
    Problem::new(format!("there is no grant `{name}`")).hint(hint)
}

/// Of two routes for the same calls one would never be taken.
pub(super) fn against_each_other(routes: &[Route], findings: &mut Findings<'_>) {
    let mut seen: Vec<(Option<String>, &str, Path)> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let at = Path::of("route").index(index);
        if !findings.sound(&at.key("host")) || !findings.sound(&at.key("path")) {
            continue;
        }
        let host = route.host.as_ref().map(|host| host.to_ascii_lowercase());
        let path = route.path.trim_end_matches('/');
        match seen.iter().find(|(h, p, _)| (h, *p) == (&host, path)) {
            Some((_, _, first)) => {
                let line = findings.line(first);
                let problem = Problem::new("another route takes the same host and path").hint(
                    format!("it begins on line {line}; change `host` or `path` of one of them"),
                );
                findings.at(&at, problem);
            }
            None => seen.push((host, path, at)),
        }
    }
}
