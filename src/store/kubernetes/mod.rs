//! One grant in a Secret of Kubernetes, and turns by a Lease, for all who are pointed to them.
//!
//! The record is the member `grant` of the Secret's data; the right to spend the refresh token is
//! a `coordination.k8s.io/v1` Lease. Both exist beforehand: of all verbs only `get` and `patch`
//! are used, on these two names, so a Role can allow just that. Without `watch`: whoever wants to
//! know of others' saves looks.
//!
//! What always holds: every write names the `resourceVersion` that was read before it, so what
//! somebody else has written since is never overwritten, and a write whose answer was lost can be
//! repeated; what else is in the two objects is kept; when a lease ends is judged by our own
//! clock alone, from the moment we saw it change: nobody's clocks are compared.

mod access;
mod client;
mod lease;
mod trouble;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::access::{Access, Surroundings};
use self::client::{Client, Object, Patched, Version};
use self::lease::{Spec, Watched};
use super::envelope::{Codec, Fault, Stored};
use super::key::Keys;
use super::lease::{Claim, Holder, Lease, Sharing};
use super::{Answer, Error, ErrorKind, Record, Store, admit};
use crate::config::{self, GrantName};
use crate::secret::Secret;

/// The name of this engine, to which a sealed record is bound.
const ENGINE: &str = "kubernetes";

/// The largest record in bytes: the API server takes no larger Secret.
const LARGEST: usize = 1 << 20;

/// How often an object is read and written anew because somebody else was faster.
const ROUNDS: usize = 4;

/// A grant in a Secret. Several processes may have it open.
///
/// Keys that seal are read once, when the store is opened; tokens, certificates and the
/// kubeconfig are read again for each call.
#[derive(Debug)]
pub struct KubernetesStore {
    codec: Codec,
    client: Client,
    secret: Object,
    lease: Object,
    watched: Mutex<Watched>,
    clock: Clock,
    announced: Once,
}

/// Tells our own time, which no two machines need to agree on.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> Instant + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What is read of a Secret.
#[derive(Deserialize)]
struct SecretObject {
    metadata: Metadata,
    data: Option<Data>,
}

/// What is read of a Lease.
#[derive(Deserialize)]
struct LeaseObject {
    metadata: Metadata,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: Version,
}

#[derive(Deserialize)]
struct Data {
    grant: Option<String>,
}

/// What is written to a Secret, as a merge patch (RFC 7396): everything else stays.
#[derive(Serialize)]
struct SecretPatch<'a> {
    metadata: MetadataPatch<'a>,
    data: DataPatch<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetadataPatch<'a> {
    resource_version: &'a Version,
}

#[derive(Serialize)]
struct DataPatch<'a> {
    grant: &'a str,
}

impl KubernetesStore {
    /// Prepares everything that can be wrong here; calls nobody. Blocks the thread.
    pub fn open(settings: &config::KubernetesStore, grant: &GrantName) -> Result<Self, Error> {
        Self::within(settings, grant, &Surroundings::of_this_process())
    }

    fn within(
        settings: &config::KubernetesStore,
        grant: &GrantName,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        let limit = settings.timeout.duration();
        let access = Access::find(settings.kubeconfig.as_deref(), surroundings, limit)?;
        let namespace = match &settings.namespace {
            Some(namespace) => namespace.clone(),
            None => access.namespace()?,
        };
        Ok(Self {
            codec: Codec {
                engine: ENGINE,
                grant: grant.clone(),
                keys: Keys::read(settings.key.source(), &settings.old_keys)?,
            },
            secret: Object::secret(namespace.clone(), settings.secret.clone()),
            lease: Object::lease(namespace, settings.lease().clone()),
            client: Client::new(access, limit),
            watched: Mutex::default(),
            clock: Clock(Arc::new(Instant::now)),
            announced: Once::new(),
        })
    }

    /// The bytes under `grant`, and the version of the Secret that has them.
    async fn fetch(&self) -> Result<(Version, Option<Secret<Vec<u8>>>), Error> {
        let object: SecretObject = self.client.get(&self.secret).await?;
        let text = object.data.and_then(|data| data.grant).map(Secret::new);
        let bytes = text.map(|text| STANDARD.decode(text.expose()).map(Secret::new));
        let bytes = bytes
            .transpose()
            .map_err(|_| self.unreadable(Fault::incomplete()))?;
        Ok((object.metadata.resource_version, bytes))
    }

    async fn read(&self) -> Result<(Version, Option<Stored>), Error> {
        let (version, bytes) = self.fetch().await?;
        let stored = bytes.map(|bytes| self.codec.decode(&bytes)).transpose();
        let stored = stored.map_err(|fault| self.unreadable(fault))?;
        if let Some(stored) = &stored {
            self.announced.call_once(|| self.codec.announce(stored));
        }
        Ok((version, stored))
    }

    async fn put(&self, record: &Record, if_generation: Option<u64>) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let (version, stored) = self.read().await?;
            let found = stored.as_ref().map(|stored| &stored.record);
            admit(found, record, if_generation)?;
            if found == Some(record) {
                return Ok(());
            }
            let other = stored.map(|stored| stored.other).unwrap_or_default();
            let bytes = self.codec.encode(record, &other)?;
            if self.write(&version, &bytes).await? == Patched::Done {
                return Ok(());
            }
            // What is there now may be this very record, by a write whose answer was lost.
        }
        Err(crowded(&self.secret))
    }

    async fn write(&self, version: &Version, bytes: &Secret<Vec<u8>>) -> Result<Patched, Error> {
        if bytes.expose().len() > LARGEST {
            let message = "the record is larger than a Secret may be, 1 MiB";
            return Err(Error::new(ErrorKind::Refused, message)
                .with_hint("let `capture` keep less of the token answer"));
        }
        let grant = Secret::new(STANDARD.encode(bytes.expose()));
        let patch = SecretPatch {
            metadata: MetadataPatch {
                resource_version: version,
            },
            data: DataPatch {
                grant: grant.expose(),
            },
        };
        self.client.patch(&self.secret, &patch).await
    }

    /// The lease as it is, and how long it still has if nobody renews it.
    async fn look(&self) -> Result<(Version, Spec, Duration), Error> {
        let object: LeaseObject = self.client.get(&self.lease).await?;
        let spec = object.spec.unwrap_or_default();
        let now = (self.clock.0)();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = watched.see(&spec, now);
        Ok((object.metadata.resource_version, spec, remaining))
    }

    async fn take(&self, holder: &Holder, ttl: Duration) -> Result<Claim, Error> {
        for _ in 0..ROUNDS {
            let (version, found, remaining) = self.look().await?;
            if let Some(other) = found.held_by_other(holder).filter(|_| !remaining.is_zero()) {
                return Ok(Claim::held(other, Some(remaining)));
            }
            let (spec, fence) = found.taken(holder, ttl, Timestamp::now());
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            if self.client.patch(&self.lease, &patch).await? == Patched::Done {
                let holder = holder.clone();
                return Ok(Claim::Taken(Lease { holder, fence, ttl }));
            }
        }
        Err(crowded(&self.lease))
    }

    async fn give_back(&self, lease: &Lease) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let (version, found, _) = self.look().await?;
            let Some(spec) = found.released(lease, Timestamp::now()) else {
                return Ok(());
            };
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            if self.client.patch(&self.lease, &patch).await? == Patched::Done {
                return Ok(());
            }
        }
        Err(crowded(&self.lease))
    }

    fn unreadable(&self, fault: Fault) -> Error {
        let message = format!("the grant in the {} cannot be read", self.secret);
        Error::new(ErrorKind::Unreadable, message)
            .with_hint(fault.hint())
            .because(fault)
    }
}

impl Store for KubernetesStore {
    fn load(&self) -> Answer<'_, Option<Record>> {
        Box::pin(async { Ok(self.read().await?.1.map(|stored| stored.record)) })
    }

    /// Reads the Secret all the same, but opens nothing that is sealed.
    fn generation(&self) -> Answer<'_, Option<u64>> {
        Box::pin(async {
            let (_, bytes) = self.fetch().await?;
            let number = bytes.map(|bytes| self.codec.generation(&bytes)).transpose();
            number.map_err(|fault| self.unreadable(fault))
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

fn crowded(object: &Object) -> Error {
    let message = format!("others go on changing the {object} at the same moment");
    Error::new(ErrorKind::Away, message)
        .with_hint("nothing but Bearward should write there that often")
}
