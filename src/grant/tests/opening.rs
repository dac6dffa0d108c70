//! What stops a keeper's start, and what does not.

use std::sync::Arc;

use prometheus::Registry;
use serde_json::json;

use crate::grant::{Cache, Keeper, Metrics, Parts};
use crate::issuer::Issuer;
use crate::ready::Ready;
use crate::store::memory::Memory;
use crate::store::{ErrorKind, Holder};

async fn open(store: Memory) -> Result<Ready, ErrorKind> {
    let grant = json!({
        "client_id": "app",
        "token_endpoint": "https://as.example/token",
        "store": { "file": { "path": "/nowhere" } },
    });
    let settings = serde_json::from_value(grant).unwrap();
    let parts = Parts {
        issuer: Arc::new(Issuer::new(&settings).unwrap()),
        store: Arc::new(store),
        holder: Holder::named("a test"),
        settings,
    };
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let ready = Ready::default();
    let name = "crm".parse().unwrap();
    let opened = Keeper::open(name, parts, Cache::default(), &metrics, &ready).await;
    opened.map(|_| ready).map_err(|error| error.kind)
}

#[tokio::test]
async fn a_shared_store_that_is_away_does_not_stop_a_start() {
    let shared = || Memory::shared(Default::default);
    for (store, kind, starts) in [
        (shared(), ErrorKind::Away, true),
        (shared(), ErrorKind::Unreadable, false),
        (shared(), ErrorKind::Refused, false),
        (Memory::default(), ErrorKind::Away, false),
    ] {
        store.fail_load(kind);
        let opened = open(store).await;
        assert_eq!(opened.err(), (!starts).then_some(kind));
    }
}
