//! Which call goes where: by host, by whole segments of the path, the longest first.

use super::{World, status};
use crate::practice::{Api, Issuer};
use crate::support::{Sidecar, SidecarBuilder};

fn route(sidecar: SidecarBuilder, api: &Api, text: &str) -> SidecarBuilder {
    let (keys, base) = text.split_once(" -> ").unwrap();
    let upstream = format!("{}{base}", api.url());
    sidecar.config(&format!(
        "[[route]]\ngrant = 'crm'\nupstream = '{upstream}'\n{}",
        keys.replace("; ", "\n")
    ))
}

/// The first route takes `/own`; these stand beside it.
const ROUTES: [&str; 8] = [
    "path = '/crm' -> /one",
    "path = '/crm/v2/' -> /two/",
    "path = '/cut'; strip_prefix = true -> ",
    "path = '/cut/deep'; strip_prefix = true -> /base",
    "host = 'billing.internal' -> /billing",
    "host = 'billing.internal'; path = '/crm' -> /billing-crm",
    "host = '[::1]'; path = '/six' -> /six-base",
    "path = '/case' -> ",
];

/// Host, target, and what arrives; nothing where there is no such route.
const CALLS: [(&str, &str, Option<&str>); 32] = [
    ("a", "/own", Some("/own")),
    ("a", "/own/x?y=/..", Some("/own/x?y=/..")),
    ("a", "/", None),
    ("a", "/owner", None),
    ("a", "/crm", Some("/one/crm")),
    ("a", "/crm/", Some("/one/crm/")),
    ("a", "/crm?a=b", Some("/one/crm?a=b")),
    ("a", "/crm/v1//x", Some("/one/crm/v1//x")),
    ("a", "/crmx", None),
    ("a", "/crm%2fx", None),
    ("a", "/CRM", None),
    ("a", "//crm", None),
    ("a", "/crm/v2", Some("/two/crm/v2")),
    ("a", "/crm/v2/x", Some("/two/crm/v2/x")),
    ("a", "/crm/v22", Some("/one/crm/v22")),
    ("a", "/cut", Some("/")),
    ("a", "/cut?a", Some("/?a")),
    ("a", "/cut/", Some("/")),
    ("a", "/cut/x%2Fy", Some("/x%2Fy")),
    ("a", "/cut//evil.example/x", Some("//evil.example/x")),
    ("a", "/cut/deep", Some("/base")),
    ("a", "/cut/deep?q", Some("/base?q")),
    ("a", "/cut/deep/x", Some("/base/x")),
    ("a", "/cut/deeper", Some("/deeper")),
    ("billing.internal", "/any", Some("/billing/any")),
    ("BILLING.internal:8080", "/", Some("/billing/")),
    ("billing.internal", "/crm/x", Some("/billing-crm/crm/x")),
    ("billing.internal", "/own", Some("/billing/own")),
    ("billing.internal.evil", "/any", None),
    ("[::1]:80", "/six", Some("/six-base/six")),
    ("a", "/case", Some("/case")),
    ("a", "/Case", None),
];

/// Paths that would leave their route once somebody on the way normalises them.
const ESCAPES: [&str; 16] = [
    "/crm/../own",
    "/crm/..",
    "/crm/x/../../own",
    "/crm/%2e%2e/own",
    "/crm/.%2E/own",
    "/crm/..%2fown",
    "/crm/..%5Cown",
    "/crm/..;x=1/own",
    "/cut/../own",
    "/cut/deep/..\\..\\own",
    // Two names for who decodes the slash, and one for who does not.
    "/crm/a%2fb/../../own",
    "/crm/a\\b/../../own",
    // For who decodes twice, or cuts something off.
    "/crm/%252e%252e/own",
    "/crm/..%252fown",
    "/crm/..%3b/own",
    "/crm/..%00/own",
];

async fn house() -> (Issuer, Api, Sidecar) {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut sidecar = Sidecar::between(&issuer, &api).route("path = '/own'");
    for text in ROUTES {
        sidecar = route(sidecar, &api, text);
    }
    let sidecar = sidecar.start().await;
    (issuer, api, sidecar)
}

#[tokio::test]
async fn the_longest_path_of_the_right_host_takes_the_call() {
    let (_issuer, api, sidecar) = house().await;
    for (host, target, expected) in CALLS {
        let what = format!("{host} {target}");
        let count = api.requests().len();
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = sidecar.proxy().exchange(request).await;
        let Some(expected) = expected else {
            assert_eq!(status(&answer), 404, "{what}: {answer}");
            assert!(answer.contains("\"error\":\"no_route\""), "{answer}");
            assert!(answer.contains("error=destination_not_found"), "{answer}");
            assert_eq!(api.requests().len(), count, "{what}");
            continue;
        };
        assert_eq!(status(&answer), 200, "{what}: {answer}");
        assert_eq!(api.last().unwrap().path(), expected, "{what}");
    }
    // The URL in the request line wins over `Host` (RFC 9112 §3.2.2).
    let request = "GET http://billing.internal/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&sidecar.proxy().exchange(request).await), 200);
    assert_eq!(api.last().unwrap().path(), "/billing/x");
}

#[tokio::test]
async fn a_path_that_would_leave_its_route_is_refused() {
    let (_issuer, api, sidecar) = house().await;
    for target in ESCAPES {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = sidecar.proxy().exchange(request).await;
        assert_eq!(status(&answer), 400, "{target}: {answer}");
        assert!(answer.contains("path_escapes_route"), "{answer}");
    }
    assert!(api.requests().is_empty());
    for target in [
        "/crm/a/../b",
        "/crm/%2e/x",
        "/crm/...",
        "/crm/a..b",
        "/crm/a%2fb/../c",
        "/crm/100%25",
        "/crm/a%252e%252e",
    ] {
        assert_eq!(sidecar.get(target).await.status, 200, "{target}");
        assert_eq!(api.last().unwrap().path(), format!("/one{target}"));
    }
}

#[tokio::test]
async fn http2_is_routed_by_its_authority() {
    let (_issuer, api, sidecar) = house().await;
    let mut connection = sidecar.connect_http2().await;
    for (host, expected) in [("billing.internal:443", "/billing/crmx"), ("a", "")] {
        let mut request = crate::support::client::get("/crmx");
        request.headers_mut().insert("host", host.parse().unwrap());
        let answer = connection.send(request).await.unwrap();
        if expected.is_empty() {
            assert_eq!(answer.status, 404);
        } else {
            assert_eq!(answer.status, 200);
            assert_eq!(api.last().unwrap().path(), expected);
        }
    }
}

/// A URL may have one (RFC 9110 §4.2.1), the path of a request to a server is never empty.
#[tokio::test]
async fn a_query_without_a_path_gets_its_slash() {
    for http in ["http1", "http2"] {
        let world = World::with(|sidecar| sidecar.route(&format!("http = '{http}'"))).await;
        let request = "GET http://a?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = world.sidecar.proxy().exchange(request).await;
        assert_eq!(status(&answer), 200, "{http}: {answer}");
        let target = world.api.last().unwrap().target;
        assert_eq!(target.path_and_query().unwrap(), "/?x=1");
    }
}
