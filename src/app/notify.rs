//! Tells the service manager how far the process is, where one wants to know: `sd_notify(3)`.
//!
//! What always holds: telling stops nothing. Without `NOTIFY_SOCKET` there is nobody to tell, and
//! a manager that cannot be reached is a warning.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What a service manager wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// It listens; also: a reload has ended, well or not.
    Ready,
    /// It reads its configuration again.
    Reloading,
    /// It was asked to stop.
    Stopping,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Reloading => "RELOADING=1",
            Self::Stopping => "STOPPING=1",
        }
    }
}

/// Tells the service manager, if there is one.
pub(super) fn tell(phase: Phase) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket, phase.as_str()) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Sends one datagram, which never waits: a manager whose queue is full goes without.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    // `@` stands for the zero byte of a name that is in no file system.
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}
