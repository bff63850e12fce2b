//! The container's disk: mounted at the staging place of its supervisor, and where other folders of that place are made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Step as _};
use crate::sys::loop_device;
use crate::sys::mount::{self, MountFlags, Room};

/// Where the disk is mounted, from the staging place.
pub const DISK: &str = "disk";
/// The overlay's upper layer on the disk.
pub const UPPER: &str = "upper";

/// More than the overlay needs for its own directories and trials.
const SPARE_FILES: usize = 16;
/// With less than this the files in reserve are given up for a start; with more it needs none of them.
const SHORT_BYTES: u64 = 1 << 20;
const SHORT_FILES: u64 = 64;

/// What holds the container's own files: the overlay's upper and work directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Disk {
    /// A file with a file system, attached to a loop device while it is mounted.
    Image {
        /// The file.
        path: PathBuf,
        /// Its file system's type.
        filesystem: String,
        /// Mount options beside the fixed ones.
        #[serde(default)]
        options: String,
    },
    /// A block device with a file system.
    Device {
        /// The device node.
        path: PathBuf,
        /// Its file system's type.
        filesystem: String,
        /// Mount options beside the fixed ones.
        #[serde(default)]
        options: String,
    },
    /// A directory of the host; it limits nothing.
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// Mounts the disk: never with set-user-id, devices or programs, since files of the container lie there with the
/// owners it gave them.
///
/// # Errors
/// Names the step: attaching the loop device or mounting.
pub fn mount_disk(disk: &Disk) -> Result<(), Failure> {
    let target = Path::new(DISK);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    match disk {
        Disk::Image { path, filesystem, options } => {
            if mount_shared(path, target, filesystem, flags, options) {
                return Ok(());
            }
            let device = loop_device::attach_until_closed(path, false).step("attach the loop device")?;
            mount::mount(&device.path.to_string_lossy(), target, filesystem, flags, options).step("mount the disk")
        }
        Disk::Device { path, filesystem, options } => {
            mount::mount(&path.to_string_lossy(), target, filesystem, flags, options).step("mount the disk")
        }
        Disk::Directory { path } => {
            mount::bind(path, target).step("bind the disk directory")?;
            mount::set_flags(target, flags).step("restrict the disk directory")
        }
    }
}

/// Mounts the device that holds the image already, if another supervisor of the same container has it: two devices over
/// one image would be two file systems that destroy each other, one device is one file system seen twice.
fn mount_shared(image: &Path, target: &Path, filesystem: &str, flags: MountFlags, options: &str) -> bool {
    let attached = loop_device::Backing::of(image).and_then(loop_device::attached_to).unwrap_or_default();
    attached.iter().any(|device| mount::mount(&device.to_string_lossy(), target, filesystem, flags, options).is_ok())
}

/// Gives up the files that are kept in reserve, with a block each, where the disk is short of room: to assemble a root takes a
/// few, and the container may have taken all inodes and blocks.
pub fn give_spare() {
    let is_short = |room: Room| room.bytes_free < SHORT_BYTES || (room.files > 0 && room.files_free < SHORT_FILES);
    if mount::room(Path::new(DISK)).map_or(true, is_short) {
        let _ = fs::remove_dir_all(spare()); // a disk of an earlier time has none
    }
}

/// Keeps a few files in reserve, before the container can take the last ones.
pub fn keep_spare() {
    let file = |number: usize| spare().join(number.to_string());
    if file(SPARE_FILES - 1).exists() {
        return;
    }
    let kept = fs::create_dir_all(spare());
    let files = || (0..SPARE_FILES).try_for_each(|number| fs::write(file(number), "x"));
    let _ = kept.and_then(|()| files()); // on a disk that is full from an earlier time there are fewer
}

fn spare() -> PathBuf {
    Path::new(DISK).join("spare")
}

/// Unmounts the disk. Where somebody still holds a descriptor on it, it is only taken out of the tree, and `false`
/// tells that it lives on until then.
///
/// # Errors
/// The disk was not mounted.
pub fn unmount_disk() -> Result<bool, Failure> {
    if mount::unmount(Path::new(DISK)).is_ok() {
        return Ok(true);
    }
    mount::detach(Path::new(DISK)).step("unmount the disk").map(|()| false)
}

/// Makes a directory of the stage that every id may pass through.
pub(super) fn make_open_directory(name: impl AsRef<Path>) -> Result<(), Failure> {
    let name = name.as_ref();
    fs::create_dir_all(name).step("make a staging directory")?;
    fs::set_permissions(name, fs::Permissions::from_mode(0o755)).step("open a staging directory")
}
