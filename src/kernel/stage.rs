//! The supervisor's own view of the host: a mount namespace with a small tmpfs as its root, and in it no more of the host
//! than the container needs, under the same paths.
//!
//! A copy of all mounts of the host would keep each of them in use for as long as the container runs: unmounted on the
//! host, its device would stay busy. Everything mounted here ends with the namespace, whatever kills the supervisor. The
//! staging place in it is the current directory, so that the overlay's options, which the container can read in its
//! mountinfo, name nothing of the host.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cgroup::Layout;
use super::disk::{self, DISK, Disk};
use super::failure::{Failure, Step as _};
use super::launch::Container;
use super::terminal;
use crate::sys::mount::{self, MountFlags, Propagation};
use crate::sys::namespace::{self, Namespaces};

/// The staging place, below the root of the namespace; no folder of a host that is needed is called so.
const PLACE: &str = ".berth-stage";
/// What everybody needs of the kernel's own views, none of which is on a device: processes with their namespaces, and with
/// what is mounted below them, the nodes (in a container of another system each is a mount) and the groups in /sys. A user
/// namespace may mount proc and sysfs only where whole ones are to be seen: so /proc comes without what lies over parts of
/// it.
const KERNEL_VIEWS: [(&str, bool); 3] = [("/dev", true), ("/proc", false), ("/sys", true)];
/// The one place below them where people keep things of their own.
const SHARED_MEMORY: &str = "/dev/shm";

/// Returns the folders of the host that a container and its disk need.
pub fn needs(disk: &Disk, container: Option<&Container>, layout: &Layout) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    match disk {
        Disk::Image { path, .. } => {
            // The image may be a link to where it really is.
            let real = fs::canonicalize(path).ok();
            all.extend(
                [Some(path), real.as_ref()]
                    .into_iter()
                    .flatten()
                    .filter_map(|path| path.parent())
                    .map(Path::to_path_buf),
            );
        }
        Disk::Directory { path } => drop(all.insert(path.clone())),
        // Its node lies in /dev.
        Disk::Device { .. } => {}
    }
    all.extend(container.into_iter().flat_map(|container| container.lowers.clone()));
    let groups = layout.v1.iter().map(|one| &one.root).chain([&layout.unified]);
    all.extend(groups.filter(|root| !root.starts_with("/sys")).cloned());
    all
}

/// Leaves the host's mount namespace for one whose root is mounted at `directory`, with `needed` of the host in it, and
/// goes to the staging place.
///
/// # Errors
/// Names the step that was refused (`CAP_SYS_ADMIN` is needed).
pub fn enter(directory: &Path, needed: &BTreeSet<PathBuf>) -> Result<(), Failure> {
    namespace::leave(Namespaces::MOUNT).step("leave the mount namespace")?;
    mount::set_propagation(Propagation::Private).step("make the mounts private")?;
    fs::create_dir_all(directory).step("make the staging directory")?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount::mount("berth", directory, "tmpfs", flags, "mode=755,size=1m").step("mount the staging place")?;
    for (path, whole) in KERNEL_VIEWS {
        bring(directory, path.as_ref(), whole)?;
    }
    if !needed.iter().any(|path| path.starts_with(SHARED_MEMORY)) {
        // Where nothing is mounted there is nothing to leave out.
        let _ = mount::detach(&directory.join(SHARED_MEMORY.trim_start_matches('/')));
    }
    // In their order: a folder comes before what lies below it.
    needed.iter().try_for_each(|path| bring(directory, path, false))?;
    let place = directory.join(PLACE);
    disk::make_open_directory(&place)?;
    terminal::bring_to(&place)?;
    fs::create_dir(place.join(DISK)).step("make the mount point of the disk")?;
    std::env::set_current_dir(directory).step("go to the stage")?;
    mount::make_current_directory_root().step("change the root")?;
    std::env::set_current_dir(Path::new("/").join(PLACE)).step("go to the staging place")
}

/// Binds a folder of the host, with what is mounted below it if it is wanted whole, under the same path. One that is not
/// there is not there on the stage either: the step that needs it says so.
fn bring(stage: &Path, path: &Path, whole: bool) -> Result<(), Failure> {
    let step = format!("bring {} to the stage", path.display());
    let tree = match if whole { mount::copy_whole_tree(path) } else { mount::copy_tree(path) } {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        tree => tree.step(&step)?,
    };
    let target = stage.join(path.strip_prefix("/").unwrap_or(path));
    // Below what was brought before it is there.
    fs::create_dir_all(&target).step(&step)?;
    mount::attach(tree, &target).step(&step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_a_link_brings_both_folders_and_groups_are_brought_unless_they_are_in_sys() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let (here, there) = (place.join("here"), place.join("there"));
        for folder in [&here, &there] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(there.join("disk.img"), "").unwrap();
        std::os::unix::fs::symlink(there.join("disk.img"), here.join("disk.img")).unwrap();
        let disk = Disk::Image { path: here.join("disk.img"), filesystem: "ext4".into(), options: String::new() };
        let layout = Layout { unified: "/sys/fs/cgroup".into(), v1: Vec::new() };
        assert_eq!(needs(&disk, None, &layout), BTreeSet::from([here.clone(), there.clone()]));
        let layout = Layout { unified: "/groups".into(), v1: Vec::new() };
        assert_eq!(needs(&disk, None, &layout), BTreeSet::from([here, there, "/groups".into()]));
    }
}
