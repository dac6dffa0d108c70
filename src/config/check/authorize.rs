//! What a login asks: parameters that are ours to set stay ours, and no secret goes to a browser.

use crate::config::document::Path;
use crate::config::fault::{Findings, Problem};
use crate::config::{Authorize, Grant, Pkce};

use super::grant::{SECRET_PARAMS, params};

/// Parameters that each login makes anew; a fixed one would be no protection.
const OURS: [&str; 6] = [
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "request_uri",
];

pub(super) fn check(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    let section = &grant.authorize;
    let here = at.key("authorize");
    redirect(&here.key("redirect_uri"), section, findings);
    authorization_params(&here.key("params"), section, findings);
    resources(&here.key("resource"), section, findings);
    if section.pkce == Pkce::Off && grant.client_secret.is_none() {
        let problem = Problem::new("nothing would protect the code: there is no `client_secret`")
            .hint("remove this: a public client needs the proof key (RFC 8252 §6)");
        findings.at(&here.key("pkce"), problem);
    }
    for (index, name) in section.capture.iter().enumerate() {
        let secret = name == &grant.names.code || name == "state";
        if name.is_empty() || secret {
            let problem = Problem::new("this is no parameter that may be kept and shown");
            findings.at(&here.key("capture").index(index), problem);
        }
    }
    params(
        &at.key("exchange").key("params"),
        &grant.exchange.params,
        findings,
    );
    params(
        &at.key("device").key("params"),
        &grant.device.params,
        findings,
    );
}

fn redirect(at: &Path, section: &Authorize, findings: &mut Findings<'_>) {
    let Some(url) = &section.redirect_uri else {
        return;
    };
    if url.is_https() {
        return;
    }
    if !url.is_loopback() {
        let problem = Problem::new("the code would travel unprotected over plain `http`").hint(
            "use `http://127.0.0.1:PORT/…`, or an `https` address and `bearward login --paste`",
        );
        findings.at(at, problem);
    }
}

fn authorization_params(at: &Path, section: &Authorize, findings: &mut Findings<'_>) {
    for (name, value) in &section.params {
        let at = at.key(name);
        if name.is_empty() {
            findings.at_key(&at, Problem::new("a parameter needs a name"));
        }
        if SECRET_PARAMS.contains(&name.as_str()) && !value.is_empty() {
            let problem = Problem::new("a secret has no business in a browser's address")
                .hint("remove it: only the token endpoint may see it");
            findings.at_key(&at, problem);
        }
        if OURS.contains(&name.as_str()) {
            let problem = Problem::new("each login sets this itself")
                .hint("remove it; `redirect_uri` and `pkce` are keys of `authorize`");
            findings.at_key(&at, problem);
        }
    }
}

fn resources(at: &Path, section: &Authorize, findings: &mut Findings<'_>) {
    for (index, resource) in section.resource.iter().enumerate() {
        // RFC 8707 §2: an absolute URI without a fragment.
        let absolute = resource
            .split_once(':')
            .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
        if !absolute || resource.contains(['#', ' ']) || resource.contains(char::is_control) {
            let problem = Problem::new("a resource is an absolute URI without a fragment")
                .hint("write it as the server names it, such as `https://api.example.com`");
            findings.at(&at.index(index), problem);
        }
    }
}
