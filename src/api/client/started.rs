//! How the daemon of a state directory was started: kept there for whoever has to start it again.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name in the state directory.
const FILE: &str = "started.json";

/// Is how a daemon was started last, where that is not what it does by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The directory of its keys, if one was named.
    #[serde(default)]
    pub key_dir: Option<PathBuf>,
    /// Whether it refuses to promise more room than there is.
    #[serde(default)]
    pub refuse_overcommit: bool,
}

impl Started {
    /// Reads how the daemon of a state directory was started; what cannot be read says nothing.
    pub fn of(state: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state.join(FILE)).ok()?).ok()
    }

    /// Keeps it. What is written already is not written again: the directory may be on a disk that takes nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn keep(&self, state: &Path) -> io::Result<()> {
        if Self::of(state).as_ref() == Some(self) {
            return Ok(());
        }
        crate::sys::fs::durable::replace(&state.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Returns the options that start it in the same way.
    pub fn options(&self) -> Vec<String> {
        let keys = self.key_dir.iter().flat_map(|place| ["--key-dir".to_owned(), place.to_string_lossy().into_owned()]);
        keys.chain(self.refuse_overcommit.then(|| "--refuse-overcommit".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_nonsense_says_nothing() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Started::of(state.path()), None);
        let started = Started { key_dir: Some("/srv/keys".into()), refuse_overcommit: true };
        started.keep(state.path()).unwrap();
        assert_eq!(Started::of(state.path()), Some(started.clone()));
        assert_eq!(started.options(), ["--key-dir", "/srv/keys", "--refuse-overcommit"]);
        assert!(Started::default().options().is_empty());
        std::fs::write(state.path().join(FILE), "{").unwrap();
        assert_eq!(Started::of(state.path()), None);
    }
}
