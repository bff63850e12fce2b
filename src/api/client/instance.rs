//! How the client finds the daemon: the file it writes into its state directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ClientError;

/// The file's name in the state directory.
pub const INSTANCE_FILE: &str = "instance.json";

/// The state directory of root.
pub const STATE_OF_ROOT: &str = "/var/lib/berth";

/// Where the sockets of root's daemons lie.
pub const RUN_OF_ROOT: &str = "/run/berth";

/// Returns the file that tells members of the group where the daemon of a state directory listens: whoever knows the path
/// of the directory finds it, and the folder cannot be listed.
pub fn signpost(state: &Path) -> PathBuf {
    let state = std::fs::canonicalize(state).unwrap_or_else(|_| state.to_path_buf());
    let name = blake3::hash(state.as_os_str().as_encoded_bytes()).to_hex();
    Path::new(RUN_OF_ROOT).join(format!("at-{}.json", &name[..16]))
}

/// Returns the state directory whose daemon is asked where none is named: the user's own, or the machine's where the
/// user runs none.
pub fn state_to_ask() -> PathBuf {
    let own = default_state();
    let runs_none = !own.join(INSTANCE_FILE).exists() && signpost(Path::new(STATE_OF_ROOT)).exists();
    if runs_none { PathBuf::from(STATE_OF_ROOT) } else { own }
}

/// Returns the state directory where none is named: one for the machine, one for each other user
/// (XDG Base Directory Specification, `XDG_STATE_HOME`).
pub fn default_state() -> PathBuf {
    if crate::sys::process::effective_user() == 0 {
        return PathBuf::from(STATE_OF_ROOT);
    }
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from).join(".local/state");
    let state_home = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    state_home.unwrap_or_else(home).join("berth")
}

/// Is what a daemon says of itself. Unknown fields are ignored, so that a newer one can say more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Eight hexadecimal digits in every name this daemon gives on the host.
    pub instance: String,
    /// Where its sockets are.
    pub run_dir: PathBuf,
    /// Where it listens. Not below the state directory: a socket's path has 108 bytes at most (unix(7)).
    pub socket: PathBuf,
    /// Its process.
    pub pid: u32,
}

impl Instance {
    /// Reads the file of a state directory, or, where it cannot be read or could not be written, the one beside the sockets.
    ///
    /// # Errors
    /// [`ClientError::Down`] where there is none, else why it cannot be read.
    pub fn load(state: &Path) -> Result<Self, ClientError> {
        let path = state.join(INSTANCE_FILE);
        let other = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound => {
                std::fs::read(signpost(state)).map_err(|_| error)
            }
            _ => Err(error),
        };
        let bytes = std::fs::read(&path).or_else(other).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ClientError::Down,
            std::io::ErrorKind::PermissionDenied => ClientError::Forbidden { path: path.clone() },
            _ => ClientError::Instance { path: path.clone(), reason: error.to_string() },
        })?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Instance { path, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_without_the_file_has_no_daemon() {
        let state = tempfile::tempdir().unwrap();
        assert!(matches!(Instance::load(state.path()), Err(ClientError::Down)));
    }

    #[test]
    fn a_newer_daemon_may_say_more_and_nonsense_is_named() {
        let state = tempfile::tempdir().unwrap();
        let text = r#"{"instance":"0a1b2c3d","run_dir":"/run/x","socket":"/run/x/api.sock","pid":1,"new":true}"#;
        std::fs::write(state.path().join(INSTANCE_FILE), text).unwrap();
        assert_eq!(Instance::load(state.path()).unwrap().socket, Path::new("/run/x/api.sock"));
        std::fs::write(state.path().join(INSTANCE_FILE), "{").unwrap();
        assert!(matches!(Instance::load(state.path()), Err(ClientError::Instance { .. })));
    }
}
