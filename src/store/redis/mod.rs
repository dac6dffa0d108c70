//! One grant in Redis, or in what speaks its protocol, shared by all who are pointed to it.
//!
//! Record and lease are fields of one hash under one key, so that one script sees both, and a
//! cluster keeps them on one node:
//!
//! | field | holds |
//! |---|---|
//! | `generation` | what compare-and-swap compares |
//! | `record` | the record in its envelope, sealed if a key is configured |
//! | `holder`, `fence`, `until` | who has the lease, with which number, and its end by the engine's clock |
//!
//! What always holds: every change is one script, which happens wholly or not at all; each can be
//! repeated without harm, so an answer that was lost costs nothing but the question; every
//! question ends within the configured time. Scripts are sent whole each time: they are short,
//! and an engine that was restarted knows none.
//!
//! What Redis cannot promise: an engine that is set to write its data to disk seldom, or not at
//! all, forgets records that it has confirmed when it crashes, and a replica that takes over
//! before it has everything does as well. The README says how to set it up.

mod line;
mod link;
mod route;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value, cmd, from_redis_value};

use self::line::Line;
use self::route::Route;
use super::envelope::{Codec, Fault, LARGEST, Stored};
use super::key::Keys;
use super::lease::{Claim, Holder, Lease, Sharing};
use super::{Answer, Error, ErrorKind, Record, Store, admit};
use crate::config::{self, GrantName};
use crate::secret::Secret;

/// The name of this engine, to which a sealed record is bound.
const ENGINE: &str = "redis";

const LOAD: &str = include_str!("load.lua");
const SAVE: &str = include_str!("save.lua");
const CLAIM: &str = include_str!("claim.lua");
const RELEASE: &str = include_str!("release.lua");

/// A grant under one key of Redis. Several processes may have it open.
///
/// Keys that seal are read once, when the store is opened; passwords and the files of TLS are
/// read again for each connection.
#[derive(Debug)]
pub struct RedisStore {
    codec: Codec,
    key: String,
    line: Line,
    limit: Duration,
    replicas: u8,
    /// The highest fence that was given back, or was meant to be: its lease is not renewed, since
    /// a release whose answer was lost may yet arrive.
    released: AtomicU64,
    announced: Once,
}

impl RedisStore {
    /// Prepares everything that can be wrong here; connects to nothing. Blocks the thread.
    pub fn open(settings: &config::RedisStore, grant: &GrantName) -> Result<Self, Error> {
        let limit = settings.timeout.duration();
        let codec = Codec {
            engine: ENGINE,
            grant: grant.clone(),
            keys: Keys::read(settings.key.source(), &settings.old_keys)?,
        };
        Ok(Self {
            codec,
            key: format!("{}{grant}", settings.prefix),
            line: Line::new(Route::new(settings)?, limit),
            limit,
            replicas: settings.replicas,
            released: AtomicU64::new(0),
            announced: Once::new(),
        })
    }

    async fn read(&self) -> Result<Option<Stored>, Error> {
        let mut question = self.script(LOAD);
        question.arg(LARGEST);
        let found = match self.ask(question).await? {
            Value::Int(_) => return Err(self.unreadable(Fault::too_large())),
            value => value,
        };
        let stored = match parse::<(Option<String>, Option<Vec<u8>>)>(found)? {
            (None, None) => return Ok(None),
            (Some(generation), Some(record)) => {
                let stored = self.codec.decode(&Secret::new(record));
                let stored = stored.map_err(|fault| self.unreadable(fault))?;
                if generation != stored.record.generation.to_string() {
                    return Err(self.unreadable(Fault::two_generations()));
                }
                stored
            }
            _ => return Err(self.unreadable(Fault::incomplete())),
        };
        self.announced.call_once(|| self.codec.announce(&stored));
        Ok(Some(stored))
    }

    async fn put(&self, record: &Record, if_generation: Option<u64>) -> Result<(), Error> {
        // The second round is for a save that arrived although its answer was lost, and for
        // whoever was faster.
        for _ in 0..2 {
            let stored = self.read().await?;
            let found = stored.as_ref().map(|stored| &stored.record);
            admit(found, record, if_generation)?;
            // What is there already is written once more where replicas are to have it too:
            // they are waited for by the connection that wrote.
            let stays = found == Some(record);
            if stays && self.replicas == 0 {
                return Ok(());
            }
            let expected = found.map(|found| found.generation);
            let other = stored.map(|stored| stored.other).unwrap_or_default();
            let bytes = self.codec.encode(record, &other)?;
            if self.swap(expected, record.generation, &bytes).await? {
                return Ok(());
            }
        }
        let message = format!("others are writing `{}` at the same moment", self.key);
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Writes `bytes`, unless the stored generation is not `expected` (any more).
    async fn swap(
        &self,
        expected: Option<u64>,
        generation: u64,
        bytes: &Secret<Vec<u8>>,
    ) -> Result<bool, Error> {
        let expected = expected.map(|generation| generation.to_string());
        let mut save = self.script(SAVE);
        save.arg(expected.unwrap_or_default())
            .arg(generation.to_string())
            .arg(bytes.expose().as_slice());
        let mut commands = vec![save];
        if self.replicas > 0 {
            let mut wait = cmd("WAIT");
            // Less than the time there is for both, so that the answer still comes.
            let limit = self.limit / 2;
            wait.arg(self.replicas).arg(milliseconds(limit));
            commands.push(wait);
        }
        let answers = self.line.ask(&commands).await?;
        let mut answers = answers.into_iter().map(parse::<u64>);
        if answers.next().transpose()? != Some(1) {
            return Ok(false);
        }
        let reached = answers.next().transpose()?.unwrap_or_default();
        if reached < u64::from(self.replicas) {
            let message = format!(
                "the record is on {reached} of {} replicas of Redis that must have it",
                self.replicas
            );
            return Err(Error::new(ErrorKind::Away, message)
                .with_hint("look at the replicas, or lower `replicas`"));
        }
        Ok(true)
    }

    async fn take(&self, holder: &Holder, ttl: Duration) -> Result<Claim, Error> {
        let mut question = self.script(CLAIM);
        let released = self.released.load(Ordering::Relaxed);
        question
            .arg(holder.as_str())
            .arg(milliseconds(ttl))
            .arg(released.to_string());
        match self.ask(question).await? {
            Value::Array(parts) if parts.first() == Some(&Value::Int(1)) => {
                let (_, fence) = parse::<(u8, String)>(Value::Array(parts))?;
                let holder = holder.clone();
                let fence = fence.parse().map_err(|_| strange())?;
                Ok(Claim::Taken(Lease { holder, fence, ttl }))
            }
            held => {
                let (_, by, left) = parse::<(u8, String, u64)>(held)?;
                Ok(Claim::held(&by, Some(Duration::from_millis(left))))
            }
        }
    }

    async fn give_back(&self, lease: &Lease) -> Result<(), Error> {
        self.released.fetch_max(lease.fence, Ordering::Relaxed);
        let mut question = self.script(RELEASE);
        question
            .arg(lease.holder.as_str())
            .arg(lease.fence.to_string());
        self.ask(question).await.map(drop)
    }

    /// A script over the key of this grant, to which its arguments are added.
    fn script(&self, text: &str) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(text).arg(1).arg(&self.key);
        command
    }

    async fn ask(&self, question: Cmd) -> Result<Value, Error> {
        let answers = self.line.ask(&[question]).await?;
        answers.into_iter().next().ok_or_else(strange)
    }

    fn unreadable(&self, fault: Fault) -> Error {
        let message = format!("the stored grant `{}` cannot be read", self.key);
        Error::new(ErrorKind::Unreadable, message)
            .with_hint(fault.hint())
            .because(fault)
    }
}

impl Store for RedisStore {
    fn load(&self) -> Answer<'_, Option<Record>> {
        Box::pin(async { Ok(self.read().await?.map(|stored| stored.record)) })
    }

    fn generation(&self) -> Answer<'_, Option<u64>> {
        Box::pin(async {
            let mut question = cmd("HGET");
            question.arg(&self.key).arg("generation");
            let text = parse::<Option<String>>(self.ask(question).await?)?;
            let number = text.map(|text| text.parse());
            number
                .transpose()
                .map_err(|_| self.unreadable(Fault::incomplete()))
        })
    }

    /// May happen although its future was dropped, or its time was up.
    fn save<'a>(&'a self, record: &'a Record, if_generation: Option<u64>) -> Answer<'a, ()> {
        Box::pin(self.put(record, if_generation))
    }

    fn claim<'a>(&'a self, holder: &'a Holder, ttl: Duration) -> Answer<'a, Claim> {
        Box::pin(self.take(holder, ttl))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Answer<'a, ()> {
        Box::pin(self.give_back(lease))
    }

    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }
}

/// The parts of an answer. What cannot be parsed is not shown: it may be the record.
fn parse<T: FromRedisValue>(answer: Value) -> Result<T, Error> {
    from_redis_value(answer).map_err(|_| strange())
}

fn strange() -> Error {
    Error::new(
        ErrorKind::Away,
        "Redis gave an answer of another form than was asked for",
    )
}

/// At least one: nothing would be no time at all, or for ever.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
