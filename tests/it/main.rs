//! The tests of Bearward as a whole: one binary, one file per concern.
//!
//! `practice` is the world around it (an authorization server, an API), `support` starts the
//! real program between them. Every test that starts it is also a test that it leaks no secret.
#![allow(unreachable_pub, reason = "a test binary has no callers")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "a test says what it expects and stops where that fails"
)]

#[path = "../practice/mod.rs"]
mod practice;
mod support;

mod cli;
mod config;
mod crash;
mod deploy;
mod disk;
mod expiry;
mod hardening;
mod house;
mod issuer_misbehaves;
mod knobs;
mod kubernetes;
mod live;
mod login;
mod login_page;
mod logs;
mod main_job;
mod metrics;
mod oidc_grant;
mod oidc_pages;
mod oidc_provider;
mod peers_defects;
mod plane;
mod practice_tls;
mod practice_world;
mod probes;
mod readme;
mod refresh;
mod reload;
mod replicas;
mod secrets;
mod service_manager;
mod start;
mod stop;
mod take_back;
mod waiters;
