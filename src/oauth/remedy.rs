//! What a person should do when a login brought no refresh token.
//!
//! What always holds: the advice is about what was really asked; it is never empty; each sentence
//! is one line of at most 200 characters. What servers want is written down as data in [`KNOWN`];
//! where nothing is known of a server its metadata must do.

use std::collections::BTreeMap;

use crate::config::Url;
use crate::oauth::metadata::Metadata;

/// What a login asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The authorization server: its issuer or, where none is configured, one of its endpoints.
    pub server: &'a Url,
    /// The scopes asked for.
    pub scope: &'a [String],
    /// The parameters of the authorization request; nothing where there was none, as in a device
    /// login (RFC 8628).
    pub params: Option<&'a BTreeMap<String, String>>,
}

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What to do, the likeliest first; at least one sentence.
    pub steps: Vec<String>,
    /// What the server's metadata says of it; perhaps nothing.
    pub told: Vec<String>,
}

/// How one server hands out refresh tokens.
struct Known {
    name: &'static str,
    mark: Mark,
    /// What must have been asked.
    needs: &'static [Need],
    /// What to do when all of that was asked.
    then: &'static str,
}

/// How a server is recognised.
enum Mark {
    /// By its host: one of these or below one of these.
    Host(&'static [&'static str]),
    /// By a piece of its path, for what runs under everyone's own name.
    Path(&'static str),
}

/// What a server wants to be asked.
enum Need {
    /// One of these scopes; the first is the usual one.
    Scope(&'static [&'static str]),
    /// This word in this parameter.
    Param(&'static str, &'static str),
    /// This parameter, whatever its value.
    Any(&'static str),
}

/// The scopes by which servers are asked for a refresh token.
const OFFLINE: &[&str] = &[
    "offline_access",
    "offline",
    "offline.access",
    "refresh_token",
];

const OFFLINE_ACCESS: Need = Need::Scope(&["offline_access"]);
const CONSENT: Need = Need::Param("prompt", "consent");

const KNOWN: &[Known] = &[
    Known {
        name: "Google",
        mark: Mark::Host(&["google.com", "googleapis.com"]),
        needs: &[Need::Param("access_type", "offline"), CONSENT],
        then: "take the app's access away in the Google account's settings, then log in again: a refresh token comes with a new consent only",
    },
    Known {
        name: "Microsoft",
        mark: Mark::Host(&[
            "microsoftonline.com",
            "microsoftonline.us",
            "microsoftonline.cn",
            "ciamlogin.com",
            "b2clogin.com",
            "live.com",
        ]),
        needs: &[OFFLINE_ACCESS],
        then: "in the app registration, add the delegated permission `offline_access`, and have an administrator consent where the tenant wants that",
    },
    Known {
        name: "Okta",
        mark: Mark::Host(&[
            "okta.com",
            "oktapreview.com",
            "okta-emea.com",
            "okta-gov.com",
        ]),
        needs: &[OFFLINE_ACCESS],
        then: "in the Okta app, switch the grant type \"Refresh Token\" on, and let the access policy of the authorization server grant `offline_access`",
    },
    Known {
        name: "Auth0",
        mark: Mark::Host(&["auth0.com"]),
        needs: &[OFFLINE_ACCESS, Need::Any("audience")],
        then: "at Auth0, switch \"Allow Offline Access\" on for the API that `audience` names, and the grant type \"Refresh Token\" for the application",
    },
    Known {
        name: "Keycloak",
        mark: Mark::Path("/realms/"),
        needs: &[OFFLINE_ACCESS],
        then: "in Keycloak, give the user the role `offline_access` and the client the optional client scope `offline_access`",
    },
    Known {
        name: "Salesforce",
        mark: Mark::Host(&["salesforce.com", "force.com"]),
        needs: &[Need::Scope(&["refresh_token", "offline_access"])],
        then: "in the connected app at Salesforce, select the OAuth scope `refresh_token, offline_access` and look at its refresh token policy",
    },
    Known {
        name: "Zoho",
        mark: Mark::Host(&[
            "zoho.com",
            "zoho.eu",
            "zoho.in",
            "zoho.com.au",
            "zoho.com.cn",
            "zoho.jp",
            "zoho.sa",
            "zohocloud.ca",
        ]),
        needs: &[Need::Param("access_type", "offline"), CONSENT],
        then: "disconnect the app in the Zoho account's settings, then log in again: a refresh token comes with a new consent only",
    },
    Known {
        name: "Dropbox",
        mark: Mark::Host(&["dropbox.com", "dropboxapi.com"]),
        needs: &[Need::Param("token_access_type", "offline")],
        then: "disconnect the app in the Dropbox account's settings, then log in again",
    },
    Known {
        name: "Reddit",
        mark: Mark::Host(&["reddit.com"]),
        needs: &[Need::Param("duration", "permanent")],
        then: "look at the app's type at Reddit: only the code flow of a web or installed app gives a refresh token",
    },
    Known {
        name: "X",
        mark: Mark::Host(&["x.com", "twitter.com"]),
        needs: &[Need::Scope(&["offline.access"])],
        then: "in the developer portal of X, look whether user authentication by OAuth 2.0 is set up for the app",
    },
    Known {
        name: "Atlassian",
        mark: Mark::Host(&["atlassian.com"]),
        needs: &[
            OFFLINE_ACCESS,
            Need::Param("audience", "api.atlassian.com"),
            CONSENT,
        ],
        then: "in Atlassian's developer console, look whether the app is one of OAuth 2.0 (3LO)",
    },
    Known {
        name: "Slack",
        mark: Mark::Host(&["slack.com"]),
        needs: &[],
        then: "switch token rotation on in the Slack app (`token_rotation_enabled` in its manifest); without it tokens have no end and no refresh token",
    },
    Known {
        name: "GitHub",
        mark: Mark::Host(&["github.com", "ghe.com"]),
        needs: &[],
        then: "switch \"User-to-server token expiration\" on in the GitHub App; an OAuth app instead of a GitHub App never gets a refresh token",
    },
    Known {
        name: "Xero",
        mark: Mark::Host(&["xero.com"]),
        needs: &[OFFLINE_ACCESS],
        then: "look at the app's type in Xero's developer portal: only the code flow of a web, mobile or desktop app gives a refresh token",
    },
    Known {
        name: "HubSpot",
        mark: Mark::Host(&["hubspot.com", "hubapi.com"]),
        needs: &[],
        then: "look at the token endpoint's URL: HubSpot gives a refresh token with every code, without being asked",
    },
    Known {
        name: "Snowflake",
        mark: Mark::Host(&["snowflakecomputing.com"]),
        needs: &[Need::Scope(&["refresh_token"])],
        then: "set `OAUTH_ISSUE_REFRESH_TOKENS = TRUE` in the security integration at Snowflake",
    },
    Known {
        name: "Shopify",
        mark: Mark::Host(&["myshopify.com"]),
        needs: &[],
        then: "Shopify gives a refresh token only where the exchange of the code asks for an expiring access token (`expiring=1`)",
    },
    Known {
        name: "LinkedIn",
        mark: Mark::Host(&["linkedin.com"]),
        needs: &[],
        then: "ask LinkedIn to approve the app for programmatic refresh tokens: only approved apps get one",
    },
    Known {
        name: "Fortnox",
        mark: Mark::Host(&["fortnox.se"]),
        needs: &[Need::Param("access_type", "offline")],
        then: "look at the app's settings in Fortnox's developer portal",
    },
];

/// What helps after a login that brought no refresh token.
pub fn remedy(asked: &Asked<'_>, metadata: Option<&Metadata>) -> Remedy {
    let steps = match KNOWN.iter().find(|known| known.mark.is_of(asked.server)) {
        Some(known) => known.steps(asked),
        None => general(asked, metadata),
    };
    let told = metadata.map(|it| told(asked, it)).unwrap_or_default();
    Remedy { steps, told }
}

impl Mark {
    fn is_of(&self, server: &Url) -> bool {
        match self {
            Self::Host(hosts) => hosts.iter().any(|host| is_at_or_below(server.host(), host)),
            Self::Path(piece) => server.uri().path().contains(piece),
        }
    }
}

/// Whole labels only: `netflix.com` is not below `x.com`.
fn is_at_or_below(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Known {
    /// What was not asked; where all was, what is to be done at the server.
    fn steps(&self, asked: &Asked<'_>) -> Vec<String> {
        let missing = self.needs.iter().filter(|need| !need.is_met(asked));
        let steps: Vec<String> = missing.map(|need| need.sentence(self.name)).collect();
        if steps.is_empty() {
            return vec![String::from(self.then)];
        }
        steps
    }
}

impl Need {
    /// A parameter counts as met where no authorization request could have carried it.
    fn is_met(&self, asked: &Asked<'_>) -> bool {
        let value = |name: &str| asked.params.map(|params| params.get(name));
        match self {
            Self::Scope(names) => names.iter().any(|name| asked.has_scope(name)),
            Self::Param(name, word) => value(name).is_none_or(|value| {
                value.is_some_and(|value| value.split_whitespace().any(|known| known == *word))
            }),
            Self::Any(name) => {
                value(name).is_none_or(|value| value.is_some_and(|value| !value.is_empty()))
            }
        }
    }

    fn sentence(&self, server: &str) -> String {
        match self {
            Self::Scope(names) => {
                let name = names.first().copied().unwrap_or_default();
                format!(
                    "add `{name}` to `scope`: {server} gives a refresh token only where it is asked for"
                )
            }
            Self::Param(name, word) => format!(
                "set `{name} = \"{word}\"` in `authorize.params`: {server} wants it for a refresh token"
            ),
            Self::Any(name) => format!(
                "set `{name}` in `authorize.params` to the identifier of the API: {server} wants it for a refresh token"
            ),
        }
    }
}

impl Asked<'_> {
    fn has_scope(&self, name: &str) -> bool {
        self.scope.iter().any(|asked| asked == name)
    }

    /// The scope for a refresh token that was asked for.
    fn offline(&self) -> Option<&'static str> {
        OFFLINE.iter().copied().find(|name| self.has_scope(name))
    }
}

/// What to do at a server of which only its metadata is known.
fn general(asked: &Asked<'_>, metadata: Option<&Metadata>) -> Vec<String> {
    let prompts = metadata.and_then(|it| it.prompt_values_supported.as_deref());
    let may_ask_consent = prompts.is_none_or(|prompts| lists(prompts, "consent"));
    let mut steps = Vec::new();
    match (asked.offline(), metadata.and_then(offered)) {
        (None, Some(name)) => steps.push(format!(
            "add `{name}` to `scope`: the server offers it and it was not asked for"
        )),
        // OpenID Connect Core §11: without consent `offline_access` is to be ignored.
        (Some("offline_access"), _) if may_ask_consent && !CONSENT.is_met(asked) => {
            steps.push(String::from(
                "set `prompt = \"consent\"` in `authorize.params`: without it many servers ignore `offline_access` in silence",
            ));
        }
        (None, None) => steps.push(String::from(
            "look up how the server is asked for a refresh token: often the scope `offline_access`, at some a parameter like `access_type`",
        )),
        (Some(_), _) => {}
    }
    if metadata.is_some_and(lacks_refresh) {
        steps.push(String::from(
            "ask who runs the server whether it gives refresh tokens at all: its metadata does not list that grant type",
        ));
    }
    if steps.is_empty() || asked.offline().is_some() {
        steps.push(String::from(
            "in the server's console, allow refresh tokens (or offline access) for this client, then log in again",
        ));
    }
    steps
}

/// What the metadata says of refresh tokens.
fn told(asked: &Asked<'_>, metadata: &Metadata) -> Vec<String> {
    let mut told = Vec::new();
    match (offered(metadata), asked.offline()) {
        (Some(name), _) => told.push(format!("`scopes_supported` lists `{name}`")),
        (None, Some(name)) if metadata.scopes_supported.is_some() => {
            told.push(format!("`scopes_supported` does not list `{name}`"));
        }
        (None, _) => {}
    }
    if lacks_refresh(metadata) {
        told.push(String::from(
            "`grant_types_supported` does not list `refresh_token`",
        ));
    }
    let prompts = metadata.prompt_values_supported.as_deref();
    if prompts.is_some_and(|prompts| !lists(prompts, "consent")) {
        told.push(String::from(
            "`prompt_values_supported` does not list `consent`",
        ));
    }
    told
}

/// The scope for a refresh token that the server tells of.
fn offered(metadata: &Metadata) -> Option<&'static str> {
    let scopes = metadata.scopes_supported.as_deref()?;
    OFFLINE.iter().copied().find(|name| lists(scopes, name))
}

/// Some servers that do give refresh tokens leave them out of the list: a sign, no proof.
fn lacks_refresh(metadata: &Metadata) -> bool {
    let types = metadata.grant_types_supported.as_deref();
    types.is_some_and(|types| !lists(types, "refresh_token"))
}

fn lists(values: &[String], value: &str) -> bool {
    values.iter().any(|known| known == value)
}
