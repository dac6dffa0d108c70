//! Listening sockets that a service manager made and hands over: `sd_listen_fds(3)`.
//!
//! What always holds: a socket is taken for the configured address that it is bound to, and left
//! as the manager made it: its file, mode, owner and queue are the manager's. Sockets are meant
//! for the process that `LISTEN_PID` names; its children get neither them nor the variables.

use std::fmt;
use std::io;

use listenfd::ListenFd;
use rustix::net::sockopt::get_socket_acceptconn;

use super::bound::{Bound, Socket};
use crate::config::Listen;

/// The first descriptor that is handed over.
const FIRST: usize = 3;

/// What was handed over and is not yet taken. Empty without a service manager.
#[derive(Debug, Default)]
pub struct Handed {
    sockets: Vec<(Listen, Socket)>,
}

impl Handed {
    /// What the environment speaks of. To be called once, before there is another thread, since
    /// it takes the variables away; a second call finds nothing.
    pub fn over() -> Result<Self, Unusable> {
        let mut descriptors = ListenFd::from_env();
        let sockets = (0..descriptors.len()).map(|index| {
            listening(&mut descriptors, index).map_err(|source| Unusable {
                descriptor: FIRST + index,
                source,
            })
        });
        let sockets = sockets.collect::<Result<_, _>>()?;
        Ok(Self { sockets })
    }

    /// The socket that listens on `address`, if there is one.
    pub fn take(&mut self, address: &Listen) -> io::Result<Option<Bound>> {
        let found = self.sockets.iter().position(|(at, _)| at == address);
        let taken = found.map(|index| self.sockets.swap_remove(index));
        taken.map(|(_, socket)| Bound::handed(socket)).transpose()
    }

    /// Where the sockets listen that nobody has taken.
    pub fn left(&self) -> impl Iterator<Item = &Listen> {
        self.sockets.iter().map(|(address, _)| address)
    }
}

/// A descriptor that was handed over and is no stream socket that listens.
#[derive(Debug)]
pub struct Unusable {
    descriptor: usize,
    source: io::Error,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.descriptor;
        write!(
            f,
            "the service manager handed over descriptor {number}, which cannot be listened on"
        )
    }
}

impl std::error::Error for Unusable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn listening(descriptors: &mut ListenFd, index: usize) -> io::Result<(Listen, Socket)> {
    let (socket, listens) = if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
        let listens = get_socket_acceptconn(&listener)?;
        (Socket::Tcp(listener), listens)
    } else {
        // It was left in its place if it is of another kind.
        let listener = descriptors.take_unix_listener(index)?;
        let listener = listener.ok_or(io::ErrorKind::NotFound)?;
        let listens = get_socket_acceptconn(&listener)?;
        (Socket::Unix(listener), listens)
    };
    if !listens {
        return Err(io::Error::other("it does not listen"));
    }
    Ok((socket.address()?, socket))
}
