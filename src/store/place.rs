//! The file of one grant and the folder around it: who may touch them, and how they are written.
//!
//! What always holds: nobody but this user (and root) can read the file or put another in its
//! place; at any moment the file is the old record or the new one, wholly. Loose modes are
//! refused and never put right in silence, because whoever could write there may have done so.
//! (On Kubernetes `fsGroup` loosens the modes of a whole volume at each mount; with
//! `fsGroupChangePolicy: OnRootMismatch` it leaves a folder below the volume's root alone.)
//!
//! Symbolic links: the folder may be reached through links and is resolved once, when the store
//! is opened. The file itself must not be a link, because a rename would replace the link and
//! not what it points to.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::envelope::LARGEST;
use super::{Error, ErrorKind};
use crate::secret::Secret;

/// What group and others may do, of a mode.
const NOT_OURS: u32 = 0o077;
/// Writing by group and others.
const WRITE_NOT_OURS: u32 = 0o022;

/// Where one grant's file lies.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    file: PathBuf,
    temporary: PathBuf,
    lock: PathBuf,
}

impl Place {
    /// The place of `path`, whose folder is made if only its last part is missing, and is
    /// refused if others can write there.
    pub(super) fn prepare(path: &Path) -> Result<Self, Error> {
        let Some(name) = path.file_name() else {
            let message = format!("`{}` names no file", path.display());
            return Err(Error::new(ErrorKind::Refused, message));
        };
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = make(folder)?;
        check_folder(&folder)?;
        let beside = |before: &str, after: &str| {
            let mut whole = std::ffi::OsString::from(before);
            whole.push(name);
            whole.push(after);
            folder.join(whole)
        };
        Ok(Self {
            file: folder.join(name),
            temporary: beside(".", ".tmp"),
            lock: beside("", ".lock"),
            folder,
        })
    }

    /// The grant's file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The file that the lock lies on.
    pub(super) fn lock(&self) -> &Path {
        &self.lock
    }

    /// Removes what a crash may have left and tries out that a save can work, so that a folder
    /// that cannot be written is found now and not when a token has been rotated. The lock must
    /// be held.
    pub(super) fn try_out(&self) -> Result<(), Error> {
        self.remove_temporary()
            .and_then(|()| self.create_temporary().map(drop))
            .and_then(|()| self.remove_temporary())
            .and_then(|()| sync(&self.folder))
            .map_err(|cause| {
                let folder = self.folder.display();
                away(format!("the folder `{folder}` cannot be written"), cause)
            })
    }

    /// Refuses a file that is not ours alone. Asked when the store is opened and not at each
    /// save: whoever loosens the mode later must not cost us a rotated token, and the next save
    /// makes a new file with the right mode anyway.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Some((_, metadata)) = open(&self.file)? else {
            return Ok(());
        };
        check_owner("file", &self.file, metadata.uid(), us())?;
        let mode = metadata.mode() & 0o7777;
        if mode & NOT_OURS == 0 {
            return Ok(());
        }
        let path = self.file.display();
        let message = format!("others can reach the file `{path}`: its mode is {mode:04o}");
        Err(Error::new(ErrorKind::Refused, message).with_hint(format!("`chmod 600 {path}`")))
    }

    /// Puts `bytes` in the file's place, durably. If it fails the old file is whole, or, if only
    /// the last step failed, the new one is. The lock must be held.
    pub(super) fn write(&self, bytes: &Secret<Vec<u8>>) -> Result<(), Error> {
        self.replace(bytes.expose()).map_err(|cause| {
            let path = self.file.display();
            away(format!("the file `{path}` cannot be written"), cause)
        })
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let written = self
            .remove_temporary()
            .and_then(|()| self.create_temporary())
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&self.temporary, &self.file));
        if written.is_err() {
            // The first failure is the one to report; the next open removes what stays.
            let _ = self.remove_temporary();
        }
        written.and_then(|()| sync(&self.folder))
    }

    fn create_temporary(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.temporary)
    }

    fn remove_temporary(&self) -> io::Result<()> {
        match fs::remove_file(&self.temporary) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// What the file at `path` holds; nothing if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Secret<Vec<u8>>>, Error> {
    let Some((file, metadata)) = open(path)? else {
        return Ok(None);
    };
    let bytes = content(file, &metadata).map_err(|cause| {
        let message = format!("the file `{}` cannot be read", path.display());
        away(message, cause)
    })?;
    Ok(Some(bytes))
}

/// Opens or makes the file of a lock, and nothing that a link points to.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(careful())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is not a regular file"))
}

/// Trouble of the file system in a store's words, with the way out where the cause tells it.
pub(super) fn away(message: String, cause: io::Error) -> Error {
    use io::ErrorKind as Io;
    let hint = match cause.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Some("make room there"),
        Io::ReadOnlyFilesystem => Some("mount it writable"),
        Io::PermissionDenied => Some("run bearward as the user to whom file and folder belong"),
        _ => None,
    };
    let error = Error::new(ErrorKind::Away, message).because(cause);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The real path of `folder`, which is made if only itself is missing.
fn make(folder: &Path) -> Result<PathBuf, Error> {
    let failed = |cause: io::Error| {
        let missing = cause.kind() == io::ErrorKind::NotFound;
        let error = away(format!("there is no folder `{}`", folder.display()), cause);
        if missing {
            return error.with_hint("make the folder above it; only the last one is made here");
        }
        error
    };
    match folder.canonicalize() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        result => return result.map_err(failed),
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        // Another grant's store may be making it at the same moment.
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed(cause)),
        _ => {}
    }
    let real = folder.canonicalize().map_err(failed)?;
    // Or the new folder, and the grant in it, could be gone after a power cut.
    real.parent().map_or(Ok(()), sync).map_err(failed)?;
    Ok(real)
}

fn check_folder(folder: &Path) -> Result<(), Error> {
    let path = folder.display();
    let metadata = fs::metadata(folder)
        .map_err(|cause| away(format!("the folder `{path}` cannot be looked at"), cause))?;
    if !metadata.is_dir() {
        let message = format!("`{path}` is not a folder");
        return Err(Error::new(ErrorKind::Refused, message));
    }
    // Root can change anything anyway.
    if metadata.uid() != 0 {
        check_owner("folder", folder, metadata.uid(), us())?;
    }
    let mode = metadata.mode() & 0o7777;
    if mode & WRITE_NOT_OURS == 0 {
        return Ok(());
    }
    let message = format!("others can write to the folder `{path}`: its mode is {mode:04o}");
    Err(Error::new(ErrorKind::Refused, message).with_hint(format!(
        "`chmod 700 {path}`, or name a folder below it, which is then made with that mode"
    )))
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn check_owner(what: &str, path: &Path, owner: u32, us: u32) -> Result<(), Error> {
    if owner == us {
        return Ok(());
    }
    let path = path.display();
    let message = format!("the {what} `{path}` belongs to user {owner}, and this is user {us}");
    Err(Error::new(ErrorKind::Refused, message).with_hint(format!(
        "run bearward as user {owner}, or `chown {us} {path}`"
    )))
}

/// Opens a regular file without following a link or waiting at a pipe.
fn open(path: &Path) -> Result<Option<(File, Metadata)>, Error> {
    let shown = path.display();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(careful())
        .open(path)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    match opened {
        Ok((file, metadata)) if metadata.is_file() => Ok(Some((file, metadata))),
        Ok(_) => {
            let message = format!("`{shown}` is not a regular file");
            Err(Error::new(ErrorKind::Refused, message))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(_) if path.is_symlink() => {
            let message = format!("`{shown}` is a symbolic link");
            Err(Error::new(ErrorKind::Refused, message)
                .with_hint("configure the path of the file itself"))
        }
        Err(cause) => Err(away(format!("the file `{shown}` cannot be opened"), cause)),
    }
}

fn content(file: File, metadata: &Metadata) -> io::Result<Secret<Vec<u8>>> {
    // One more than is allowed, so that too much is seen as too much.
    let most = LARGEST as u64 + 1;
    // One more than there is, so that finding the end moves nothing and leaves no copy behind.
    let room = usize::try_from(metadata.len().min(most)).unwrap_or(LARGEST) + 1;
    let mut bytes = Vec::with_capacity(room);
    let read = file.take(most).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map(|_| bytes)
}

fn careful() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_users_file_is_refused_with_both_users_named() {
        let path = Path::new("/var/lib/bearward/crm.grant");
        assert!(check_owner("file", path, 998, 998).is_ok());
        let error = check_owner("file", path, 998, 0).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert_eq!(
            error.to_string(),
            "the file `/var/lib/bearward/crm.grant` belongs to user 998, and this is user 0"
        );
        assert_eq!(
            error.hint(),
            Some("run bearward as user 998, or `chown 0 /var/lib/bearward/crm.grant`")
        );
    }
}
