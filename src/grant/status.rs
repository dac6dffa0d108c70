//! What is known of a grant, in a form that may be shown: fingerprints, never secrets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::event::{Moment, Refusal};
use crate::config::GrantName;
use crate::store::{Record, State};

/// One grant's state, for people and for `bearward status --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The grant's name in the configuration.
    pub grant: String,
    /// `live`, `suspect`, `dead`, `revoked`, or `none` when nothing is stored.
    pub state: &'static str,
    /// Why and since when it is called dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<DeathStatus>,
    /// The first eight hexadecimal digits of the refresh token's SHA-256 hash.
    pub refresh_token: Option<String>,
    /// When the refresh token itself ends, where the server told.
    pub refresh_token_expires_at: Option<Timestamp>,
    /// From when that life counts: when it began, or when its end was last put off.
    pub refresh_token_lives_from: Option<Timestamp>,
    /// The same digits of the access token.
    pub access_token: Option<String>,
    /// When the access token ends; nothing: no token, or no known end.
    pub access_token_expires_at: Option<Timestamp>,
    /// Whether there is an access token that has not ended.
    pub access_token_lives: bool,
    /// The scope granted, where told.
    pub scope: Option<String>,
    /// The account that the grant is of, where an `id_token` told.
    pub subject: Option<String>,
    /// When a person gave the grant by login.
    pub enrolled_at: Option<Timestamp>,
    /// When a person took the grant back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When the grant was put into the store.
    pub obtained_at: Option<Timestamp>,
    /// When the last refresh succeeded.
    pub refreshed_at: Option<Timestamp>,
    /// When the refresh token last changed.
    pub rotated_at: Option<Timestamp>,
    /// The record's generation.
    pub generation: Option<u64>,
    /// Whether an answer is owed: the refresh token was, or was about to be, spent.
    pub intent_open: bool,
    /// Whether the newest record could not be saved yet.
    pub unsaved: bool,
    /// Which process has the lease on a shared store, as far as this one knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_holder: Option<String>,
    /// Why the last attempt brought no token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalStatus>,
    /// The members of the token answer that are kept.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Value>,
}

/// Why and since when a grant is called dead.
#[derive(Clone, Debug, Serialize)]
pub struct DeathStatus {
    /// The server's error code.
    pub reason: String,
    /// When it was first said.
    pub since: Timestamp,
}

/// Why the last attempt brought no token.
#[derive(Clone, Debug, Serialize)]
pub struct RefusalStatus {
    /// What kind of trouble it is.
    pub reason: &'static str,
    /// The server's error code, or our own word.
    pub code: String,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
}

impl RefusalStatus {
    /// `refusal` as it stands now, with the wall's time.
    pub(super) fn of(refusal: &Refusal, now: Moment) -> Self {
        let wait = refusal.until.saturating_sub(now);
        Self {
            reason: refusal.reason.as_str(),
            code: refusal.code.clone(),
            next_attempt_at: Timestamp::now().checked_add(wait).ok(),
        }
    }
}

impl Status {
    /// What a record says by itself.
    pub fn of(grant: &GrantName, record: Option<&Record>, now: Timestamp) -> Self {
        let access = record.and_then(|record| record.access_token.as_ref());
        let (state, death) = state(record);
        let revoked_at = record.and_then(|record| match record.state {
            State::Revoked { since } => Some(since),
            _ => None,
        });
        Self {
            grant: grant.to_string(),
            state,
            death,
            refresh_token: record
                .filter(|record| !record.is_tombstone())
                .map(|record| record.refresh_token.fingerprint()),
            refresh_token_expires_at: record.and_then(|record| record.refresh_expires_at),
            refresh_token_lives_from: record.and_then(|record| record.refresh_lives_from),
            access_token: access.map(|access| access.value.fingerprint()),
            access_token_expires_at: access.and_then(|access| access.expires_at),
            access_token_lives: access
                .is_some_and(|access| access.expires_at.is_none_or(|end| now < end)),
            scope: record.and_then(|record| record.scope.clone()),
            subject: record.and_then(|record| record.subject.clone()),
            enrolled_at: record.and_then(|record| record.enrolled_at),
            revoked_at,
            obtained_at: record.map(|record| record.obtained_at),
            refreshed_at: record.and_then(|record| record.refreshed_at),
            rotated_at: record.and_then(|record| record.rotated_at),
            generation: record.map(|record| record.generation),
            intent_open: record.is_some_and(|record| record.intent.is_some()),
            unsaved: false,
            lease_holder: None,
            refusal: None,
            captured: record
                .map(|record| record.captured.clone())
                .unwrap_or_default(),
        }
    }
}

fn state(record: Option<&Record>) -> (&'static str, Option<DeathStatus>) {
    let Some(record) = record else {
        return ("none", None);
    };
    let (name, death) = match &record.state {
        State::Live => return ("live", None),
        State::Revoked { .. } => return ("revoked", None),
        State::Suspect(death) => ("suspect", death),
        State::Dead(death) => ("dead", death),
    };
    (
        name,
        Some(DeathStatus {
            reason: death.reason.clone(),
            since: death.since,
        }),
    )
}
