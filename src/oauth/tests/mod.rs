//! The room's larger tests, by what they are about.

mod classify;
mod device;
mod enrolment;
mod id_token;
mod key_set;
mod metadata;
mod mutation;
mod redirected;
mod rejection;
mod remedy;
mod request;
mod revoke;
mod signer;
mod vectors;

use serde_json::{Value, json};

use crate::config::Grant;

/// A grant with these keys beside the ones that every grant needs.
fn grant(keys: &Value) -> Grant {
    let mut grant = json!({
        "client_id": "app",
        "store": { "file": { "path": "/nowhere" } },
    });
    for (key, value) in keys.as_object().expect("keys are an object") {
        grant[key] = value.clone();
    }
    serde_json::from_value(grant).expect("the keys are good")
}
