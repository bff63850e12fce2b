//! The files that a shim leaves in its runtime directory, so that a daemon that comes later finds it and its outcome.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::protocol::ExitRecord;
use super::protocol::VERSION_OLDEST;
use crate::kernel::identity::ProcessIdentity;
use crate::sys::socket;

/// Who the shim is.
pub const SHIM: &str = "shim.json";
/// How the container ended; there until it is acknowledged.
pub const EXIT: &str = "exit.json";
/// Why the shim could not begin.
pub const FAILURE: &str = "failure.json";
/// Where the shim takes orders.
pub const CONTROL: &str = "control";
/// What the console said.
pub const LOG: &str = "console.log";

/// How long one that listens may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimRecord {
    /// Its process.
    pub process: ProcessIdentity,
    /// The newest protocol version it speaks.
    pub version: u32,
}

/// Writes a record whole or not at all (temporary file, rename).
///
/// Not synced: a record outlives its process and the daemon, and says nothing any more once the machine has gone down;
/// where /run is a disk, each sync would hold a start up by milliseconds.
pub fn write(directory: &Path, name: &str, record: &impl Serialize) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&temporary, directory.join(name))
}

/// Reads a record; `None` when it is not there.
///
/// # Errors
/// It is there and cannot be read or understood; the error names the file.
pub fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> io::Result<Option<T>> {
    let path = directory.join(name);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| named(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(error)),
    }
}

/// Reads a record that can be done without: one that is damaged keeps nobody from clearing away what it is about.
pub fn read_if_whole<T: DeserializeOwned>(directory: &Path, name: &str) -> Option<T> {
    read(directory, name).unwrap_or_else(|error| {
        tracing::warn!(%error, "a record is damaged, and done without");
        None
    })
}

/// Returns the shim of a runtime directory if it still runs. Where its record is damaged or gone, whoever listens there is it:
/// taken for dead, it would keep the container's disk for ever.
///
/// # Errors
/// There is no record that says it, and whether somebody listens cannot be found out.
pub fn living_shim(directory: &Path) -> io::Result<Option<ShimRecord>> {
    if let Some(record) = read_if_whole::<ShimRecord>(directory, SHIM) {
        return Ok(Some(record).filter(|record| record.process.is_alive()));
    }
    let there = match socket::connect(&directory.join(CONTROL), PATIENCE) {
        Err(error) if is_nobody(&error) => return Ok(None),
        other => other?,
    };
    let pid = socket::peer(&there)?.pid;
    match ProcessIdentity::of(pid) {
        Ok(process) => Ok(Some(ShimRecord { process, version: VERSION_OLDEST })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tells whether a connection was refused since nobody listens: what refused it otherwise says nothing about that. Where a
/// path is too long for a socket (unix(7)) nobody ever could.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidFilename)
}

/// Returns the exit that waits to be acknowledged, whether the shim still runs or not.
pub fn unacknowledged_exit(directory: &Path) -> io::Result<Option<ExitRecord>> {
    read(directory, EXIT)
}

/// Removes the exit record of a shim that died before it was acknowledged.
pub fn forget_exit(directory: &Path) -> io::Result<()> {
    remove(directory, EXIT)
}

/// Removes a record; one that is gone is no error.
pub fn remove(directory: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(directory.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listens_at_a_path_that_no_socket_can_have() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(living_shim(&place.path().join("x".repeat(120))).unwrap(), None);
        assert_eq!(living_shim(place.path()).unwrap(), None);
    }
}
