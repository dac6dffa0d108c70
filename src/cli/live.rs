//! `bearward check --live`: asks everybody the configuration names, and spends nothing.

use super::{Failure, say};
use crate::config::{Config, Grant, GrantName, Route};
use crate::grant::Status;
use crate::issuer::Issuer;
use crate::oauth::Metadata;
use crate::store::{self, ErrorKind};
use crate::telemetry::chain;
use crate::tls::Alpn;
use crate::upstream::Dialer;

/// Checks every grant and every route, says what was found, and fails if anything did.
pub(super) async fn check(config: &Config) -> Result<(), Failure> {
    let mut failed = 0;
    for (name, section) in &config.grant {
        say(&format!("\ngrant `{name}`"));
        failed += report("issuer", issuer(section).await);
        failed += report("stored grant", store(name, section).await);
    }
    for section in &config.route {
        let host = section.host.as_deref().unwrap_or_default();
        say(&format!("\nroute `{host}{}`", section.path));
        failed += report("upstream", upstream(section).await);
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        failed => Err(Failure::new(format!("{failed} checks failed"))),
    }
}

/// Lines of findings, or what went wrong.
type Findings = Result<Vec<(&'static str, String)>, Trouble>;

/// What went wrong, with the way out where it is known.
struct Trouble {
    message: String,
    hint: Option<String>,
}

impl Trouble {
    fn of(error: &dyn std::error::Error) -> Self {
        Self {
            message: chain(error),
            hint: None,
        }
    }
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::of(&error)
        }
    }
}

/// Says what was found, and counts what failed.
fn report(what: &str, findings: Findings) -> usize {
    let line = |what: &str, found: &str| say(&format!("  {what:<24}  {found}"));
    match findings {
        Ok(lines) => {
            for (what, found) in lines {
                line(what, &found);
            }
            0
        }
        Err(trouble) => {
            line(what, &format!("FAILED: {}", trouble.message));
            if let Some(hint) = trouble.hint {
                line("", &format!("hint: {hint}"));
            }
            1
        }
    }
}

async fn issuer(section: &Grant) -> Findings {
    let issuer = Issuer::new(section).map_err(|error| Trouble::of(&error))?;
    if section.issuer.is_none() {
        let endpoint = section
            .refresh
            .url
            .as_ref()
            .or(section.token_endpoint.as_ref());
        let endpoint = endpoint.map_or_else(|| String::from("none"), ToString::to_string);
        return Ok(vec![(
            "token endpoint",
            format!("{endpoint} (by hand, not asked)"),
        )]);
    }
    let metadata = issuer.discover().await;
    let metadata = metadata.map_err(|error| Trouble::of(&error))?;
    Ok(told(section, &metadata))
}

fn told(section: &Grant, metadata: &Metadata) -> Vec<(&'static str, String)> {
    let endpoint = |by_hand: &Option<crate::config::Url>, found: &Option<crate::config::Url>| match (
        by_hand, found,
    ) {
        (Some(by_hand), _) => format!("{by_hand} (by hand)"),
        (None, Some(found)) => found.to_string(),
        (None, None) => String::from("not told"),
    };
    let list = |list: &Option<Vec<String>>| match list {
        Some(list) => list.join(" "),
        None => String::from("not told"),
    };
    let offline = match &metadata.scopes_supported {
        Some(scopes) if scopes.iter().any(|scope| scope == "offline_access") => "yes",
        Some(_) => "no",
        None => "not told",
    };
    vec![
        ("issuer", metadata.issuer.clone()),
        (
            "token endpoint",
            endpoint(&section.token_endpoint, &metadata.token_endpoint),
        ),
        (
            "authorization endpoint",
            endpoint(
                &section.authorization_endpoint,
                &metadata.authorization_endpoint,
            ),
        ),
        (
            "device endpoint",
            endpoint(
                &section.device_authorization_endpoint,
                &metadata.device_authorization_endpoint,
            ),
        ),
        (
            "revocation endpoint",
            endpoint(&section.revocation_endpoint, &metadata.revocation_endpoint),
        ),
        ("offline_access in scopes", offline.to_owned()),
        (
            "client authentication",
            list(&metadata.token_endpoint_auth_methods_supported),
        ),
    ]
}

/// Opens the store, or looks at it where a running process holds it.
async fn store(name: &GrantName, section: &Grant) -> Findings {
    let metrics = store::Metrics::register(&prometheus::Registry::new());
    let metrics = metrics.map_err(|error| Trouble::of(&error))?;
    let (record, held) = match store::open(&section.store, name, &metrics).await {
        Ok(store) => (store.load().await, ""),
        Err(error) if error.kind == ErrorKind::Held => (
            store::peek(&section.store, name).await,
            " (held by a running process)",
        ),
        Err(error) => (Err(error), ""),
    };
    let record = record?;
    let status = Status::of(name, record.as_ref(), jiff::Timestamp::now());
    let grant = match (&status.refresh_token, &status.obtained_at) {
        (Some(fingerprint), Some(since)) => {
            format!(
                "{}, refresh token {fingerprint}, since {since}{held}",
                status.state
            )
        }
        _ => format!("none{held}"),
    };
    Ok(vec![("stored grant", grant)])
}

async fn upstream(section: &Route) -> Findings {
    let timeout = section.connect_timeout.duration();
    let alpn = Alpn::from(section.http);
    let dialer = Dialer::new(&section.upstream, &section.tls, alpn, timeout)
        .map_err(|error| Trouble::of(&error))?;
    let wire = dialer.connect().await.map_err(|error| Trouble {
        message: format!("{}: {}", section.upstream, chain(&error)),
        hint: None,
    })?;
    let protocol = if wire.is_h2() { "HTTP/2" } else { "HTTP/1.1" };
    Ok(vec![(
        "upstream",
        format!("{} (connected, {protocol})", section.upstream),
    )])
}
