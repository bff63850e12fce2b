//! The disk of a container: a sparse image with an ext4 file system, or a plain directory where there is no other way.
//!
//! Nothing is mounted here: the container's supervisor does that in a mount namespace of its own. `mounted_apart` mounts an
//! idle disk where nobody sees it, for work on it.

mod superblock;
#[cfg(test)]
mod tests;
mod users;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::domain::effect::Failure;
use crate::events::DiskKind;
use crate::sys::ext4;
use crate::sys::fs::lock::exclusive;
use crate::sys::fs::{Access, open_beneath, open_root, remove_tree};
use crate::sys::loop_device::{self, Backing, LoopDevice};
use crate::sys::mount::{self, Safety};
use crate::types::{ContainerId, Size};

use super::failure::cannot;
use super::paths::{StatePaths, ensure_directory, sync_directory};

/// Less holds no journal and nothing else of use.
const SIZE_MIN: Size = Size::from_mib(16);
/// How long a loop device that nobody needs may take to let go of its image.
const LETTING_GO: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(10);
/// Below this the usual journal would take too much of the disk.
const SMALL: Size = Size::from_mib(256);

/// Makes the container's disk, if it is not there.
///
/// # Errors
/// Names the missing program and the way without it; what the kernel or mkfs.ext4 says.
pub fn ensure_disk(paths: &StatePaths, container: ContainerId, kind: DiskKind, size: Size) -> Result<(), Failure> {
    ensure_directory(&paths.container(container))?;
    match kind {
        DiskKind::Directory => ensure_directory(&paths.disk_directory(container)),
        DiskKind::Image => ensure_image(&paths.disk_image(container), size),
    }
}

fn ensure_image(image: &Path, size: Size) -> Result<(), Failure> {
    if image.exists() {
        return Ok(()); // It got its name when it was whole.
    }
    if size < SIZE_MIN {
        return Err(Failure::permanent(format!("a disk of {size} is too small: {SIZE_MIN} is the least")));
    }
    let partial = image.with_extension("partial");
    let shown = || partial.display();
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&partial);
    let file = file.map_err(cannot("make", shown()))?;
    alone(&file, &partial)?;
    file.set_len(0).map_err(cannot("empty", shown()))?;
    file.set_len(size.as_bytes()).map_err(cannot("size", shown()))?;
    let journal = if size < SMALL { "size=4" } else { "size=16" };
    let features = "nodiscard,lazy_itable_init=1,lazy_journal_init=1";
    let path = partial.to_string_lossy();
    let arguments = ["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-E", features, "-J", journal, &path];
    if let Err(failure) = tool("mkfs.ext4", &arguments, 0, &file) {
        // The failure that matters is mkfs's; what is left is overwritten by the next attempt and removed by the undo.
        let _ = fs::remove_file(&partial);
        return Err(failure);
    }
    file.sync_all().map_err(cannot("write", shown()))?;
    fs::rename(&partial, image).map_err(cannot("put in place", image.display()))?;
    image.parent().map_or(Ok(()), sync_directory).map_err(cannot("write", image.display()))
}

/// Takes the lock of an image for the programs that are about to write to it.
///
/// They outlive a daemon that is killed, and two of them would spoil the image. So each has the lock's descriptor (see
/// [`tool`]), and the lock ends with the last who has it (flock(2)). A device that has the image holds it too.
fn alone(file: &File, path: &Path) -> Result<(), Failure> {
    if exclusive(file.as_fd()).map_err(cannot("lock", path.display()))? {
        return Ok(());
    }
    Err(Failure::transient(format!("another program still works on {}", path.display())))
}

/// Runs a program of e2fsprogs on the image that `locked` is; exit codes up to `accepted` count as success.
///
/// It gets the image as its input, which none of them reads, only so that the lock lasts as long as it.
fn tool(program: &str, arguments: &[&str], accepted: i32, locked: &File) -> Result<(), Failure> {
    let mut command = Command::new(program);
    let held = locked.try_clone().map_err(cannot("share the lock with", program))?;
    command.args(arguments).stdin(held).env("LC_ALL", "C");
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::permanent(format!(
            "{program} is not installed: install the package e2fsprogs, or create the container with --disk-kind directory"
        )),
        _ => cannot("run", program)(error),
    })?;
    if output.status.code().is_some_and(|code| code <= accepted) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let said = text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with(program));
    Err(Failure::permanent(format!("{program} failed: {}", said.unwrap_or("it gave no reason"))))
}

/// Grows the disk to at least `size`; `mounted` is a directory of it while it is in use.
///
/// # Errors
/// Says what to do where the kernel lets nobody here grow a disk in use; refuses to shrink.
pub fn ensure_disk_size(
    paths: &StatePaths,
    container: ContainerId,
    kind: DiskKind,
    size: Size,
    mounted: Option<BorrowedFd<'_>>,
) -> Result<(), Failure> {
    if kind == DiskKind::Directory {
        return Ok(()); // It has no size of its own.
    }
    let image = paths.disk_image(container);
    let before = fs::metadata(&image).map_err(cannot("look at", image.display()))?.len();
    let holds = superblock::file_system_size(&image).map_err(cannot("read", image.display()))?;
    let holds = holds.ok_or_else(|| Failure::permanent(format!("{} holds no ext4 file system", image.display())))?;
    let wanted = size.as_bytes() / 4096 * 4096;
    if before > size.as_bytes() && holds > wanted {
        let now = Size::from_bytes(before);
        return Err(Failure::permanent(format!("the disk has {now} and cannot shrink to {size}")));
    }
    if holds >= wanted {
        return Ok(());
    }
    set_length(&image, before.max(size.as_bytes()))?;
    let device = if mounted.is_some() { attached(&image)? } else { attached_for_long(&image)? };
    let grown = match device {
        Some(device) => grow_in_use(&device, mounted, size),
        None => grow_idle(&image),
    };
    if grown.is_err() && before < size.as_bytes() {
        // The file system uses none of the new part, so the image can be what it was.
        set_length(&image, before)?;
        if let Some(device) = attached(&image)? {
            device.update_capacity().map_err(cannot("restore the size of", device.path.display()))?;
        }
    }
    grown
}

fn set_length(image: &Path, length: u64) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).open(image).map_err(cannot("open", image.display()))?;
    file.set_len(length).map_err(cannot("size", image.display()))
}

fn attached(image: &Path) -> Result<Option<LoopDevice>, Failure> {
    let failed = |error| cannot("look for the loop device of", image.display())(error);
    let found = Backing::of(image).and_then(loop_device::attached_to).map_err(failed)?;
    Ok(found.first().and_then(|path| LoopDevice::open(path).ok()))
}

/// Returns the device that holds an image which nobody is known to use. A program that was spawned while it was mounted has
/// the device's descriptors until its exec, so it lets go a moment later.
fn attached_for_long(image: &Path) -> Result<Option<LoopDevice>, Failure> {
    let begun = Instant::now();
    loop {
        match attached(image)? {
            Some(_) if begun.elapsed() < LETTING_GO => std::thread::sleep(PAUSE),
            found => return Ok(found),
        }
    }
}

fn grow_in_use(device: &LoopDevice, mounted: Option<BorrowedFd<'_>>, size: Size) -> Result<(), Failure> {
    let offline = |why: &str| {
        Failure::permanent(format!(
            "offline only here: stop the container first, because {why}; then grow it to {size}"
        ))
    };
    let Some(directory) = mounted else { return Err(offline("its disk is in use and cannot be reached from here")) };
    device.update_capacity().map_err(cannot("tell the new size to", device.path.display()))?;
    let block = ext4::block_size(directory).map_err(cannot("look at", "the mounted disk"))?;
    match ext4::grow_mounted(directory, size.as_bytes() / block) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(offline("growing a disk in use needs CAP_SYS_RESOURCE, which this host does not give"))
        }
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            Err(offline("the kernel cannot grow this file system while it is in use"))
        }
        other => other.map_err(cannot("grow", "the mounted disk")),
    }
}

fn grow_idle(image: &Path) -> Result<(), Failure> {
    let path = image.to_string_lossy();
    let file = File::open(image).map_err(cannot("open", image.display()))?;
    alone(&file, image)?;
    // Exit 1: errors were there and are mended (e2fsck(8)).
    tool("e2fsck", &["-fp", &path], 1, &file)?;
    tool("resize2fs", &[&path], 0, &file)
}

/// Removes everything of the container that lies on disk.
///
/// # Errors
/// Refuses while the image is attached: what runs on it would go on with deleted blocks.
pub fn ensure_disk_gone(paths: &StatePaths, container: ContainerId) -> Result<(), Failure> {
    let image = paths.disk_image(container);
    if image.exists()
        && let Some(device) = attached_for_long(&image)?
    {
        return Err(users::in_use(device));
    }
    match open_root(&paths.containers()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot("open", "the containers")(error)),
        Ok(all) => remove_tree(all.as_fd(), container.to_string().as_bytes())
            .map_err(cannot("remove the files of container", container)),
    }
}

/// Tells whether the container's disk is there.
pub fn disk_path(paths: &StatePaths, container: ContainerId, kind: DiskKind) -> Option<PathBuf> {
    let path = match kind {
        DiskKind::Image => paths.disk_image(container),
        DiskKind::Directory => paths.disk_directory(container),
    };
    path.exists().then_some(path)
}

/// Mounts an idle image where no path leads to it, and gives its root to `work`; afterwards it is idle again.
///
/// # Errors
/// Refuses an image in use; what the kernel says, and what `work` says.
pub fn mounted_apart<T>(image: &Path, work: impl FnOnce(BorrowedFd<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    if let Some(device) = attached_for_long(image)? {
        return Err(users::in_use(device));
    }
    let device = loop_device::attach_until_closed(image, false).map_err(cannot("attach", image.display()))?;
    let source = device.path.to_string_lossy().into_owned();
    let mount = mount::new_file_system("ext4", &[("source", &source)], Safety::DataOnly)
        .map_err(cannot("mount", image.display()))?;
    let root: OwnedFd = open_beneath(mount.as_fd(), b"", Access::Directory).map_err(cannot("open", image.display()))?;
    work(root.as_fd())
}
