//! The operating system's lock that keeps a second process off a grant's file.
//!
//! What always holds: at most one [`Lock`] of a path is alive on a machine, and it ends with its
//! process however that dies. The lock lies on a file beside the grant's, which renaming does not
//! disturb; that file stays when the lock ends, because removing it would let two processes lock
//! two files of one name.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::place;
use super::{Error, ErrorKind};

/// The longest holder's name that is read: a process id has at most ten digits.
const LONGEST: u64 = 10;

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock at `path`, and leaves this process's id there for whoever finds it taken.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let away = |cause: io::Error| {
            let message = format!("the lock `{}` cannot be taken", path.display());
            place::away(message, cause)
        };
        let file = place::lock_file(path).map_err(away)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &file)),
            Err(TryLockError::Error(cause)) => return Err(away(cause)),
        }
        let lock = Self(file);
        lock.sign().map_err(away)?;
        Ok(lock)
    }

    fn sign(&self) -> io::Result<()> {
        let mut file = &self.0;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    }
}

impl Drop for Lock {
    /// Unlocks by word, because closing does not suffice while a child that is just being
    /// started still has a copy of the descriptor.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn held(path: &Path, mut file: &File) -> Error {
    let mut text = String::new();
    // Whatever cannot be read or is no number is left out: the holder may be just signing.
    let _ = file.take(LONGEST).read_to_string(&mut text);
    let _ = file.rewind();
    let holder = text.trim().parse::<u32>().map_or_else(
        |_| String::from("another process"),
        |id| format!("process {id}"),
    );
    let message = format!("{holder} holds the lock `{}`", path.display());
    Error::new(ErrorKind::Held, message).with_hint(
        "one process at a time may keep a grant: stop that one, or give this one a grant and a \
         file of its own",
    )
}
