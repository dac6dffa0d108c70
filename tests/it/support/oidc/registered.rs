//! How an [`OidcProvider`](super::OidcProvider) is set up, and its clients.

use serde_json::{Value, json};

/// Where the scripted person is sent at the end; nobody listens there.
pub(super) const REDIRECT: &str = "http://127.0.0.1/callback";

/// How an [`OidcProvider`](super::OidcProvider) is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seconds that an access token lives.
    pub access_token_lifetime: u32,
    /// Seconds that a device code lives (RFC 8628 §3.2).
    pub device_code_lifetime: u32,
    /// Whether each refresh gives a new refresh token.
    pub rotate: bool,
    /// Whether access tokens are JWTs.
    pub jwt: bool,
    /// What it does where offline access is asked for.
    pub offline: Offline,
    /// How it takes pushed authorization requests.
    pub par: Par,
    /// Its clients.
    pub clients: Vec<Registered>,
}

/// What a server does where `offline_access` is asked for (OpenID Connect Core §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// It gives a refresh token.
    Give,
    /// It says in the scope that it did, and gives none.
    Forget,
    /// It knows no such scope, and leaves it out of what it grants.
    Ignore,
}

/// How a server takes pushed authorization requests (RFC 9126).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Par {
    /// It has no endpoint for them.
    Lack,
    /// It takes them.
    Offer,
    /// It takes nothing else (§5).
    Require,
}

impl Default for Options {
    /// Strict, with tokens that live for a minute, and without a client.
    fn default() -> Self {
        Self {
            access_token_lifetime: 60,
            device_code_lifetime: 600,
            rotate: true,
            jwt: false,
            offline: Offline::Give,
            par: Par::Lack,
            clients: Vec::new(),
        }
    }
}

impl Options {
    /// As `tests/oidc/server.mjs` reads it.
    pub(super) fn json(&self) -> Value {
        let offline = match self.offline {
            Offline::Give => "give",
            Offline::Forget => "forget",
            Offline::Ignore => "ignore",
        };
        let par = match self.par {
            Par::Lack => "lack",
            Par::Offer => "offer",
            Par::Require => "require",
        };
        json!({
            "accessTokenLifetime": self.access_token_lifetime,
            "deviceCodeLifetime": self.device_code_lifetime,
            "rotate": self.rotate,
            "jwt": self.jwt,
            "offline": offline,
            "par": par,
            "clients": self.clients.iter().map(Registered::json).collect::<Vec<_>>(),
        })
    }
}

/// A client of an [`OidcProvider`](super::OidcProvider). It may do the code flow, with any port of
/// its redirect address where that is loopback (RFC 8252 §7.3), and the device flow.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its identifier.
    pub id: String,
    /// Its secret; a public client has none.
    pub secret: Option<String>,
    /// How it proves itself, by the IANA name.
    pub auth: &'static str,
    /// Where a browser may be sent back to.
    pub redirects: Vec<String>,
    /// Whether it may only push its authorization requests (RFC 9126 §6).
    pub pushes: bool,
}

impl Registered {
    /// A client with a secret, which it shows in the header (`client_secret_basic`).
    pub fn confidential(id: &str) -> Self {
        let random = std::iter::repeat_with(fastrand::alphanumeric).take(40);
        Self {
            secret: Some(random.collect()),
            auth: "client_secret_basic",
            ..Self::public(id)
        }
    }

    /// The same client with this secret.
    pub fn with_secret(self, secret: &str) -> Self {
        let secret = Some(secret.to_owned());
        Self { secret, ..self }
    }

    /// The same client, which shows its secret in the body (`client_secret_post`).
    pub fn posting(self) -> Self {
        let auth = "client_secret_post";
        Self { auth, ..self }
    }

    /// The same client, which is only ever sent back to this address.
    pub fn with_redirect(self, redirect: &str) -> Self {
        let redirects = vec![redirect.to_owned()];
        Self { redirects, ..self }
    }

    /// The same client, which must push its authorization requests.
    pub fn pushing(self) -> Self {
        Self {
            pushes: true,
            ..self
        }
    }

    /// A client without a secret.
    pub fn public(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: None,
            auth: "none",
            redirects: vec![
                REDIRECT.to_owned(),
                String::from("http://localhost/callback"),
            ],
            pushes: false,
        }
    }

    /// RFC 7591 §2.
    fn json(&self) -> Value {
        let mut client = json!({
            "client_id": self.id,
            "application_type": "native",
            "redirect_uris": self.redirects,
            "grant_types": [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "response_types": ["code"],
            "token_endpoint_auth_method": self.auth,
        });
        if let Some(secret) = &self.secret {
            client["client_secret"] = json!(secret);
        }
        if self.pushes {
            client["require_pushed_authorization_requests"] = json!(true);
        }
        client
    }
}
