//! Which HTTP a connection speaks, from its first bytes.
//!
//! HTTP/2 with prior knowledge begins with a fixed preface (RFC 9113 §3.4), in which no
//! HTTP/1.1 request fits. hyper-util's server could find this out too, but it waits for the
//! first bytes without a limit.

use std::io;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::wire::Wire;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Room for the first bytes: an ordinary head at once, so that it costs no second read.
const FIRST_READ: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until it is clear which protocol comes and gives the bytes back to the wire; nothing
/// if the peer closed without a byte. Not cancel-safe: what was read is lost.
pub(super) async fn protocol(wire: &mut Wire) -> io::Result<Option<Protocol>> {
    // Until then there is no need of a buffer.
    wire.readable().await?;
    let mut bytes = BytesMut::with_capacity(FIRST_READ);
    let protocol = loop {
        let count = wire.read_buf(&mut bytes).await?;
        if let Some(protocol) = decide(&bytes) {
            break protocol;
        }
        if count == 0 {
            // Less than a preface and then the end: HTTP/1.1 will know what to say.
            break Protocol::Http1;
        }
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    wire.unread(bytes.freeze());
    Ok(Some(protocol))
}

/// The protocol, once the bytes tell.
fn decide(bytes: &[u8]) -> Option<Protocol> {
    if bytes.starts_with(PREFACE) {
        Some(Protocol::Http2)
    } else if PREFACE.starts_with(bytes) {
        None
    } else {
        Some(Protocol::Http1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_preface_is_http2_and_any_other_byte_is_not() {
        let mut longer = PREFACE.to_vec();
        longer.push(0);
        assert_eq!(decide(PREFACE), Some(Protocol::Http2));
        assert_eq!(decide(&longer), Some(Protocol::Http2));
        for length in 0..PREFACE.len() {
            assert_eq!(decide(&PREFACE[..length]), None);
            let mut wrong = PREFACE[..length].to_vec();
            wrong.push(b'X');
            assert_eq!(decide(&wrong), Some(Protocol::Http1), "{wrong:?}");
        }
        assert_eq!(decide(b"POST / HTTP/1.1\r\n"), Some(Protocol::Http1));
    }
}
