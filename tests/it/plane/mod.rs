//! The data plane, proved with the real program between practice servers: what goes through,
//! what is refused, and what each side sees of the other.

mod ages;
mod answers;
mod clients;
mod counts;
mod forwarding;
mod framing;
mod http2;
mod limits;
mod protocols;
mod replay;
mod resets;
mod reuse;
mod routes;
mod slow;
mod smuggling;
mod streaming;
mod transparent;
mod upgrades;

use std::time::{Duration, Instant};

use crate::practice::{Api, Issuer, RawBackend};
use crate::support::client::{self, Connection, Wire};
use crate::support::{Sidecar, SidecarBuilder};

/// An issuer, an API and the sidecar between them.
struct World {
    issuer: Issuer,
    api: Api,
    sidecar: Sidecar,
}

impl World {
    /// An ordinary one.
    async fn new() -> Self {
        Self::with(|sidecar| sidecar).await
    }

    /// The same with another configuration. A rejected token is always renewed.
    async fn with(change: impl FnOnce(SidecarBuilder) -> SidecarBuilder) -> Self {
        let issuer = Issuer::start().await;
        let api = Api::start(&issuer).await;
        let sidecar = Sidecar::between(&issuer, &api).grant("renew_floor = '0s'");
        let sidecar = change(sidecar).start().await;
        Self {
            issuer,
            api,
            sidecar,
        }
    }
}

/// A backend below HTTP behind the sidecar.
struct Raw {
    issuer: Issuer,
    backend: RawBackend,
    sidecar: Sidecar,
}

impl Raw {
    /// A backend that answers each request with 200 and no content.
    async fn new() -> Self {
        let answer = "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 0\r\n\r\n";
        Self::behind(RawBackend::answering(answer).await, |sidecar| sidecar).await
    }

    /// This backend, and another configuration.
    async fn behind(
        backend: RawBackend,
        change: impl FnOnce(SidecarBuilder) -> SidecarBuilder,
    ) -> Self {
        let issuer = Issuer::start().await;
        let sidecar = Sidecar::builder().issuer(&issuer).upstream(&backend.url());
        let sidecar = change(sidecar).start().await;
        Self {
            issuer,
            backend,
            sidecar,
        }
    }

    /// What reached the backend, with `TOKEN` and `HOST` where those stand.
    fn reached(&self) -> String {
        let token = self.issuer.access_token().unwrap();
        let host = self.backend.url();
        let text = self.backend.text().replace(&token, "TOKEN");
        text.replace(host.trim_start_matches("http://"), "HOST")
    }
}

/// A sidecar with a route for each of these upstreams, `/0` and so on, with more keys for each.
async fn lanes(
    issuer: &Issuer,
    upstreams: impl IntoIterator<Item = (String, impl AsRef<str>)>,
    change: impl FnOnce(SidecarBuilder) -> SidecarBuilder,
) -> Sidecar {
    let mut sidecar = change(Sidecar::builder().issuer(issuer));
    for (place, (url, keys)) in upstreams.into_iter().enumerate() {
        let keys = keys.as_ref();
        let route = format!("grant = 'crm'\npath = '/{place}'\nupstream = '{url}'\n{keys}");
        sidecar = match place {
            0 => sidecar.route(&route),
            _ => sidecar.config(&format!("[[route]]\n{route}")),
        };
    }
    sidecar.start().await
}

/// The lines of a head, sorted behind the first one; what follows the head is left out.
fn head(text: &str) -> Vec<&str> {
    let head = text.split("\r\n\r\n").next().unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    lines
}

/// The status of an answer's text; 0 where there is none.
fn status(text: &str) -> u16 {
    let line = text.strip_prefix("HTTP/1.").unwrap_or_default();
    let status = line.split(' ').nth(1);
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Reads one answer's head as text.
async fn head_of(wire: &mut Wire) -> String {
    String::from_utf8_lossy(&wire.until(b"\r\n\r\n").await).into_owned()
}

/// Two connections to the proxy: one of HTTP/1.1 and one of HTTP/2.
async fn both(sidecar: &Sidecar) -> [Connection; 2] {
    [sidecar.connect().await, sidecar.connect_http2().await]
}

/// Waits until no request runs any more.
async fn settled(sidecar: &Sidecar) {
    eventually(sidecar, "bearward_requests_in_flight", 0.0).await;
}

/// Waits until the sum of a metric is this.
async fn eventually(sidecar: &Sidecar, name: &str, expected: f64) {
    eventually_of(sidecar, name, &[], expected).await;
}

/// The same of those samples that carry these labels.
async fn eventually_of(sidecar: &Sidecar, name: &str, labels: &[(&str, &str)], expected: f64) {
    let patience = Instant::now() + client::PATIENCE;
    loop {
        let now = sidecar.metrics().await.sum(name, labels);
        if now == expected {
            return;
        }
        assert!(Instant::now() < patience, "{name} stays at {now}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
