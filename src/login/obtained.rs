//! What a login brought: whether it is offline access at all, whose, and how much of what was asked.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::Grant;
use crate::issuer::{Endpoints, Enrolment, Granted};
use crate::login::error::{Error, NoRefreshToken};
use crate::login::page::Scope;
use crate::oauth::{self, Asked, Expected, Subject, Tokens, remedy, validate_id_token};
use crate::secret::Secret;
use crate::store::{AccessToken, Record};

/// A grant that a person gave, ready for the store.
#[derive(Debug)]
pub struct Obtained {
    /// The record to store; its generation is the store's to give.
    pub record: Record,
    /// What a person calls the account, or else its subject.
    pub account: Option<String>,
    /// What was asked for and what was granted.
    pub scope: Vec<Scope>,
    /// What should be known although nothing failed.
    pub notes: Vec<String>,
}

/// Checks what came against what was asked.
pub(super) struct Proof<'a> {
    section: &'a Grant,
    enrolment: &'a Enrolment,
    endpoints: &'a Endpoints,
    /// The parameters of the authorization request, where there was one.
    params: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Proof<'a> {
    /// Of a login on another device.
    pub(super) fn new(
        section: &'a Grant,
        enrolment: &'a Enrolment,
        endpoints: &'a Endpoints,
    ) -> Self {
        Self {
            section,
            enrolment,
            endpoints,
            params: None,
        }
    }

    /// Of a login through a browser.
    pub(super) fn through_browser(self) -> Self {
        let params = Some(self.enrolment.profile().further());
        Self { params, ..self }
    }

    /// Makes sure that a refresh token came and that the id token, where one came, is the
    /// server's word about this login.
    pub(super) async fn check(
        &self,
        granted: Granted,
        nonce: Option<&Secret<String>>,
    ) -> Result<Obtained, Error> {
        let Granted { tokens, sent_at } = granted;
        let mut notes = Vec::new();
        let subject = self.subject(&tokens, nonce, &mut notes).await?;
        let Some(refresh_token) = tokens.refresh_token.clone() else {
            return Err(self.no_refresh_token(&tokens));
        };
        let mut told = tokens.scope.as_deref().map(scopes);
        if let Some(told) = told.as_mut() {
            // Servers leave it out of what they tell: the refresh token is the proof.
            told.push(String::from("offline_access"));
            told.retain(|told| told != "offline_access" || self.section.scope.contains(told));
        }
        let scope = Scope::compare(&self.section.scope, told.as_deref());
        let mut record = Record::new(refresh_token, sent_at);
        record.refresh_expires_at =
            oauth::refresh_expires_at(&record.refresh_token, tokens.refresh_expires_in, sent_at);
        record.refresh_lives_from = record.refresh_expires_at.map(|_| sent_at);
        record.refreshed_at = Some(sent_at);
        record.enrolled_at = Some(sent_at);
        let asked = self.section.scope.join(" ");
        let asked = Some(asked).filter(|asked| !asked.is_empty());
        record.scope = tokens.scope.clone().or(asked);
        record.subject = subject.as_ref().map(|subject| subject.sub.clone());
        let default = self.section.default_expires_in.duration();
        record.access_token = Some(AccessToken {
            expires_at: oauth::expires_at(&tokens, sent_at, None, default),
            value: tokens.access_token,
            generation: 0,
            issued_at: sent_at,
        });
        record.captured = tokens.captured;
        Ok(Obtained {
            record,
            account: subject.map(|subject| subject.name.unwrap_or(subject.sub)),
            scope,
            notes,
        })
    }

    /// Who the id token says has logged in. Keys that cannot be had leave that unknown, for the
    /// grant itself is worth more; an id token that is wrong is a failure.
    async fn subject(
        &self,
        tokens: &Tokens,
        nonce: Option<&Secret<String>>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Subject>, Error> {
        let Some(id_token) = &tokens.id_token else {
            return Ok(None);
        };
        let metadata = self.endpoints.metadata.as_ref();
        let (Some(metadata), Some(keys)) = (metadata, &self.endpoints.keys) else {
            notes.push(String::from(
                "an id token came and is not looked at: neither metadata nor `jwks_uri` says how to verify it",
            ));
            return Ok(None);
        };
        let keys = match self.enrolment.keys(keys).await {
            Ok(keys) => keys,
            Err(error) => {
                notes.push(format!("the account is not known: {error}"));
                return Ok(None);
            }
        };
        let expected = Expected {
            issuer: &metadata.issuer,
            client_id: &self.section.client_id,
            nonce: nonce.map(|nonce| nonce.expose().as_str()),
            now: Timestamp::now(),
        };
        let subject = validate_id_token(id_token, &keys, &expected);
        Ok(Some(subject.map_err(Error::IdToken)?))
    }

    fn no_refresh_token(&self, tokens: &Tokens) -> Error {
        let section = self.section;
        let endpoints = [&section.issuer, &self.endpoints.token];
        let server = endpoints.into_iter().flatten().next();
        let remedy = server.map(|server| {
            let asked = Asked {
                server,
                scope: &section.scope,
                params: self.params,
            };
            remedy(&asked, self.endpoints.metadata.as_ref())
        });
        Error::NoRefreshToken(Box::new(NoRefreshToken {
            asked: section.scope.join(" "),
            granted: tokens.scope.clone(),
            remedy,
        }))
    }
}

/// The scopes that a token answer tells; some servers put commas between them.
fn scopes(told: &str) -> Vec<String> {
    let names = told.split([' ', ',']).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}
