//! HTTP/2 below any library: frames and fields as bytes (RFC 9113 §4.1, RFC 7541 §6.2.2).

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::support::client::{PATIENCE, Wire};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A client's preface and its SETTINGS, which change nothing.
pub(super) const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(super) const METHOD: (&str, &str) = (":method", "GET");
pub(super) const SCHEME: (&str, &str) = (":scheme", "http");
pub(super) const AUTHORITY: (&str, &str) = (":authority", "a");
pub(super) const PATH: (&str, &str) = (":path", "/");

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let (head, stream) = ([length[1], length[2], length[3]], stream.to_be_bytes());
    [&head, &[kind, flags][..], &stream, payload].concat()
}

/// A header field in HPACK, literal and without an index (RFC 7541 §6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter();
    fields
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// The first frame that says what became of a stream: its type and first byte.
pub(super) async fn verdict(wire: &mut Wire) -> (u8, u8) {
    loop {
        let mut head = [0; 9];
        let read = timeout(PATIENCE, wire.read_exact(&mut head)).await.unwrap();
        if read.is_err() {
            return (0, 0);
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        wire.read_exact(&mut payload).await.unwrap();
        // HEADERS, RST_STREAM or GOAWAY.
        if matches!(head[3], 1 | 3 | 7) {
            return (head[3], payload[0]);
        }
    }
}
