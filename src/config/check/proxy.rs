//! `[proxy]`: limits that can hold and timeouts that can pass.

use std::ops::RangeInclusive;

use crate::config::Proxy;
use crate::config::document::Path;
use crate::config::fault::{Findings, Problem};
use crate::config::values::Size;

pub(super) fn check(at: &Path, proxy: &Proxy, findings: &mut Findings<'_>) {
    for (key, number, bounds) in [
        ("workers", u32::from(proxy.workers), 1..=64),
        ("max_connections", proxy.max_connections, 1..=1_000_000),
        ("max_headers", u32::from(proxy.max_headers), 1..=10_000),
        (
            "max_concurrent_streams",
            proxy.max_concurrent_streams,
            1..=100_000,
        ),
    ] {
        number_within(&at.key(key), number, bounds, findings);
    }
    header_size(&at.key("max_header_size"), proxy.max_header_size, findings);
    socket_mode(&at.key("socket_mode"), &proxy.socket_mode, findings);
    for (key, deadline) in [
        ("header_timeout", proxy.header_timeout),
        ("body_timeout", proxy.body_timeout),
        ("half_close_timeout", proxy.half_close_timeout),
        ("idle_timeout", proxy.idle_timeout),
    ] {
        super::deadline(&at.key(key), deadline, findings);
    }
}

/// A number outside of what makes sense.
pub(super) fn number_within(
    at: &Path,
    number: u32,
    bounds: RangeInclusive<u32>,
    findings: &mut Findings<'_>,
) {
    if !bounds.contains(&number) {
        let (least, most) = bounds.into_inner();
        findings.at(
            at,
            Problem::new(format!("this number is not between {least} and {most}")),
        );
    }
}

fn header_size(at: &Path, size: Size, findings: &mut Findings<'_>) {
    if !(Size::kib(1)..=Size::kib(1024)).contains(&size) {
        findings.at(at, Problem::new("this size is not between 1KiB and 1MiB"));
    }
}

fn socket_mode(at: &Path, mode: &str, findings: &mut Findings<'_>) {
    let octal =
        (3..=4).contains(&mode.len()) && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(mode, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o777);
    if mode.is_none() {
        let problem = Problem::new("these are not the permissions of a socket")
            .hint("write them in octal: `\"0600\"` for the owner, `\"0660\"` for the group too");
        findings.at(at, problem);
    }
}
