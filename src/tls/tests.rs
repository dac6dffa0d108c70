//! Files good and bad, and what is said about them.

use std::error::Error as _;
use std::fs;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::secret::Secret;

/// A folder with one certificate and its key, another key, and files that are wrong.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new([String::from("client")])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let mut cut = key.serialize_pem();
        cut.truncate(cut.len() / 2);
        files.write("cert.pem", &cert.pem());
        files.write("key.pem", &key.serialize_pem());
        files.write("other.pem", &KeyPair::generate().unwrap().serialize_pem());
        files.write("both.pem", &(cert.pem() + &key.serialize_pem()));
        files.write("text", "c2VjcmV0LWtleS1tYXRlcmlhbA==");
        files.write("cut.pem", &cut);
        let hollow =
            "-----BEGIN CERTIFICATE-----\nc2VjcmV0LWtleS1tYXRlcmlhbA==\n-----END CERTIFICATE-----";
        files.write("hollow.pem", hollow);
        files.write(
            "hollow-key.pem",
            &hollow.replace("CERTIFICATE", "PRIVATE KEY"),
        );
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self, ca: &str, cert: &str, key: &str) -> config::Tls {
        let path = |name: &str| (!name.is_empty()).then(|| self.path(name));
        config::Tls {
            ca: path(ca),
            system_roots: false,
            cert: path(cert),
            key: path(key),
            server_name: None,
        }
    }
}

#[test]
fn files_that_fit_make_a_configuration() {
    let files = Files::new();
    for (ca, cert, key) in [
        ("cert.pem", "", ""),
        ("cert.pem", "cert.pem", "key.pem"),
        ("both.pem", "both.pem", "both.pem"),
    ] {
        client(&files.settings(ca, cert, key)).unwrap();
    }
}

/// `ca`, `cert`, `key`, and what is said.
const BAD: [[&str; 4]; 13] = [
    ["gone.pem", "", "", "cannot read `gone.pem`"],
    [
        "text",
        "",
        "",
        "`text` holds no certificate; MUST CERTIFICATE-----`",
    ],
    [
        "key.pem",
        "",
        "",
        "`key.pem` holds no certificate; MUST CERTIFICATE-----`",
    ],
    [
        "hollow.pem",
        "",
        "",
        "the certificate in `hollow.pem` is malformed",
    ],
    [
        "",
        "",
        "",
        "no certificate authority is trusted; give `ca`, or leave `system_roots` on",
    ],
    ["cert.pem", "cert.pem", "", "`key` is missing; NEEDS"],
    ["cert.pem", "", "key.pem", "`cert` is missing; NEEDS"],
    [
        "cert.pem",
        "key.pem",
        "key.pem",
        "`key.pem` holds no certificate; MUST CERTIFICATE-----`",
    ],
    [
        "cert.pem",
        "hollow.pem",
        "key.pem",
        "the certificate in `hollow.pem` is malformed",
    ],
    [
        "cert.pem",
        "cert.pem",
        "text",
        "`text` holds no private key; MUST PRIVATE KEY-----`",
    ],
    [
        "cert.pem",
        "cert.pem",
        "cut.pem",
        "the private key in `cut.pem` is malformed",
    ],
    [
        "cert.pem",
        "cert.pem",
        "hollow-key.pem",
        "the private key in `hollow-key.pem` is malformed",
    ],
    [
        "cert.pem",
        "cert.pem",
        "other.pem",
        "the private key in `other.pem` does not belong to the certificate in `cert.pem`; FIRST",
    ],
];

#[test]
fn every_bad_file_is_named_and_none_is_quoted() {
    let files = Files::new();
    let folder = format!("{}/", files.0.path().display());
    for [ca, cert, key, message] in BAD {
        let message = message
            .replace("MUST", "it must be PEM, with a line `-----BEGIN")
            .replace("NEEDS", "a client certificate needs both `cert` and `key`")
            .replace(
                "FIRST",
                "the certificate of the client itself must stand first in its file",
            );
        let error = client(&files.settings(ca, cert, key)).unwrap_err();
        assert_eq!(error.to_string().replace(&folder, ""), message);
        let all = format!("{error:?} {:?}", error.source());
        assert!(!all.contains("c2Vj") && !all.contains("99, 50"), "{all}");
    }
}

#[test]
fn texts_out_of_a_larger_file_are_named_by_that_file() {
    let files = Files::new();
    let kept = PathBuf::from("/home/somebody/kept");
    let text = |name: &str| Pem::new(&kept, Secret::new(fs::read(files.path(name)).unwrap()));
    let [cert, key, other] = ["cert.pem", "key.pem", "other.pem"].map(text);
    client_with(Some(&cert), Some((&cert, &key))).unwrap();
    client_with(None, None).unwrap();
    for (ca, identity, message) in [
        (&key, None, "`/home/somebody/kept` holds no certificate; "),
        (
            &cert,
            Some((&cert, &other)),
            "the private key in `/home/somebody/kept` does not belong ",
        ),
        (
            &cert,
            Some((&cert, &cert)),
            "`/home/somebody/kept` holds no private key; ",
        ),
    ] {
        let error = client_with(Some(ca), identity).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
    assert!(!format!("{key:?}").contains("BEGIN"));
}

#[test]
fn the_system_or_the_built_in_roots_are_trusted_by_default() {
    let many = roots::trusted(&config::Tls::default()).unwrap().len();
    assert!(many > 10, "only {many} roots");
}

#[test]
fn alpn_is_set_on_a_copy() {
    let config = client(&config::Tls::default()).unwrap();
    for (alpn, names) in [
        (Alpn::Http1, vec!["http/1.1"]),
        (Alpn::Http2, vec!["h2"]),
        (Alpn::Either, vec!["h2", "http/1.1"]),
    ] {
        assert_eq!(
            with_alpn(&config, alpn).alpn_protocols,
            names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>()
        );
    }
    assert!(config.alpn_protocols.is_empty());
}

#[test]
fn a_server_is_named_by_dns_or_address() {
    for good in [
        "api.example.com",
        "localhost",
        "127.0.0.1",
        "::1",
        "a_b.internal",
    ] {
        server_name(good).unwrap();
    }
    assert_eq!(
        server_name("no spaces").unwrap_err().to_string(),
        "`no spaces` is neither a DNS name nor an IP address"
    );
}
