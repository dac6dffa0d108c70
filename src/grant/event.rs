//! The words of the keeper's state machine: what happens to it and what it decides.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{self, Lifetime, Margin};
use crate::issuer::Revoked;
use crate::oauth::{Answer, Class, Failure};
use crate::secret::Secret;
use crate::store::{Claim, ErrorKind, Holder, Lease, Record, Sharing};

/// A moment of the monotonic clock, as the time since some start.
pub type Moment = Duration;

/// Both clocks: the wall's for what is stored, the monotonic one for waiting.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// The monotonic clock.
    pub mono: Moment,
}

/// What of the configuration the machine needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much of a token's life is left when its successor is fetched.
    pub refresh_before: Margin,
    /// A token's lifetime where nobody tells one; nothing means for ever.
    pub default_expires_in: Option<Duration>,
    /// The least age at which a rejected token is replaced.
    pub renew_floor: Duration,
    /// How the server treats the refresh token over time.
    pub lifetime: Lifetime,
    /// How long a token request may take in all.
    pub call: Duration,
    /// Whether other processes keep the same grant in the same store.
    pub sharing: Sharing,
    /// Who writes intents and takes leases: the name of this start of this process.
    pub identity: String,
}

impl Settings {
    /// What the section of a grant says, for the process that runs here and the store it uses.
    pub fn of(grant: &config::Grant, sharing: Sharing, holder: &Holder) -> Self {
        Self {
            refresh_before: grant.refresh_before,
            default_expires_in: grant.default_expires_in.duration(),
            renew_floor: grant.renew_floor.duration(),
            lifetime: grant.lifetime,
            call: grant.token_timeout.duration(),
            sharing,
            identity: holder.as_str().to_owned(),
        }
    }
}

/// What happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A request found no living token.
    Wanted,
    /// The upstream refused the token of this generation; `Unproven`: it was never accepted.
    Rejected(u64, Standing),
    /// An operator wants a new token now, whether or not one is due.
    Demanded,
    /// The record was read.
    Loaded(Result<Option<Record>, ErrorKind>),
    /// The stored record is the one that is known.
    Unchanged,
    /// The lease is ours, or somebody has it, or why it could not be asked for.
    Claimed(Result<Claim, ErrorKind>),
    /// The lease was given back, or could not be: it ends by itself.
    Released,
    /// The record is durable, or why it is not.
    Saved(Result<(), ErrorKind>),
    /// The server answered a refresh that was sent at this moment.
    Answered(Answer, Timestamp),
    /// The client's secret has changed.
    SecretChanged,
    /// The seed has changed; this is the new one.
    SeedChanged(Secret<String>),
    /// A person puts another grant in; with it the hash of the configured seed, which so does
    /// not count as changed. Told by [`Decision::Settle`].
    Imported(Box<Record>, Option<String>),
    /// A person takes the grant back. Told by [`Decision::Settle`].
    Disowned(Means),
    /// The server was asked to revoke the grant.
    Revoked(Result<Revoked, Failure>),
}

/// How a grant is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// At the server (RFC 7009), then here.
    Revoke,
    /// Here alone: the server is gone, or cannot revoke. What it gave may live on there.
    Forget,
}

/// Whether an upstream ever accepted a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not yet.
    Unproven,
    /// It did.
    Proven,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Read the record; tell by [`Event::Loaded`].
    Load,
    /// Save this record if that generation is still stored; tell by [`Event::Saved`].
    Save(Box<Record>, Option<u64>),
    /// See whether this generation is still the stored one; tell by [`Event::Unchanged`], or read
    /// the record and tell by [`Event::Loaded`].
    Look(u64),
    /// Take the lease for so long, or renew it; tell by [`Event::Claimed`].
    Claim(Duration),
    /// Give the lease back; tell by [`Event::Released`].
    Release(Lease),
    /// Send this refresh token, by this right where the store is shared; tell by
    /// [`Event::Answered`].
    Refresh(Secret<String>, Option<Right>),
    /// Have the server revoke this refresh token and this access token; tell by
    /// [`Event::Revoked`].
    Revoke(Secret<String>, Option<Secret<String>>),
    /// Hand out this access token.
    Publish(Issued),
    /// Hand out none any more, neither the one in use.
    Withdraw,
    /// Tell whoever asked for an import or a revocation what came of it.
    Settle(Result<Settled, Refusal>),
    /// Whoever waits is told no, and for how long.
    Refuse(Refusal),
    /// The last refusal holds no longer: whoever asks may wait again.
    Relent,
    /// Somebody should know.
    Notice(Notice),
}

/// The right to send a refresh token that several processes know.
#[derive(Clone, Debug)]
pub struct Right {
    /// The lease it comes from, to be renewed while the call runs.
    pub lease: Lease,
    /// The last moment at which the request may leave, by either clock: a process that was
    /// stopped must not wake up and send.
    pub not_after: Now,
}

impl PartialEq for Right {
    fn eq(&self, other: &Self) -> bool {
        self.lease == other.lease && self.not_after.mono == other.not_after.mono
    }
}

/// What was done for a person, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The imported grant is stored; its access tokens have this generation or a higher one.
    Imported(u64),
    /// The grant is gone, and so is what was stored of it.
    Revoked(Farewell),
}

/// What became of a grant that was taken back, by fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    /// The refresh token's fingerprint.
    pub refresh_token: String,
    /// The access token's, where there was one.
    pub access_token: Option<String>,
    /// Whether the server revoked the refresh token, or it was only forgotten here.
    pub means: Means,
    /// Why the server did not revoke the access token, where it did not.
    pub access_token_left: Option<String>,
}

impl Farewell {
    /// Of `record`, which is taken back now; `left` says why its access token may live on.
    pub fn to(record: &Record, means: Means, left: Option<String>, now: Timestamp) -> Self {
        let access_token = record.living_access_token(now);
        Self {
            refresh_token: record.refresh_token.fingerprint(),
            access_token: access_token.map(Secret::fingerprint),
            means,
            access_token_left: left,
        }
    }
}

/// An access token as it is handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// The token.
    pub value: Secret<String>,
    /// The generation of the record it stands in.
    pub generation: u64,
    /// When it was asked for: here, by a process before this one, or by a replica.
    pub obtained: Moment,
    /// When it ends; nothing: never, as far as anybody knows.
    pub ends: Option<Moment>,
    /// From when on a rejection of it may lead to a refresh.
    pub renewable_from: Moment,
}

/// Why there is no token, until when nobody need ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The server's error code, or our own word for what went wrong.
    pub code: String,
    /// The next attempt.
    pub until: Moment,
}

/// Why there is no access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The store is empty: nobody has put a grant in, or somebody has taken it back.
    NoGrant,
    /// The server says the grant is dead.
    GrantDead,
    /// The server refuses the client's own credential.
    ClientRefused,
    /// The server refuses the form of the request.
    ConfigurationRefused,
    /// The server cannot be reached, is busy, or answers something else.
    IssuerUnavailable,
    /// The store cannot be read or written.
    StoreUnavailable,
    /// No answer came in the time that a request may wait.
    TokenTimeout,
}

impl Reason {
    /// Its name in replies, logs and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoGrant => "no_grant",
            Self::GrantDead => "grant_dead",
            Self::ClientRefused => "client_refused",
            Self::ConfigurationRefused => "configuration_refused",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::TokenTimeout => "token_timeout",
        }
    }

    /// The reason of this name; what a later version wrote is the server's trouble.
    pub fn named(name: &str) -> Self {
        let known = [
            Self::NoGrant,
            Self::GrantDead,
            Self::ClientRefused,
            Self::ConfigurationRefused,
            Self::StoreUnavailable,
            Self::TokenTimeout,
        ];
        let found = known.into_iter().find(|reason| reason.as_str() == name);
        found.unwrap_or(Self::IssuerUnavailable)
    }
}

/// Something that a log or a counter should tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A refresh brought a token; whether the refresh token changed with it.
    Refreshed(Rotation),
    /// A refresh brought none.
    Failed(Class, String),
    /// The store holds something newer, which was taken.
    Adopted,
    /// There is no grant: nothing is stored, or it was taken back.
    Missing(String),
    /// The seed begins a new chain.
    Seeded,
    /// A grant that a person puts in begins a new chain.
    Imported,
    /// A person has taken the grant back.
    Revoked(Means),
    /// The process of this name, or its last answer, left open whether the refresh token was spent.
    IntentOpen(String),
    /// Another process, of this name, has the lease; it is waited for.
    LeaseHeld(String),
    /// The lease was another's in between, or is; nothing was sent.
    LeaseLost,
    /// The token request was not sent, for the lease would not have outlasted it.
    Withheld,
    /// Somebody else saved first; what is stored is read again.
    Overtaken,
    /// The same refresh token is sent again, inside the server's replay window.
    Resent,
    /// The refresh token may be spent and is not sent again while the access token lives.
    Held,
    /// The same refresh token is sent again although it may be spent: nothing else is left.
    LastResort,
    /// The new record could not be saved; it is tried again.
    Unsaved(ErrorKind),
    /// The record that could not be saved now is.
    SavedAtLast,
    /// The store could not be read or written before a refresh, so none was sent.
    StoreTrouble(ErrorKind),
    /// The server called the grant dead twice.
    Died(String),
    /// The refresh token, or the whole grant, ends at that moment, in no more than so many days.
    Ending(u16, Timestamp),
    /// The wall clock ran ahead of the monotonic one by so much: the machine slept, or was set.
    ClockRanAhead(Duration),
    /// The wall clock was set back.
    ClockSetBack,
}

/// Whether a refresh brought a new refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It did.
    Rotated,
    /// The old one stays.
    Kept,
}
