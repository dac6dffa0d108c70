//! The log: text and JSON, one line per event whatever a stranger sends.

use serde_json::{Value, json};

use crate::practice::{Api, Issuer, Reply};
use crate::support::{Sidecar, client};

/// What a terminal or a reader of lines would stumble over.
const EVIL: &str = "evil\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{7}\u{9b}31m";

#[tokio::test]
async fn a_request_is_one_line_without_query_and_header() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api)
        .config("log.level = 'info'")
        .route("path = '/api'")
        .start()
        .await;
    let mut request = client::post("/api/orders?card=4111-1111", "a body");
    request
        .headers_mut()
        .insert("x-private", "header-value-of-mine".parse().unwrap());
    assert_eq!(sidecar.send(request).await.status, 200);
    let event = sidecar.logged(|event| event.message == "request").await;
    let fields: Vec<_> = event.fields.keys().map(String::as_str).collect();
    let expected = "bytes duration_ms level message method reason route status target timestamp";
    assert_eq!(fields.join(" "), expected);
    assert_eq!(
        (event.field("method"), event.field("route")),
        ("POST".into(), "/api".into())
    );
    assert_eq!(
        (event.field("status"), event.field("reason")),
        ("200".into(), "forwarded".into())
    );
    // A call without a route is told too, without its path, which anybody may choose.
    assert_eq!(sidecar.get("/forbidden/4111-2222").await.status, 404);
    let event = sidecar
        .logged(|event| event.field("reason") == "no_route")
        .await;
    assert_eq!(
        (event.field("method"), event.field("status")),
        ("GET".into(), "404".into())
    );
    let all = format!("{:?}", sidecar.logs());
    for private in ["4111", "header-value-of-mine", "a body", "/orders"] {
        assert!(!all.contains(private), "{private}");
    }
}

#[tokio::test]
async fn levels_are_kept() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = || Sidecar::between(&issuer, &api).config("log.requests = false");
    let mut sidecar = plan().config("log.level = 'info'").start().await;
    sidecar.get("/").await;
    sidecar.stop().await;
    let levels: std::collections::BTreeSet<_> = sidecar
        .logs()
        .into_iter()
        .map(|event| event.level)
        .collect();
    assert_eq!(levels, ["INFO".to_owned()].into());
    assert!(
        sidecar
            .logs()
            .iter()
            .all(|event| event.message != "request")
    );
}

/// Starts with this format and lets strangers say evil things; gives standard error.
async fn provoked(format: &str) -> Vec<String> {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let socket = |plan: &crate::support::SidecarBuilder, name: &str| {
        format!("unix:{}", plan.home().join(name).display())
    };
    let plan = Sidecar::between(&issuer, &api);
    let (proxy, admin) = (socket(&plan, "proxy.sock"), socket(&plan, "admin.sock"));
    let plan = plan.config(&format!(
        "proxy.listen = {proxy:?}\nadmin.listen = {admin:?}\nlog.format = '{format}'\nlog.level = 'debug'"
    ));
    issuer.next(Reply::json(
        400,
        &json!({ "error": EVIL, "error_description": EVIL }),
    ));
    let text = plan.run_until(async |address| {
        let escaped = "GET /%0aforged%1b[31m HTTP/1.1\r\nhost: a\r\nx-evil: \u{1b}[31mred\r\nconnection: close\r\n\r\n";
        address.exchange(escaped).await;
        address.exchange("GET /\u{1b}[31m HTTP/1.1\r\nhost: a\r\n\r\n").await;
        address.exchange("EV\u{1b}IL / HTTP/1.1\r\nhost: \u{7}\r\n\r\n").await;
    }, proxy.strip_prefix("unix:").unwrap()).await;
    assert!(
        text.iter().any(|line| line.contains("refresh failed")),
        "{text:#?}"
    );
    text
}

#[tokio::test]
async fn no_stranger_breaks_a_line_of_text() {
    for line in provoked("text").await {
        let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        assert!(
            time.parse::<jiff::Timestamp>().is_ok(),
            "a forged line: {line:?}"
        );
        let level = rest.trim_start().split(' ').next().unwrap();
        assert!(
            ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level),
            "{line:?}"
        );
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[tokio::test]
async fn no_stranger_breaks_a_line_of_json() {
    for line in provoked("json").await {
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(
            event["timestamp"]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .is_ok()
        );
        assert!(
            event["level"].is_string() && event["message"].is_string(),
            "{line}"
        );
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
