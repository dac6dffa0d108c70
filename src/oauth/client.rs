//! The client, as every request of its shows it: its name, its proof, the server's own fields.
//!
//! What always holds: whatever a request is for, it is signed, filled up and posted here, so what
//! is still to prove a request has one place.

use http::HeaderName;

use crate::config::{BodyFormat, Grant, Names, Url};
use crate::oauth::client_auth::ClientAuth;
use crate::oauth::draft::Draft;
use crate::oauth::request::{
    Credentials, Fresh, RequestError, TokenRequest, Wording, checked_names, headers,
};
use crate::oauth::rules::SectionError;
use crate::secret::Secret;

/// One grant's client, prepared and checked once.
#[derive(Clone, Debug)]
pub(super) struct Client {
    id: String,
    auth: ClientAuth,
    pub(super) names: Names,
    headers: Vec<(HeaderName, Wording)>,
}

impl Client {
    /// The client of this grant, which proves itself by `auth`.
    pub(super) fn new(grant: &Grant, auth: ClientAuth) -> Result<Self, SectionError> {
        Ok(Self {
            id: grant.client_id.clone(),
            auth,
            names: checked_names(&grant.names)?,
            headers: headers(&grant.token_headers)?,
        })
    }

    /// Whether it proves itself by its secret; a public client's need not be readable.
    pub(super) fn needs_secret(&self) -> bool {
        self.auth != ClientAuth::Public
    }

    /// Says who it is, and proves nothing.
    pub(super) fn name(&self, draft: &mut Draft) {
        draft.set(&self.names.client_id, Secret::new(self.id.clone()));
    }

    /// Signs `draft`, then sets the further parameters, which may replace or drop what is there.
    pub(super) fn sign(
        &self,
        draft: &mut Draft,
        further: &[(String, Wording)],
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<(), RequestError> {
        let secret = credentials.client_secret.as_ref();
        self.auth.sign(draft, &self.names, &self.id, secret)?;
        for (name, wording) in further {
            draft.set(name, wording.text(&credentials.params, fresh)?);
        }
        for (name, wording) in &self.headers {
            draft.put(name, &wording.text(&credentials.headers, fresh)?)?;
        }
        Ok(())
    }
}

impl TokenRequest {
    /// The request that a signed draft becomes at `endpoint`.
    pub(super) fn post(
        draft: Draft,
        body: BodyFormat,
        endpoint: &Url,
    ) -> Result<Self, RequestError> {
        // The one place for a DPoP proof (RFC 9449 §5): method, URL and fields are settled here.
        draft.post(body, endpoint).map(Self)
    }
}
