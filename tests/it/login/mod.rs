//! `bearward login`: a person gives the grant, and it is in the store.

mod practice;
mod provider;

use crate::practice::{Api, Issuer};
use crate::support::{Exit, Sidecar, SidecarBuilder};

/// A sidecar between the two that has no grant yet, and may be given one while it runs.
fn without_grant(issuer: &Issuer, api: &Api) -> SidecarBuilder {
    let mut plan =
        Sidecar::builder().client(issuer.url(), issuer.client_id(), issuer.client_secret());
    plan = plan.upstream(api.url()).watch(issuer.secrets());
    plan.grant("scope = [\"offline_access\", \"crm.read\"]")
}

/// The words that a person must have heard.
#[track_caller]
fn assert_said(exit: &Exit, code: i32, words: &[&str]) {
    assert_eq!(exit.code, Some(code), "{}", exit.stderr);
    for words in words {
        assert!(
            exit.stderr.contains(words),
            "no `{words}` in:\n{}",
            exit.stderr
        );
    }
}
