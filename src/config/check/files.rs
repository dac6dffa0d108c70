//! What the file refers to: secrets and certificates that must be there to be read.
//!
//! Apart from the other checks, since an editor or a test has the text but not the files.

use std::fs::File;
use std::io::Read;

use crate::config::document::Path;
use crate::config::fault::{Findings, Problem};
use crate::config::source::{Source, Text};
use crate::config::tls::Tls;
use crate::config::{Config, Grant, Store};

pub(in crate::config) fn files(config: &Config, findings: &mut Findings<'_>) {
    for (name, grant) in &config.grant {
        of_grant(&Path::of("grant").key(name.as_str()), grant, findings);
    }
    for (index, route) in config.route.iter().enumerate() {
        let at = Path::of("route").index(index);
        texts(&at.key("headers"), &route.headers, findings);
        tls(&at.key("tls"), &route.tls, findings);
    }
}

fn of_grant(at: &Path, grant: &Grant, findings: &mut Findings<'_>) {
    if let Some(source) = &grant.client_secret {
        secret(&at.key("client_secret"), "client_secret", source, findings);
    }
    if let Some(seed) = &grant.seed {
        let at = at.key("seed").key("refresh_token");
        secret(&at, "refresh_token", &seed.refresh_token, findings);
    }
    texts(
        &at.key("refresh").key("params"),
        &grant.refresh.params,
        findings,
    );
    for (key, params) in [
        ("exchange", &grant.exchange.params),
        ("device", &grant.device.params),
    ] {
        texts(&at.key(key).key("params"), params, findings);
    }
    texts(&at.key("token_headers"), &grant.token_headers, findings);
    of_store(&at.key("store"), &grant.store, findings);
    tls(&at.key("tls"), &grant.tls, findings);
}

fn of_store(at: &Path, store: &Store, findings: &mut Findings<'_>) {
    match store {
        Store::File(store) => {
            let keys = (store.key.as_ref(), store.old_keys.as_slice());
            of_keys(&at.key("file"), keys, findings);
        }
        Store::Kubernetes(store) => {
            let keys = (store.key.source(), store.old_keys.as_slice());
            of_keys(&at.key("kubernetes"), keys, findings);
        }
        Store::Redis(store) => {
            let at = at.key("redis");
            of_keys(&at, (store.key.source(), &store.old_keys), findings);
            let sentinel = store.sentinel.as_ref();
            let sentinel = sentinel.and_then(|sentinel| sentinel.password.as_ref());
            for (at, source) in [
                (at.key("password"), store.password.as_ref()),
                (at.key("sentinel").key("password"), sentinel),
            ] {
                if let Some(source) = source {
                    secret(&at, "password", source, findings);
                }
            }
            tls(&at.key("tls"), &store.tls, findings);
        }
    }
}

fn of_keys(at: &Path, (key, old): (Option<&Source>, &[Source]), findings: &mut Findings<'_>) {
    if let Some(key) = key {
        secret(&at.key("key"), "key", key, findings);
    }
    for (index, key) in old.iter().enumerate() {
        secret(&at.key("old_keys").index(index), "old_keys", key, findings);
    }
}

fn texts<'t>(
    at: &Path,
    texts: impl IntoIterator<Item = (&'t String, &'t Text)>,
    findings: &mut Findings<'_>,
) {
    for (name, text) in texts {
        if let Text::Secret(source) = text {
            secret(&at.key(name), name, source, findings);
        }
    }
}

fn secret(at: &Path, key: &str, source: &Source, findings: &mut Findings<'_>) {
    let Err(error) = source.read() else {
        return;
    };
    let cause =
        std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
    let hint = match source {
        Source::File(_) => "the file must be there, and readable by the user Bearward runs as",
        Source::Env(_) => "set it in the environment Bearward is started in",
    };
    findings.at(
        at,
        Problem::new(format!("{key}: {error}{cause}")).hint(hint),
    );
}

fn tls(at: &Path, tls: &Tls, findings: &mut Findings<'_>) {
    for (key, path) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
        let Some(path) = path else { continue };
        // One byte is enough to tell a folder and a forbidden file from one that can be read.
        let read = File::open(path).and_then(|mut file| file.read(&mut [0]));
        if let Err(cause) = read {
            let problem = format!("{key}: file `{}` cannot be read: {cause}", path.display());
            let hint = "the file must be there, and readable by the user Bearward runs as";
            findings.at(&at.key(key), Problem::new(problem).hint(hint));
        }
    }
}
