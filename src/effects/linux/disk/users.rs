//! Who uses a loop device that ought to be idle, in words: somebody has to let go of it by hand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::effect::Failure;
use crate::sys::loop_device::LoopDevice;

/// Names who keeps a disk in use: whoever has it mounted, or open.
pub(super) fn in_use(device: LoopDevice) -> Failure {
    let path = device.path.clone();
    drop(device); // whoever only looked is no user
    let shown = path.display();
    let user = mounted(&path).or_else(|| open(&path));
    let user = user.unwrap_or_else(|| format!("no process has it mounted or open: losetup --detach {shown}"));
    Failure::transient(format!("the disk is still in use as {shown}; {user}"))
}

/// Finds a process that has it mounted, and where.
fn mounted(device: &Path) -> Option<String> {
    let number = fs::read_to_string(Path::new("/sys/block").join(device.file_name()?).join("dev")).ok()?;
    processes().find_map(|process| {
        let mounts = fs::read_to_string(process.join("mountinfo")).ok()?;
        // The third field is the number of the device, the fifth the place (proc_pid_mountinfo(5)).
        let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let found =
            mounts.lines().map(fields).find(|fields| fields.get(2).is_some_and(|field| field == number.trim()))?;
        Some(format!("it is mounted on {} for {}", found.get(4)?, name_of(&process)))
    })
}

/// Finds a process that has it open.
fn open(device: &Path) -> Option<String> {
    let has_it = |process: &PathBuf| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == device)
    };
    processes().find(has_it).map(|process| format!("{} has it open", name_of(&process)))
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let is_process = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(is_process).map(|entry| entry.path())
}

fn name_of(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let pid = process.file_name().unwrap_or_default().to_string_lossy();
    format!("{} (process {pid})", name.trim())
}
