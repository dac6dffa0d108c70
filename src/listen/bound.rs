//! An address that is listened on: TCP, or a Unix socket.
//!
//! What always holds: a Unix socket's file is only taken over when nobody answers on it, and it
//! is removed with the last handle, if it is still ours. One that was handed over is left alone.

use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::wire::Stream;
use crate::{config, keepalive};

/// Connections that the system holds ready for us. The standard library's 128 overflows in a
/// burst, and then clients wait a second for their second try.
const BACKLOG: i32 = 1024;

/// An address that is listened on. Bound outside any runtime; each worker serves its share.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Listens on `address`. `mode` is the permissions of a Unix socket's file.
    pub fn bind(address: &config::Listen, mode: u32) -> io::Result<Self> {
        let (socket, file) = match address {
            config::Listen::Tcp(address) => (Socket::Tcp(TcpListener::bind(address)?), None),
            config::Listen::Unix(path) => {
                let (listener, file) = bind_unix(path, mode)?;
                (Socket::Unix(listener), Some(Arc::new(file)))
            }
        };
        match &socket {
            Socket::Tcp(listener) => rustix::net::listen(listener, BACKLOG)?,
            Socket::Unix(listener) => rustix::net::listen(listener, BACKLOG)?,
        }
        socket.ready()?;
        Ok(Self { socket, file })
    }

    /// One that somebody else has bound, and that stays theirs.
    pub(super) fn handed(socket: Socket) -> io::Result<Self> {
        socket.ready()?;
        Ok(Self { socket, file: None })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> io::Result<config::Listen> {
        self.socket.address()
    }

    /// Another handle to the same queue of connections, for another worker.
    pub fn share(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Socket::Tcp(listener) => Socket::Tcp(listener.try_clone()?),
            Socket::Unix(listener) => Socket::Unix(listener.try_clone()?),
        };
        let file = self.file.clone();
        Ok(Self { socket, file })
    }

    /// Moves it into the current runtime.
    pub(super) fn listening(self) -> io::Result<Listening> {
        let socket = match self.socket {
            Socket::Tcp(listener) => Accepting::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Socket::Unix(listener) => {
                Accepting::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
        };
        Ok(Listening {
            socket,
            _file: self.file,
        })
    }
}

impl Socket {
    /// Where it is bound. A Unix socket without a path has no address that can be configured.
    pub(super) fn address(&self) -> io::Result<config::Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(config::Listen::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address
                    .as_pathname()
                    .ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(config::Listen::Unix(path.to_owned()))
            }
        }
    }

    /// Makes it fit for a runtime.
    fn ready(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                keepalive::watch(listener)?;
                listener.set_nonblocking(true)
            }
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}

/// A [`Bound`] within a runtime.
#[derive(Debug)]
pub(super) struct Listening {
    socket: Accepting,
    _file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listening {
    /// The next connection. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Accepting::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A head and a first chunk leave in one write, so waiting for more never helps.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Accepting::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

/// A Unix socket's file, removed on drop unless another process has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // It is of no use to anybody if it stays, and of no harm either.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path)? => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        outcome => outcome?,
    };
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    // Until here the umask decides; the usual ones let nobody else connect.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok((listener, file))
}

/// True for a socket's file that a process has left behind: nobody answers on it.
fn is_stale(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let answer = UnixStream::connect(path);
    Ok(answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> config::Listen {
        config::Listen::Unix(path.to_owned())
    }

    #[test]
    fn port_0_becomes_a_real_port_that_shares_know() {
        let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let address = bound.address().unwrap();
        assert!(matches!(&address, config::Listen::Tcp(address) if address.port() != 0));
        assert_eq!(bound.share().unwrap().address().unwrap(), address);
        assert_eq!(
            Bound::bind(&address, 0).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[test]
    fn a_socket_file_has_its_mode_and_goes_with_the_last_handle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let bound = Bound::bind(&unix(&path), 0o640).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(bound.address().unwrap(), unix(&path));
        let share = bound.share().unwrap();
        drop(bound);
        assert!(UnixStream::connect(&path).is_ok());
        drop(share);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_taken_over_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        // The standard library's listener leaves its file behind.
        drop(UnixListener::bind(&path).unwrap());
        let bound = Bound::bind(&unix(&path), 0o600).unwrap();
        let error = Bound::bind(&unix(&path), 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(bound);
    }

    #[test]
    fn other_files_are_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "precious").unwrap();
        let error = Bound::bind(&unix(&path), 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_successors_socket_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let bound = Bound::bind(&unix(&path), 0o600).unwrap();
        // Beside the old one first, so that the system cannot give it the same number.
        let aside = folder.path().join("aside");
        let successor = UnixListener::bind(&aside).unwrap();
        fs::rename(&aside, &path).unwrap();
        drop(bound);
        assert!(path.exists());
        drop(successor);
    }
}
