//! A login through a browser (RFC 6749 §4.1, RFC 8252).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Grant;
use crate::issuer::{Endpoints, Enrolment};
use crate::login::error::Error;
use crate::login::obtained::{Obtained, Proof};
use crate::oauth::{Attempt, Awaited, Iss, Redirected};
use crate::secret::Secret;

/// A login through a browser, under way.
#[derive(Debug)]
pub struct CodeLogin<'a> {
    section: &'a Grant,
    enrolment: Enrolment,
    endpoints: Endpoints,
    attempt: Attempt,
    address: Secret<String>,
}

/// A code that came back and is ours.
#[derive(Debug)]
pub struct Arrival {
    code: Secret<String>,
    captured: BTreeMap<String, Value>,
}

impl<'a> CodeLogin<'a> {
    /// Finds the server's endpoints and prepares the address that a person opens; the browser is
    /// to come back to `redirect_uri`.
    pub async fn begin(section: &'a Grant, redirect_uri: String) -> Result<Self, Error> {
        let enrolment = Enrolment::new(section)?;
        let endpoints = enrolment.endpoints().await?;
        let attempt = Enrolment::attempt(redirect_uri)?;
        let address = enrolment.address(&endpoints, &attempt).await?;
        Ok(Self {
            section,
            enrolment,
            endpoints,
            attempt,
            address,
        })
    }

    /// The address that a person opens. It holds no secret of the client, but the state.
    pub fn address(&self) -> &str {
        self.address.expose()
    }

    /// Reads the query that the browser came back with.
    ///
    /// An answer that is not ours ([`Error::is_foreign`]) ends nothing: go on waiting.
    pub fn read(&self, query: &Secret<String>) -> Result<Arrival, Error> {
        let metadata = self.endpoints.metadata.as_ref();
        let told = metadata.is_some_and(|it| it.authorization_response_iss_parameter_supported);
        let awaited = Awaited {
            state: &self.attempt.state,
            issuer: metadata.map(|metadata| metadata.issuer.as_str()),
            iss: if told { Iss::Always } else { Iss::Untold },
            code: &self.section.names.code,
            capture: &self.section.authorize.capture,
        };
        match Redirected::read(query, &awaited)? {
            Redirected::Code(code, captured) => Ok(Arrival { code, captured }),
            Redirected::Refused(complaint) => Err(Error::Refused(complaint)),
        }
    }

    /// Exchanges the code for tokens, and checks them. Not cancel-safe: the code is good once.
    pub async fn redeem(&self, arrival: Arrival) -> Result<Obtained, Error> {
        let granted = self
            .enrolment
            .exchange(&self.endpoints, &self.attempt, &arrival.code)
            .await?;
        let nonce = self.enrolment.profile().nonce(&self.attempt);
        let proof = Proof::new(self.section, &self.enrolment, &self.endpoints);
        let mut obtained = proof.through_browser().check(granted, nonce).await?;
        obtained.record.captured.extend(arrival.captured);
        Ok(obtained)
    }
}
