//! Where things lie: one directory for the state, one below `/run` for what ends with the boot.
//!
//! Everything is 0700: what is in it belongs to root, and to other users it is not even visible. One folder alone may be
//! entered by a group: that of the sessions' sockets, each of which lets nobody in without a token.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::domain::effect::Failure;
use crate::types::{ContainerId, Fingerprint, TemplateId};

use super::failure::cannot;

/// Where all instances of root keep what ends with the boot.
pub(super) const RUN: &str = "/run/berth";

/// Knows the places of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePaths {
    root: PathBuf,
    runtime: PathBuf,
}

impl StatePaths {
    /// Begins at the state directory; `instance` is the 8 hexadecimal digits that every name on the host carries.
    pub fn new(root: impl Into<PathBuf>, instance: &str) -> Self {
        Self { root: root.into(), runtime: Path::new(RUN).join(instance) }
    }

    /// Begins at the state directory, with another place for what ends with the boot.
    pub fn with_runtime(root: impl Into<PathBuf>, runtime: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), runtime: runtime.into() }
    }

    /// Returns the state directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory for sockets and other things that end with the boot.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Returns the directory of all templates.
    pub fn templates(&self) -> PathBuf {
        self.root.join("templates")
    }

    /// Returns the directory of one template: `root`, `catalogue` and `summary.json` are in it.
    pub fn template(&self, id: TemplateId) -> PathBuf {
        self.templates().join(id.to_string())
    }

    /// Returns the tree of one template.
    pub fn template_root(&self, id: TemplateId) -> PathBuf {
        self.template(id).join("root")
    }

    /// Returns the directory of the command lines of containers.
    pub fn commands(&self) -> PathBuf {
        self.root.join("commands")
    }

    /// Returns the file of one command line.
    pub fn command(&self, fingerprint: Fingerprint) -> PathBuf {
        self.commands().join(fingerprint.to_string())
    }

    /// Returns the directory of all containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Returns the directory of one container: its disk is in it.
    pub fn container(&self, id: ContainerId) -> PathBuf {
        self.containers().join(id.to_string())
    }

    /// Returns the image that is the container's disk.
    pub fn disk_image(&self, id: ContainerId) -> PathBuf {
        self.container(id).join("disk.img")
    }

    /// Returns the plain directory that is the container's disk.
    pub fn disk_directory(&self, id: ContainerId) -> PathBuf {
        self.container(id).join("disk")
    }

    /// Returns the directory of what the container's console printed in its last runs.
    pub fn consoles(&self, id: ContainerId) -> PathBuf {
        self.container(id).join("consoles")
    }

    /// Returns the directory for what ends with the container's run: its shim's socket, its mounts.
    pub fn container_runtime(&self, id: ContainerId) -> PathBuf {
        self.runtime.join("containers").join(id.to_string())
    }

    /// Returns the directory of what was done to containers and is not recorded yet.
    pub fn unrecorded(&self) -> PathBuf {
        self.runtime.join("unrecorded")
    }

    /// Returns the directory of the sockets by which sessions are entered.
    pub fn sessions(&self) -> PathBuf {
        self.runtime.join("sessions")
    }

    /// Returns the socket by which sessions of a container are entered.
    pub fn session_socket(&self, id: ContainerId) -> PathBuf {
        self.sessions().join(id.to_string())
    }

    /// Makes the directories that everything else begins in; that of the sessions' sockets may be entered by `group`.
    ///
    /// # Errors
    /// What mkdir(2), chmod(2) or chown(2) say.
    pub fn ensure(&self, group: Option<u32>) -> Result<(), Failure> {
        for path in [self.templates(), self.containers(), self.runtime.join("containers"), self.sessions()] {
            ensure_directory(&path)?;
        }
        let sessions = self.sessions();
        let failed = || cannot("open to the group", sessions.display());
        std::os::unix::fs::chown(&sessions, None, group).map_err(failed())?;
        let mode = if group.is_some() { 0o750 } else { 0o700 };
        std::fs::set_permissions(&sessions, std::fs::Permissions::from_mode(mode)).map_err(failed())
    }
}

/// Makes a directory and those above it, for root alone; one that is there stays as it is.
///
/// # Errors
/// What mkdir(2) says.
pub fn ensure_directory(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot("make the directory", path.display()))
}

/// Waits until a directory knows on disk what names it has.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_are_for_root_alone() {
        let place = tempfile::tempdir().unwrap();
        let paths = StatePaths::with_runtime(place.path().join("state"), place.path().join("run"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let own_group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(place.path()).unwrap());
        paths.ensure(Some(own_group)).unwrap();
        assert_eq!(mode(&paths.sessions()), 0o750, "the group may enter this one");
        paths.ensure(None).unwrap();
        let runtime = paths.runtime().to_owned();
        for path in [paths.root().to_owned(), paths.templates(), paths.containers(), runtime, paths.sessions()] {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        }
    }
}
