//! The node's own key to a store: 32 random bytes in a file that only root reads, so that schedules run unattended.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::repository::error::{Error, Result};
use crate::repository::keys::random;
use crate::types::StoreId;

fn path(directory: &Path, store: StoreId) -> PathBuf {
    directory.join(format!("store-{store}.key"))
}

/// Makes the key file of a store.
///
/// # Errors
/// `Exists` if there is one; what the kernel says.
pub fn create(directory: &Path, store: StoreId) -> Result<[u8; 32]> {
    let path = path(directory, store);
    let shown = path.display().to_string();
    let key = random()?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(
        |error| match error.kind() {
            ErrorKind::AlreadyExists => Error::Exists { what: format!("the key file {shown}") },
            _ => Error::io("create", &shown)(error),
        },
    )?;
    file.write_all(&key).and_then(|()| file.sync_all()).map_err(Error::io("write", &shown))?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::io("sync", &shown))?;
    Ok(key)
}

/// Reads the key file of a store.
///
/// # Errors
/// `NoKey` if there is none, `Damaged` if it is no key file; what the kernel says.
pub fn read(directory: &Path, store: StoreId) -> Result<[u8; 32]> {
    let path = path(directory, store);
    let shown = path.display().to_string();
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NoKey { path: shown.clone() },
        _ => Error::io("read", &shown)(error),
    })?;
    bytes.try_into().map_err(|_| Error::damaged(format!("the key file {shown}"), "it has not 32 bytes"))
}

/// Looks whether this node has a key to a store.
///
/// # Errors
/// What `read` says.
pub fn has_key(directory: &Path, store: StoreId) -> Result<()> {
    read(directory, store).map(drop)
}

/// Reads the key file of a store, or makes it.
///
/// # Errors
/// What `read` and `create` say.
pub fn read_or_create(directory: &Path, store: StoreId) -> Result<[u8; 32]> {
    match read(directory, store) {
        Err(Error::NoKey { .. }) => create(directory, store),
        other => other,
    }
}
