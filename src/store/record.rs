//! What is stored of a grant.
//!
//! What always holds: times are absolute; members that this version does not know are kept and
//! written back; secrets leave memory only here, on their way into a store.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;

/// The version of the record's form that this program writes.
pub(super) const SCHEMA: u32 = 1;

/// One grant as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this form.
    pub schema: u32,
    /// Grows by one with every save; what compare-and-swap compares.
    pub generation: u64,
    /// The refresh token in force.
    #[serde(with = "shown")]
    pub refresh_token: Secret<String>,
    /// The one before it, while that may still be of use.
    #[serde(
        with = "shown_if_any",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub previous_refresh_token: Option<Secret<String>>,
    /// The access token that came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<AccessToken>,
    /// The scope granted, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The account that the grant is of: the `sub` of the `id_token` that came with it
    /// (OpenID Connect Core §2), as this server names its accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When a person gave the grant by `bearward login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_at: Option<Timestamp>,
    /// When the grant was put into the store.
    pub obtained_at: Timestamp,
    /// When the refresh token last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// When the grant was last refreshed with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Timestamp>,
    /// When the refresh token itself ends, where the server told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<Timestamp>,
    /// From when the refresh token's life counts: it moves when a refresh puts the end off, and
    /// stays where the end is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_lives_from: Option<Timestamp>,
    /// What is about to be spent, written before the token request is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Whether the grant lives.
    #[serde(default)]
    pub state: State,
    /// Why the last refresh brought no token, where others who share the record are to wait too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setback: Option<Setback>,
    /// The hash of the seed that this chain began with, to tell whether the seed has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Members of the token answer that `capture` asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Value>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub other: Unknown,
}

/// An access token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The token.
    #[serde(with = "shown")]
    pub value: Secret<String>,
    /// The record's generation with which it came; a newer token has a higher one.
    #[serde(default)]
    pub generation: u64,
    /// When it was asked for.
    pub issued_at: Timestamp,
    /// When it ends; nothing: never, as far as anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl AccessToken {
    /// The whole life it was given; nothing where it never ends.
    pub fn lifetime(&self) -> Option<Duration> {
        let whole = self.expires_at?.duration_since(self.issued_at);
        Duration::try_from(whole).ok()
    }
}

/// What is about to be spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The SHA-256 hash of the refresh token, in hexadecimal.
    pub refresh_token: String,
    /// Which process is about to spend it.
    pub by: String,
    /// Since when; it stays where the same token is sent again.
    pub since: Timestamp,
    /// How often it was sent, or was about to be, since then.
    #[serde(default = "once")]
    pub tries: u32,
}

/// An intent that does not say was written before the first time.
fn once() -> u32 {
    1
}

/// Why the last refresh brought no token, and when the next one may be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setback {
    /// What kind of trouble it is, as replies name it.
    pub reason: String,
    /// The server's error code, or our own word.
    pub code: String,
    /// Nobody asks the server before.
    pub until: Timestamp,
    /// Failures in a row so far, from which the next wait grows.
    pub failures: u32,
}

/// Whether a grant lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As far as anybody knows.
    #[default]
    Live,
    /// The server called it dead once; not confirmed yet.
    Suspect(Death),
    /// The server called it dead, twice.
    Dead(Death),
    /// A person took it back: what is left is a tombstone ([`Record::tombstone`]).
    Revoked {
        /// When.
        since: Timestamp,
    },
}

/// Why and since when a grant is called dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The server's error code.
    pub reason: String,
    /// When it was first said.
    pub since: Timestamp,
}

/// Members that this version does not know. Any of them may be a secret, so `Debug` shows their
/// names alone.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unknown(BTreeMap<String, Value>);

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Record {
    /// The first record of a chain that begins with `refresh_token`.
    pub fn new(refresh_token: Secret<String>, now: Timestamp) -> Self {
        Self {
            schema: SCHEMA,
            generation: 0,
            refresh_token,
            previous_refresh_token: None,
            access_token: None,
            scope: None,
            subject: None,
            enrolled_at: None,
            obtained_at: now,
            rotated_at: None,
            refreshed_at: None,
            refresh_expires_at: None,
            refresh_lives_from: None,
            intent: None,
            state: State::Live,
            setback: None,
            seed: None,
            captured: BTreeMap::new(),
            other: Unknown::default(),
        }
    }

    /// The same grant as the first record of a chain that takes the place of `before`; `seed` is
    /// the hash of the configured seed, which so does not count as changed.
    ///
    /// Of what was learnt about the refresh token elsewhere nothing stays: this chain begins.
    #[must_use]
    pub fn in_place_of(self, before: Option<Self>, seed: Option<String>) -> Self {
        let generation = before.as_ref().map_or(1, |before| before.generation + 1);
        let own = &self.refresh_token;
        let previous = before
            .map(|before| before.refresh_token)
            .filter(|previous| !previous.expose().is_empty() && previous != own);
        Self {
            generation,
            previous_refresh_token: previous,
            access_token: self.access_token.map(|access| AccessToken {
                generation,
                ..access
            }),
            rotated_at: None,
            refreshed_at: None,
            intent: None,
            state: State::Live,
            setback: None,
            seed,
            ..self
        }
    }

    /// What is left of a grant that a person took back: that it was there, of whom, and with
    /// which seed it began, so that the same seed does not bring it back. No secret is left, and
    /// of unknown members each may be one.
    #[must_use]
    pub fn tombstone(&self, now: Timestamp) -> Self {
        Self {
            generation: self.generation + 1,
            scope: self.scope.clone(),
            subject: self.subject.clone(),
            enrolled_at: self.enrolled_at,
            seed: self.seed.clone(),
            state: State::Revoked { since: now },
            ..Self::new(Secret::new(String::new()), self.obtained_at)
        }
    }

    /// The access token, unless it has ended.
    pub fn living_access_token(&self, now: Timestamp) -> Option<&Secret<String>> {
        let access = self.access_token.as_ref()?;
        let lives = access.expires_at.is_none_or(|ends| now < ends);
        lives.then_some(&access.value)
    }

    /// True for what [`Record::tombstone`] leaves: there is no grant.
    pub fn is_tombstone(&self) -> bool {
        matches!(self.state, State::Revoked { .. })
    }
}

/// A secret on its way into or out of a store.
mod shown {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(
        secret: &Secret<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Secret<String>, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// The same for a secret that may be absent.
mod shown_if_any {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::secret::Secret;

    #[expect(
        clippy::ref_option,
        reason = "serde's `with` hands the field over like this"
    )]
    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret<String>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret<String>>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn enrolled() -> Record {
        let record = Record::new(secret("rt-new"), Timestamp::UNIX_EPOCH);
        Record {
            generation: 7,
            subject: Some(String::from("account")),
            scope: Some(String::from("crm.read")),
            access_token: Some(AccessToken {
                value: secret("at-new"),
                generation: 7,
                issued_at: Timestamp::UNIX_EPOCH,
                expires_at: None,
            }),
            captured: BTreeMap::from([(String::from("instance_url"), json!("https://a.example"))]),
            ..record
        }
    }

    #[test]
    fn a_tombstone_remembers_whose_it_was_and_keeps_no_secret() {
        let mut grant = enrolled().in_place_of(None, Some(String::from("hash of the seed")));
        grant.previous_refresh_token = Some(secret("rt-old"));
        grant.other = Unknown(BTreeMap::from([(String::from("dpop"), json!("secret"))]));
        let tombstone = grant.tombstone(Timestamp::UNIX_EPOCH);
        assert!(tombstone.is_tombstone() && !grant.is_tombstone());
        assert_eq!(
            serde_json::to_value(&tombstone).unwrap(),
            json!({
                "schema": 1, "generation": 2, "refresh_token": "",
                "scope": "crm.read", "subject": "account", "seed": "hash of the seed",
                "obtained_at": "1970-01-01T00:00:00Z",
                "state": { "revoked": { "since": "1970-01-01T00:00:00Z" } },
            })
        );
        let read: Record = serde_json::from_value(json!(tombstone)).unwrap();
        assert_eq!(read, tombstone);
    }

    #[test]
    fn a_setback_is_kept_and_ends_with_its_chain() {
        let stored = json!({
            "schema": 1, "generation": 4, "refresh_token": "rt-1",
            "obtained_at": "1970-01-01T00:00:00Z", "state": "live",
            "setback": {
                "reason": "issuer_unavailable", "code": "status_500",
                "until": "1970-01-01T00:01:00Z", "failures": 3,
            },
        });
        let read: Record = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(read.setback.as_ref().map(|it| it.failures), Some(3));
        assert_eq!(json!(read), stored);
        assert_eq!(read.clone().tombstone(Timestamp::UNIX_EPOCH).setback, None);
        assert_eq!(read.in_place_of(None, None).setback, None);
    }

    #[test]
    fn a_new_chain_keeps_the_last_refresh_token_where_there_is_another() {
        let old = Record::new(secret("rt-old"), Timestamp::UNIX_EPOCH);
        let begun = enrolled().in_place_of(Some(old.clone()), None);
        assert_eq!(begun.generation, 1);
        assert_eq!(begun.previous_refresh_token, Some(secret("rt-old")));
        assert_eq!(begun.access_token.unwrap().generation, 1);
        let after_nothing = enrolled().in_place_of(Some(old.tombstone(old.obtained_at)), None);
        assert_eq!(after_nothing.generation, 2);
        assert_eq!(after_nothing.previous_refresh_token, None);
        let again = enrolled().in_place_of(Some(enrolled()), None);
        assert_eq!((again.generation, again.previous_refresh_token), (8, None));
    }
}
