//! Reaches a container's own files: through its supervisor while it runs, else through one that only mounts the disk.
//!
//! Both mount the same loop device where both are there, so a container may start while it is being backed up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::stop::{dismiss, remove_folder};
use super::supervisor::{Supervisor, control_socket, reap, shim_failure};
use crate::domain::effect::Failure;
use crate::effects::Observation;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::LinuxHost;
use crate::effects::linux::listing::known_entries;
use crate::effects::linux::paths::ensure_directory;
use crate::shim::client::{Client, prepare_runtime_directory};
use crate::shim::protocol::{Directory, Limits, Readiness, Spec, VERSION};
use crate::sys::fs as sysfs;
use crate::types::ContainerId;

/// The overlay's upper layer: the container's own files.
pub(in crate::effects::linux) const UPPER: &[u8] = b"upper";

/// The folder of the supervisors that only mount a disk, below the one for what ends with the boot.
const DISKS: &str = "disks";

/// Is an open disk. Dropping it lets a supervisor go that was only there for this.
pub(in crate::effects::linux) struct Reached {
    disk: OwnedFd,
    temporary: Option<PathBuf>,
    child: Option<std::process::Child>,
}

impl Reached {
    /// Returns the root of the disk.
    pub(in crate::effects::linux) fn disk(&self) -> BorrowedFd<'_> {
        self.disk.as_fd()
    }

    /// Opens the upper layer, made if the container never started.
    pub(in crate::effects::linux) fn upper(&self) -> Result<OwnedFd, Failure> {
        if sysfs::stat_at(self.disk(), UPPER).is_err() {
            sysfs::make_directory(self.disk(), UPPER, 0o755).map_err(cannot("make", "the upper layer"))?;
        }
        self.open(UPPER)
    }

    /// Opens a directory of the disk by its name.
    pub(in crate::effects::linux) fn open(&self, name: &[u8]) -> Result<OwnedFd, Failure> {
        sysfs::open_beneath(self.disk(), name, sysfs::Access::Directory)
            .map_err(cannot("open on the disk", String::from_utf8_lossy(name)))
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        let Some(directory) = self.temporary.take() else { return };
        // The descriptor must go first: a mount that is still looked at cannot be taken down.
        if let Ok(null) = std::fs::File::open("/dev/null") {
            self.disk = null.into();
        }
        tell_left(&directory, let_go(&directory));
        // It has ended, or hangs in the unmounting of a disk that does not answer: nobody waits for that.
        if let Some(child) = self.child.take() {
            reap(child);
        }
    }
}

impl LinuxHost {
    /// Opens a container's disk, whether it runs or not.
    pub(in crate::effects::linux) fn reach(&self, container: ContainerId) -> Result<Reached, Failure> {
        if let Observation::Running { .. } = self.look(container) {
            let disk = self.shim(container).and_then(|client| disk_of(&client));
            let ended = disk.is_err() && !matches!(self.look(container), Observation::Running { .. });
            if !ended {
                return Ok(Reached { disk: disk?, temporary: None, child: None });
            }
        }
        let image = self.options.paths.disk_image(container);
        if !image.exists() {
            let path = self.options.paths.disk_directory(container);
            let disk = sysfs::open_root(&path).map_err(cannot("open the disk", path.display()))?;
            return Ok(Reached { disk, temporary: None, child: None });
        }
        self.reach_image(container)
    }

    /// Says whether there are files of a container at all.
    pub(in crate::effects::linux) fn has_disk(&self, container: ContainerId) -> bool {
        let paths = &self.options.paths;
        paths.disk_image(container).exists() || paths.disk_directory(container).exists()
    }

    fn reach_image(&self, container: ContainerId) -> Result<Reached, Failure> {
        let folder = self.options.paths.runtime().join(DISKS);
        ensure_directory(&folder)?;
        let name = crate::sys::random::bytes().map_err(cannot("draw", "a name"))?;
        let directory = folder.join(crate::types::RunId::from_bytes(name).short());
        let reached = self.reach_by(container, &directory);
        if reached.is_err() {
            let _ = let_go(&directory); // the next daemon tries again
        }
        reached
    }

    fn reach_by(&self, container: ContainerId, directory: &Path) -> Result<Reached, Failure> {
        let spec = self.disk_specification(container, directory);
        prepare_runtime_directory(directory, &spec).map_err(cannot("prepare", directory.display()))?;
        let Supervisor { client, child } = self.supervisor(directory)?;
        self.ready.refill();
        let disk = disk_of(&client);
        drop(client);
        match disk {
            Ok(disk) => Ok(Reached { disk, temporary: Some(directory.to_owned()), child: Some(child) }),
            Err(failure) => {
                reap(child);
                Err(failure)
            }
        }
    }

    /// Lets go of what an earlier daemon reached when it died: nobody has a use for it any more. Of all at once: one that hangs
    /// keeps this daemon from its work, and all together no longer than one.
    pub(in crate::effects::linux) fn dismiss_reached(&self) {
        let_go_of_all(&self.options.paths.runtime().join(DISKS));
    }

    fn disk_specification(&self, container: ContainerId, directory: &Path) -> Spec {
        Spec {
            version: VERSION,
            id: container.to_string(),
            control_socket: control_socket(directory),
            session_socket: directory.join("session"),
            session_group: None,
            disk: self.shim_disk(container),
            container: None,
            cgroup: None,
            limits: Limits::default(),
            readiness: Readiness::Exec,
            log_bytes_max: 0,
        }
    }
}

/// Ends the supervisor of a folder and removes the folder.
fn let_go(directory: &Path) -> Result<(), Failure> {
    dismiss(directory).and_then(|()| remove_folder(directory))
}

fn let_go_of_all(folder: &Path) {
    let left: Vec<PathBuf> = known_entries(folder).iter().map(std::fs::DirEntry::path).collect();
    std::thread::scope(|scope| {
        for directory in &left {
            scope.spawn(|| tell_left(directory, let_go(directory)));
        }
    });
}

fn tell_left(directory: &Path, gone: Result<(), Failure>) {
    if let Err(failure) = gone {
        tracing::warn!(%failure, directory = %directory.display(), "a disk supervisor was left behind");
    }
}

fn disk_of(client: &Client) -> Result<OwnedFd, Failure> {
    let opened = client.open_disk().map_err(shim_failure)?;
    let disk = opened.into_iter().find(|(directory, _)| *directory == Directory::Disk);
    disk.map(|(_, descriptor)| descriptor).ok_or_else(|| Failure::permanent("the supervisor handed out no disk"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::effects::clock::SystemClock;
    use crate::effects::linux::HostOptions;
    use crate::effects::linux::life::supervisor::ANSWER;
    use crate::effects::linux::paths::StatePaths;
    use crate::effects::steps::Immortal;
    use crate::kernel::identity::ProcessIdentity;
    use crate::shim::record::{self, ShimRecord};
    use crate::sys::socket;
    use crate::types::NodeId;

    #[test]
    fn supervisors_that_do_not_answer_are_waited_for_at_once() {
        let place = tempfile::tempdir().unwrap();
        let hanging: Vec<_> = ["one", "two", "three"]
            .iter()
            .map(|name| {
                let directory = place.path().join(name);
                std::fs::create_dir(&directory).unwrap();
                let child = Command::new("sleep").arg("600").spawn().unwrap();
                let shim = ShimRecord { process: ProcessIdentity::of(child.id() as i32).unwrap(), version: VERSION };
                record::write(&directory, record::SHIM, &shim).unwrap();
                (socket::listen(&control_socket(&directory)).unwrap(), child)
            })
            .collect();
        let begun = Instant::now();
        let_go_of_all(place.path());
        assert!(begun.elapsed() < 2 * ANSWER, "{:?}", begun.elapsed());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        for (_, mut child) in hanging {
            assert!(!child.wait().unwrap().success(), "it was ended");
        }
    }

    #[test]
    fn a_disk_that_cannot_be_reached_leaves_no_folder() {
        let place = tempfile::tempdir().unwrap();
        let host = LinuxHost::open(HostOptions {
            group: None,
            paths: StatePaths::with_runtime(place.path().join("state"), place.path().join("run")),
            instance: "0a1b2c3d".to_owned(),
            key_dir: place.path().join("keys"),
            node: NodeId::derived("node"),
            executable: place.path().join("no-such-program"),
            cgroup_parent: None,
            clock: Arc::new(SystemClock),
            crash: Arc::new(Immortal),
        });
        let (host, container) = (host.unwrap(), ContainerId::derived("web"));
        let image = host.options.paths.disk_image(container);
        ensure_directory(image.parent().unwrap()).unwrap();
        std::fs::write(image, "no disk").unwrap();
        assert!(host.reach(container).is_err());
        assert_eq!(std::fs::read_dir(place.path().join("run").join(DISKS)).unwrap().count(), 0);
    }

    #[test]
    fn a_supervisor_that_hangs_holds_nobody_who_lets_go_of_its_disk() {
        let place = tempfile::tempdir().unwrap();
        let child = Command::new("sleep").arg("6").spawn().unwrap();
        let (process, disk) = (PathBuf::from(format!("/proc/{}", child.id())), sysfs::open_root(place.path()).unwrap());
        let begun = Instant::now();
        drop(Reached { disk, temporary: Some(place.path().join("run")), child: Some(child) });
        assert!(begun.elapsed() < Duration::from_secs(3) && process.exists());
        while process.exists() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it is not reaped when it ends");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
