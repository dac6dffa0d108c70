//! The requests by which a person gives the grant: authorization code (RFC 6749 §4.1) with PKCE
//! (RFC 7636), pushed where the server likes it (RFC 9126), and the device grant (RFC 8628).
//!
//! What always holds: `state`, `nonce` and the verifier are made anew for each [`Attempt`] from
//! randomness that is handed in; what goes through a browser holds no secret of the client.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{BodyFormat, Grant, Pkce, Url};
use crate::oauth::client::Client;
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::draft::Draft;
use crate::oauth::request::{Credentials, Fresh, RequestError, TokenRequest, Wording, wordings};
use crate::oauth::rules::SectionError;
use crate::secret::Secret;

/// How one grant is asked for, prepared and checked once.
#[derive(Clone, Debug)]
pub struct EnrolmentProfile {
    client: Client,
    body: BodyFormat,
    scope: String,
    /// `openid`: an id token, which a nonce binds to this login (OpenID Connect Core §3.1.2.1).
    nonce: Nonce,
    pkce: Pkce,
    resource: Vec<String>,
    authorize: BTreeMap<String, String>,
    exchange: Vec<(String, Wording)>,
    device: Vec<(String, Wording)>,
}

/// Whether a nonce is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nonce {
    Send,
    Omit,
}

/// What one login makes anew.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Binds the browser's answer to this login (RFC 6749 §10.12).
    pub state: Secret<String>,
    /// Binds the id token to this login.
    pub nonce: Secret<String>,
    /// RFC 7636 §4.1.
    verifier: Secret<String>,
    /// Where the browser is sent back to, exactly as the server is told.
    pub redirect_uri: String,
}

/// How much randomness an [`Attempt`] needs: 256 bits for each of its three values.
pub const RANDOMNESS: usize = 96;

impl Attempt {
    /// Values of these random bytes.
    pub fn new(random: &Secret<Vec<u8>>, redirect_uri: String) -> Self {
        let mut parts = random.expose().chunks(RANDOMNESS / 3);
        let mut value = || Secret::new(URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default()));
        Self {
            state: value(),
            nonce: value(),
            verifier: value(),
            redirect_uri,
        }
    }
}

impl EnrolmentProfile {
    /// The profile of this grant's server.
    pub fn new(grant: &Grant) -> Result<Self, SectionError> {
        let asked = |name: &str| grant.scope.iter().any(|scope| scope == name);
        Ok(Self {
            client: Client::new(grant, ClientAuth::for_login(grant)?)?,
            body: grant.body,
            scope: grant.scope.join(&grant.scope_separator),
            nonce: if asked("openid") {
                Nonce::Send
            } else {
                Nonce::Omit
            },
            pkce: grant.authorize.pkce,
            resource: grant.authorize.resource.clone(),
            authorize: further(grant, asked("offline_access").then_some("consent")),
            exchange: wordings(&grant.exchange.params),
            device: wordings(&grant.device.params),
        })
    }

    /// Whether these requests need the client secret.
    pub fn needs_client_secret(&self) -> bool {
        self.client.needs_secret()
    }

    /// The nonce that an id token of this attempt must hold; nothing where none was asked for.
    pub fn nonce<'a>(&self, attempt: &'a Attempt) -> Option<&'a Secret<String>> {
        (self.nonce == Nonce::Send).then_some(&attempt.nonce)
    }

    /// What an authorization request says beside what every one says.
    pub fn further(&self) -> &BTreeMap<String, String> {
        &self.authorize
    }

    /// The address at which a person is asked (RFC 6749 §4.1.1).
    pub fn address(
        &self,
        endpoint: &Url,
        attempt: &Attempt,
    ) -> Result<Secret<String>, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        self.ask(&mut draft, attempt);
        draft.address(endpoint)
    }

    /// The same request, pushed to the server beforehand (RFC 9126 §2.1).
    pub fn push(
        &self,
        endpoint: &Url,
        attempt: &Attempt,
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        self.ask(&mut draft, attempt);
        self.client.sign(&mut draft, &[], credentials, fresh)?;
        TokenRequest::post(draft, BodyFormat::Form, endpoint)
    }

    /// The address for a request that was pushed (RFC 9126 §4).
    pub fn address_of_pushed(
        &self,
        endpoint: &Url,
        request_uri: &Secret<String>,
    ) -> Result<Secret<String>, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        self.client.name(&mut draft);
        draft.set("request_uri", request_uri.clone());
        draft.address(endpoint)
    }

    /// The request that exchanges the code for tokens (RFC 6749 §4.1.3).
    pub fn exchange(
        &self,
        endpoint: &Url,
        (code, attempt): (&Secret<String>, &Attempt),
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let mut draft = self.token_request(endpoint, "authorization_code")?;
        draft.set(&self.client.names.code, code.clone());
        let redirect_uri = Secret::new(attempt.redirect_uri.clone());
        draft.set(&self.client.names.redirect_uri, redirect_uri);
        if self.pkce != Pkce::Off {
            draft.set("code_verifier", attempt.verifier.clone());
        }
        self.finish(draft, endpoint, credentials, fresh)
    }

    /// The request that begins a login on another device (RFC 8628 §3.1).
    pub fn device(
        &self,
        endpoint: &Url,
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        self.client.name(&mut draft);
        draft.set(&self.client.names.scope, Secret::new(self.scope.clone()));
        self.name_resources(&mut draft);
        let client = &self.client;
        client.sign(&mut draft, &self.device, credentials, fresh)?;
        TokenRequest::post(draft, BodyFormat::Form, endpoint)
    }

    /// The request that asks whether the person has answered by now (RFC 8628 §3.4).
    pub fn poll(
        &self,
        endpoint: &Url,
        device_code: &Secret<String>,
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
        let mut draft = self.token_request(endpoint, grant_type)?;
        draft.set("device_code", device_code.clone());
        self.finish(draft, endpoint, credentials, fresh)
    }

    /// The parameters of an authorization request.
    fn ask(&self, draft: &mut Draft, attempt: &Attempt) {
        let names = &self.client.names;
        draft.set("response_type", Secret::new(String::from("code")));
        self.client.name(draft);
        let mut set = |name: &str, text: &str| draft.set(name, Secret::new(text.to_owned()));
        set(&names.redirect_uri, &attempt.redirect_uri);
        set(&names.scope, &self.scope);
        set("state", attempt.state.expose());
        if self.nonce == Nonce::Send {
            set("nonce", attempt.nonce.expose());
        }
        let verifier = attempt.verifier.expose();
        match self.pkce {
            Pkce::S256 => {
                let hash = digest(&SHA256, verifier.as_bytes());
                set("code_challenge", &URL_SAFE_NO_PAD.encode(hash));
                set("code_challenge_method", "S256");
            }
            Pkce::Plain => {
                set("code_challenge", verifier);
                set("code_challenge_method", "plain");
            }
            Pkce::Off => {}
        }
        for (name, text) in &self.authorize {
            set(name, text);
        }
        self.name_resources(draft);
    }

    fn name_resources(&self, draft: &mut Draft) {
        for resource in &self.resource {
            draft.add("resource", resource);
        }
    }

    fn token_request(&self, endpoint: &Url, grant_type: &str) -> Result<Draft, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        let grant_type = Secret::new(grant_type.to_owned());
        draft.set(&self.client.names.grant_type, grant_type);
        self.name_resources(&mut draft);
        Ok(draft)
    }

    fn finish(
        &self,
        mut draft: Draft,
        endpoint: &Url,
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let client = &self.client;
        client.sign(&mut draft, &self.exchange, credentials, fresh)?;
        TokenRequest::post(draft, self.body, endpoint)
    }
}

/// The configured parameters. `offline_access` is given only with `prompt=consent` (OpenID Connect
/// Core §11), unless the configuration says otherwise.
fn further(grant: &Grant, prompt: Option<&str>) -> BTreeMap<String, String> {
    let mut params = grant.authorize.params.clone();
    if let Some(prompt) = prompt {
        params
            .entry(String::from("prompt"))
            .or_insert_with(|| prompt.to_owned());
    }
    params
}
