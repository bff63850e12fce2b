//! Files and directories of a cgroup tree, whatever its version.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kernel::failure::{Failure, Step as _};
use crate::sys::descriptor;

/// How long processes that are born meanwhile are looked for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);
/// ESRCH: the process has ended (errno(3)).
const NO_SUCH_PROCESS: i32 = 3;
/// ENOENT and ENODEV: the group above has been removed.
const NOT_FOUND: i32 = 2;
const NO_SUCH_DEVICE: i32 = 19;

/// Reads a file of a group.
pub(super) fn read(group: &Path, file: &str) -> io::Result<String> {
    fs::read_to_string(group.join(file))
}

/// Reads a file that holds one number.
pub(super) fn number(group: &Path, file: &str) -> Option<u64> {
    read(group, file).ok()?.trim().parse().ok()
}

/// Writes a file of a group; it must be there, a missing one is a missing controller.
pub(super) fn write(group: &Path, file: &str, value: &str) -> Result<(), Failure> {
    let path = group.join(file);
    let open = fs::OpenOptions::new().write(true).open(&path);
    open.and_then(|mut opened| io::Write::write_all(&mut opened, value.as_bytes()))
        .step(&format!("write {value} to {}", path.display()))
}

/// Moves a process into a group.
pub(super) fn join(group: &Path, pid: i32) -> Result<(), Failure> {
    write(group, "cgroup.procs", &pid.to_string())
}

/// Moves every process of the group into its leaf. They come and go meanwhile: it looks again until nobody is left. One
/// that is just ending is not moved any more and stands there until the kernel has done with it.
pub(super) fn vacate(group: &Path, leaf: &str) -> Result<(), Failure> {
    make_path(&group.join(leaf))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = read(group, "cgroup.procs").step("read the processes of the cgroup")?;
        if text.is_empty() {
            return Ok(());
        }
        for pid in text.lines().filter_map(|line| line.parse().ok()) {
            match join(&group.join(leaf), pid) {
                Err(failure) if failure.errno == Some(NO_SUCH_PROCESS) => {}
                moved => moved?,
            }
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                "move the processes of the cgroup into a leaf",
                "new ones come as fast as they move",
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes a group and those above it that are missing; returns how many levels that were.
///
/// Whoever takes the last group out of one takes that along ([`super::Cgroup::remove_empty_parent`]), and it may be the
/// one in which the next is just being made: then this begins anew. Once the lowest is there, none above it can go.
pub(super) fn make_path(path: &Path) -> Result<usize, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let missing: Vec<&Path> = path.ancestors().take_while(|level| !level.exists()).collect();
        match missing.iter().rev().try_for_each(|level| make(level)) {
            Err(failure) if failure.errno.is_some_and(vanished) && Instant::now() < deadline => {}
            made => return made.map(|()| missing.len()),
        }
    }
}

fn vanished(errno: i32) -> bool {
    [NOT_FOUND, NO_SUCH_DEVICE].contains(&errno)
}

/// Makes a directory if it is not there, open to be passed by everybody whatever the file mode mask: a kernel such
/// as 6.12 walks down from the root of the tree with the rights of whoever mounts cgroup2 in a namespace.
fn make(path: &Path) -> Result<(), Failure> {
    let step = || format!("make the cgroup {}", path.display());
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).step(&step()),
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)).step(&step()),
    }
}

/// Gives a directory and some of its files to `owner`.
pub(super) fn delegate(group: &Path, files: &[&str], owner: u32) -> Result<(), Failure> {
    descriptor::give_to(group, owner).step("delegate the cgroup")?;
    for file in files {
        descriptor::give_to(&group.join(file), owner).step(&format!("delegate {file}"))?;
    }
    Ok(())
}
