//! The keys of a grant, end to end: what the token request looked like, what reached the API.
//!
//! One program keeps a grant for each row, with a server of its own.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::practice::{Api, ClientAuth, Issuer, Recorded, Reply, TokenRequest};
use crate::support::settings::quoted;
use crate::support::{Sidecar, SidecarBuilder};

/// Stands in a row's keys for the URL of its server.
const ISSUER: &str = "http://issuer";

/// A row: a grant's keys, what the server answers, and what must be seen.
struct Row {
    name: &'static str,
    toml: String,
    /// Nothing: the server's own, strict answer.
    answer: Option<Value>,
    request: Box<dyn Fn(&TokenRequest)>,
    call: Box<dyn Fn(&Recorded)>,
    status: Box<dyn Fn(&Value)>,
}

fn row(name: &'static str, toml: impl Into<String>) -> Row {
    Row {
        name,
        toml: toml.into(),
        answer: None,
        request: Box::new(|_| {}),
        call: Box::new(|_| {}),
        status: Box::new(|_| {}),
    }
}

impl Row {
    fn answer(self, answer: Value) -> Self {
        let answer = Some(answer);
        Self { answer, ..self }
    }

    fn request(self, check: impl Fn(&TokenRequest) + 'static) -> Self {
        let request = Box::new(check);
        Self { request, ..self }
    }

    fn call(self, check: impl Fn(&Recorded) + 'static) -> Self {
        let call = Box::new(check);
        Self { call, ..self }
    }

    fn status(self, check: impl Fn(&Value) + 'static) -> Self {
        let status = Box::new(check);
        Self { status, ..self }
    }
}

fn header<'a>(request: &'a TokenRequest, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn has(request: &TokenRequest, name: &str, value: &str) {
    assert_eq!(
        request.parameters.get(name).map(String::as_str),
        Some(value),
        "`{name}`"
    );
}

fn lacks(request: &TokenRequest, name: &str) {
    assert_eq!(request.parameters.get(name), None, "`{name}`");
}

/// The seconds that the access token was given.
fn life(status: &Value) -> f64 {
    let moment = |name: &str| -> Timestamp { status[name].as_str().unwrap().parse().unwrap() };
    moment("access_token_expires_at")
        .duration_since(moment("refreshed_at"))
        .as_secs_f64()
}

fn lives(status: &Value, wanted: f64) {
    assert!((life(status) - wanted).abs() < 30.0, "{}", life(status));
}

/// Form and target of a request.
fn of_the_form() -> Vec<Row> {
    vec![
        row("usual", "").request(|request| {
            let mut names: Vec<&str> = request.parameters.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["grant_type", "refresh_token"]);
            assert!(
                header(request, "authorization")
                    .unwrap()
                    .starts_with("Basic ")
            );
            assert_eq!(header(request, "accept"), Some("application/json"));
            assert!(
                header(request, "user-agent")
                    .unwrap()
                    .starts_with("bearward/")
            );
            assert!(header(request, "content-length").is_some());
            assert_eq!(
                header(request, "content-type"),
                Some("application/x-www-form-urlencoded")
            );
        }),
        row("json", "body = 'json'").request(|request| {
            assert_eq!(header(request, "content-type"), Some("application/json"));
        }),
        row("query", "body = 'query'").request(|request| {
            assert_eq!(header(request, "content-type"), None);
            assert_eq!(header(request, "content-length"), Some("0"));
            has(request, "grant_type", "refresh_token");
        }),
        row(
            "url",
            format!("refresh.url = '{ISSUER}/token?refresh&tenant=a%26b'"),
        )
        .request(|request| {
            has(request, "refresh", "");
            has(request, "tenant", "a&b");
            has(request, "grant_type", "refresh_token");
        }),
    ]
}

/// What a request says.
fn of_the_parameters(secret_file: &str) -> Vec<Row> {
    vec![
        row(
            "names",
            "client_auth = 'client_secret_post'\n[names]\nclient_id = 'client_key'\n\
             client_secret = 'app_secret'\nrefresh_token = 'token'\ngrant_type = 'kind'",
        )
        .answer(json!({ "access_token": "renamed-access-token" }))
        .request(|request| {
            has(request, "client_key", "legacy-crm");
            has(request, "kind", "refresh_token");
            assert!(request.parameters.contains_key("app_secret"));
            assert!(request.parameters.contains_key("token"));
            for name in ["client_id", "client_secret", "refresh_token", "grant_type"] {
                lacks(request, name);
            }
        }),
        row(
            "params",
            format!(
                "client_auth = 'client_secret_post'\n[refresh.params]\naudience = 'https://api.example'\n\
                 client_id = ''\nnonce = '${{uuid}}'\napi_key = {{ file = {} }}",
                quoted(secret_file)
            ),
        )
        .answer(json!({ "access_token": "params-access-token" }))
        .request(|request| {
            has(request, "audience", "https://api.example");
            has(request, "api_key", "a-referred-secret-value");
            assert_eq!(request.parameters["nonce"].len(), 36);
            lacks(request, "client_id");
        }),
        row("scopeless", "scope = ['a', 'b']").request(|request| lacks(request, "scope")),
        row(
            "scoped",
            "scope = ['a', 'b']\nscope_separator = ','\nrefresh.scope = true\n\
             refresh.params.audience = 'c'",
        )
        .request(|request| {
            has(request, "scope", "a,b");
            has(request, "audience", "c");
        }),
    ]
}

/// Header fields of a request, and who it says asks.
fn of_the_fields(secret_file: &str) -> Vec<Row> {
    vec![
        row(
            "fields",
            format!(
                "[token_headers]\nx-correlation-id = '${{uuid}}'\nx-now = '${{now}}'\n\
                 x-api-key = {{ file = {} }}\nuser-agent = 'legacy/1'",
                quoted(secret_file)
            ),
        )
        .request(|request| {
            assert_eq!(header(request, "x-correlation-id").unwrap().len(), 36);
            let now: i64 = header(request, "x-now").unwrap().parse().unwrap();
            assert!((Timestamp::now().as_second() - now).abs() < 60);
            assert_eq!(
                header(request, "x-api-key"),
                Some("a-referred-secret-value")
            );
            assert_eq!(header(request, "user-agent"), Some("legacy/1"));
        }),
        row("override", "refresh.client_auth = 'none'")
            .answer(json!({ "access_token": "public-access-token" }))
            .request(|request| {
                assert_eq!(header(request, "authorization"), None);
                has(request, "client_id", "legacy-crm");
                lacks(request, "client_secret");
            }),
    ]
}

/// Where the members of an answer are, and how the token is put on.
fn of_the_answer() -> Vec<Row> {
    let bearer =
        |wanted: &'static str| move |call: &Recorded| assert_eq!(call.bearer(), Some(wanted));
    vec![
        row(
            "paths",
            "[response]\naccess_token = 'data.token'\nexpires_in = 'data.life'\nscope = 'data.may'",
        )
        .answer(
            json!({ "data": { "token": "nested-access-token", "life": 7200, "may": ["a", "b"] } }),
        )
        .call(bearer("nested-access-token"))
        .status(|status| {
            lives(status, 7200.0);
            assert_eq!(status["scope"], "a b");
        }),
        row("ok", "response.ok = 'result == \"0000\"'")
            .answer(json!({ "access_token": "checked-access-token", "result": "0000" }))
            .call(bearer("checked-access-token")),
        row(
            "capture",
            "capture = ['instance_url', 'data.id', 'access_token', 'absent']",
        )
        .answer(json!({
            "access_token": "captured-access-token",
            "instance_url": "https://eu7.example.com",
            "data": { "id": 17 },
        }))
        .status(|status| {
            let wanted = json!({ "instance_url": "https://eu7.example.com", "data.id": 17 });
            assert_eq!(
                status["captured"], wanted,
                "what holds a token is never shown"
            );
        }),
        row("inject", "[inject]\nheader = 'X-Auth-Token'\nscheme = ''")
            .answer(json!({ "access_token": "bare-access-token" }))
            .call(|call| {
                assert_eq!(call.header("x-auth-token"), Some("bare-access-token"));
                assert_eq!(call.header("authorization"), None);
            }),
        row("scheme", "inject.scheme = 'Zoho-oauthtoken'")
            .answer(json!({ "access_token": "schemed-access-token" }))
            .call(|call| {
                assert_eq!(
                    call.header("authorization"),
                    Some("Zoho-oauthtoken schemed-access-token")
                );
            }),
    ]
}

/// How long a token is believed.
fn of_the_lifetime() -> Vec<Row> {
    vec![
        row("milliseconds", "response.expires_in_unit = 'ms'")
            .answer(json!({ "access_token": "milli-access-token", "expires_in": 5_400_000 }))
            .status(|status| lives(status, 5400.0)),
        row("text", "")
            .answer(json!({ "access_token": "text-access-token", "expires_in": "28800" }))
            .status(|status| lives(status, 28800.0)),
        row("moment", "response.expires_at = 'ends'")
            .answer(json!({ "access_token": "moment-access-token", "ends": in_two_hours() }))
            .status(|status| lives(status, 7200.0)),
        row("untold", "default_expires_in = '20m'")
            .answer(json!({ "access_token": "untold-access-token" }))
            .status(|status| lives(status, 1200.0)),
        row("endless", "default_expires_in = 'never'")
            .answer(json!({ "access_token": "endless-access-token" }))
            .status(|status| {
                assert_eq!(status["access_token_expires_at"], Value::Null);
                assert_eq!(status["access_token_lives"], true);
            }),
    ]
}

fn in_two_hours() -> String {
    let moment = Timestamp::now() + jiff::SignedDuration::from_hours(2);
    moment.to_string()
}

/// Adds the row's grant to the file, and a route `/name` to it.
fn beside(mut plan: SidecarBuilder, row: &Row, issuer: &Issuer, api: &Api) -> SidecarBuilder {
    let name = row.name;
    let secret = plan.secret_file("one-secret", issuer.client_secret().unwrap());
    let seed = plan.secret_file(&format!("{name}.seed"), &issuer.refresh_token());
    let store = plan.home().join("grant").join(format!("{name}.grant"));
    plan = plan.watch(issuer.secrets()).other_grant(
        name,
        &format!(
            "token_endpoint = {}\nclient_id = {}\nclient_secret.file = {}\n\
             seed.refresh_token.file = {}\nstore.file.path = {}",
            quoted(issuer.token_endpoint()),
            quoted(issuer.client_id()),
            quoted(secret),
            quoted(seed),
            quoted(store.to_str().unwrap()),
        ),
    );
    let toml = row.toml.replace(ISSUER, issuer.url());
    plan.other_grant(name, &toml).config(&format!(
        "[[route]]\npath = '/{name}'\ngrant = '{name}'\nupstream = {}",
        quoted(api.url())
    ))
}

async fn issuer_of_knobs() -> Issuer {
    let secret = "one secret for all rows";
    let builder = Issuer::builder().client("legacy-crm", secret, ClientAuth::Basic);
    builder.start().await
}

#[tokio::test]
async fn each_key_shows_in_the_request_the_call_or_the_status() {
    let well = issuer_of_knobs().await;
    let api = Api::builder().start().await;
    let mut plan = Sidecar::between(&well, &api);
    let referred = plan.secret_file("referred", "a-referred-secret-value");
    let rows = of_the_form()
        .into_iter()
        .chain(of_the_parameters(&referred))
        .chain(of_the_fields(&referred))
        .chain(of_the_answer())
        .chain(of_the_lifetime());
    let mut kept = Vec::new();
    for row in rows {
        let issuer = issuer_of_knobs().await;
        if let Some(answer) = &row.answer {
            issuer.next(Reply::json(200, answer));
        }
        if let Some(token) = row
            .answer
            .as_ref()
            .and_then(|answer| answer["access_token"].as_str())
        {
            issuer.secrets().keep(token);
        }
        plan = beside(plan, &row, &issuer, &api);
        kept.push((row, issuer));
    }
    let sidecar = plan.start().await;
    let status = sidecar.status().await;
    for (row, issuer) in &kept {
        api.next(Reply::status(200));
        let answer = sidecar.get(&format!("/{}", row.name)).await;
        assert_eq!(answer.status, 200, "{}: {}", row.name, answer.text());
        eprintln!("row `{}`", row.name);
        (row.call)(&api.last().unwrap());
        let requests = issuer.requests().all();
        assert_eq!(requests.len(), 1, "{}", row.name);
        (row.request)(&requests[0]);
        let mut told = status["grants"].as_array().unwrap().iter();
        (row.status)(told.find(|told| told["grant"] == row.name).unwrap());
    }
}

#[tokio::test]
async fn an_answer_that_is_not_ok_is_none() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let token = issuer.secrets().keep("refused-access-token");
    issuer.next(Reply::json(
        200,
        &json!({ "ok": false, "access_token": token }),
    ));
    let sidecar = Sidecar::between(&issuer, &api)
        .grant("response.ok = 'ok == true'")
        .start_unready()
        .await;
    let answer = sidecar.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["code"], "not_ok");
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn a_raw_pair_is_for_servers_that_do_not_decode() {
    let builder = Issuer::builder().client("legacy-crm", "p%25:q+r s&t=u", ClientAuth::RawBasic);
    let issuer = builder.start().await;
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api).start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
}
