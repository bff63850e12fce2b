//! Who this daemon is on this host: a file in the state directory that is written once.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use berth::types::NodeId;
use serde::{Deserialize, Serialize};

const FILE: &str = "node";

/// Names a daemon for the log and for the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The node in the log.
    pub(crate) node: NodeId,
    /// The eight hexadecimal digits that every name on the host carries.
    pub(crate) instance: String,
}

/// Reads who this is, or decides it at the first start.
pub(crate) fn of(state: &Path) -> io::Result<Identity> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let path = state.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => understood(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => decide(state, &path),
        Err(error) => Err(error),
    }
}

/// Reads who a daemon of this state directory is; nothing if there never was one.
pub(crate) fn known(state: &Path) -> Option<Identity> {
    found(state).ok().flatten()
}

/// Reads who a daemon of this state directory is; nothing if the file or the directory is not there.
///
/// # Errors
/// What is there cannot be read, or says nothing that is understood.
pub(crate) fn found(state: &Path) -> io::Result<Option<Identity>> {
    match fs::read(state.join(FILE)) {
        Ok(bytes) => understood(&bytes).map(Some),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn understood(bytes: &[u8]) -> io::Result<Identity> {
    serde_json::from_slice(bytes)
        .map_err(|error| io::Error::other(format!("the file {FILE} in it is damaged: {error}")))
}

fn decide(state: &Path, path: &Path) -> io::Result<Identity> {
    let drawn = berth::sys::random::bytes()?;
    let instance = drawn[..4].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let identity = Identity { node: NodeId::from_bytes(berth::sys::random::bytes()?), instance };
    let temporary = state.join("node.new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(&identity)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(state)?.sync_all()?;
    Ok(identity)
}

/// Returns where sockets and other things lie that end with the boot.
pub(crate) fn run_directory(state: &Path, identity: &Identity) -> PathBuf {
    if berth::sys::process::effective_user() == 0 {
        return Path::new("/run/berth").join(&identity.instance);
    }
    let own =
        std::env::var_os("XDG_RUNTIME_DIR").map(|base| PathBuf::from(base).join("berth").join(&identity.instance));
    own.filter(|path| path.parent().and_then(Path::parent).is_some_and(Path::is_dir))
        .unwrap_or_else(|| state.join("run"))
}

/// Returns where keys are kept unless somebody says otherwise: outside of the state directory.
pub(crate) fn key_directory() -> PathBuf {
    if berth::sys::process::effective_user() == 0 {
        return PathBuf::from("/etc/berth/keys");
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from).join("berth/keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(found(folder.path()), Ok(None)));
        assert!(matches!(found(&folder.path().join("gone")), Ok(None)));
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(found(folder.path()).is_err());
        fs::remove_file(folder.path().join(FILE)).unwrap();
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(found(folder.path()).is_err());
    }
}
