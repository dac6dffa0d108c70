//! Through login and consent without a browser: redirects followed, forms filled, cookies kept.

use std::collections::BTreeMap;

use http::Request;

use super::registered::REDIRECT;
use crate::support::client::{self, Address, Answer, Sent};

/// Goes from `start` through login and consent, to the code that the client is sent back with.
pub(super) async fn to_the_code(issuer: &str, address: &Address, start: &str) -> String {
    let mut walk = Walk {
        issuer,
        address,
        cookies: BTreeMap::new(),
    };
    let mut answer = walk.go(client::get(start)).await;
    for _ in 0..12 {
        let request = match answer.header("location") {
            Some(location) if location.starts_with(REDIRECT) => return code(location),
            Some(location) => client::get(walk.path(location)),
            None => walk.filled(&answer.text()),
        };
        answer = walk.go(request).await;
    }
    panic!("login and consent lead nowhere: {}", answer.text());
}

/// A way through the pages of an issuer.
struct Walk<'a> {
    issuer: &'a str,
    address: &'a Address,
    cookies: BTreeMap<String, String>,
}

impl Walk<'_> {
    async fn go(&mut self, mut request: Request<Sent>) -> Answer {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookie = pairs.collect::<Vec<_>>().join("; ");
        request
            .headers_mut()
            .insert("cookie", cookie.parse().unwrap());
        let answer = client::call(self.address, request).await.unwrap();
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// The form on a page of login or consent, filled in.
    fn filled(&self, page: &str) -> Request<Sent> {
        let action = between(page, "action=\"", "\"");
        let prompt = between(page, "name=\"prompt\" value=\"", "\"");
        let fields = [("prompt", prompt), ("login", "ada"), ("password", "any")];
        client::form(self.path(action), &fields)
    }

    /// The path of one of its URLs.
    fn path<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(self.issuer).unwrap_or(url)
    }
}

/// The code that an authorization answer brings (RFC 6749 §4.1.2).
fn code(location: &str) -> String {
    let query = location.strip_prefix(REDIRECT);
    let query = query.unwrap_or_else(|| panic!("sent elsewhere: {location}"));
    let mut pairs = form_urlencoded::parse(query.trim_start_matches('?').as_bytes());
    match pairs.find(|(name, _)| name == "code") {
        Some((_, code)) => code.into_owned(),
        None => panic!("no code: {query}"),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no `{start}` in: {text}"));
    rest.split(end).next().unwrap()
}
