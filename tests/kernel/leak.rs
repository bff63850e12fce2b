//! Runs last: nothing of the other tests is left.

use std::fs;

use berth::kernel::cgroup::{Cgroup, Layout};

use crate::check;
use crate::fixture::{Outcome, instance, parent, scratch};

pub const TESTS: &[crate::Test] = &[("nothing is left behind", nothing)];

fn nothing() -> Outcome {
    let mark = scratch().to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    check!(!mounts.contains(&mark), "mounts: {mounts}");
    let group = Cgroup::at(&Layout::detect()?, parent()?.as_deref(), &format!("berth-{}", instance()))?;
    check!(group.directories().is_empty(), "cgroups: {:?}", group.directories());
    for process in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        check!(!String::from_utf8_lossy(&line).contains(&mark), "the process {} is left", process.path().display());
    }
    for device in fs::read_dir("/sys/block")?.filter_map(Result::ok) {
        let backing = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        check!(!backing.contains(&mark), "{} is still attached to {backing}", device.path().display());
    }
    let sockets = fs::read_to_string("/proc/net/unix")?;
    check!(!sockets.contains(&mark), "a socket is left: {sockets}");
    fs::remove_dir_all(scratch())?;
    Ok(())
}
