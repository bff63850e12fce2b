//! Who writes to a disk though its group is to stand still.
//!
//! The freezer stops nobody who is in the kernel, and one call there can write without end (`io_submit` of many writes, a copy
//! of gigabytes). Whoever is killed leaves such a call at once, but for one that goes past the page cache: that is written to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::cgroup::Cgroup;
use crate::sys::{process, signal};

/// How long is watched who writes.
pub const WATCHED: Duration = Duration::from_millis(20);

/// Is what the processes of a group had written at one moment.
pub struct Look<'a> {
    group: &'a Cgroup,
    written: BTreeMap<i32, u64>,
}

impl<'a> Look<'a> {
    /// Looks at a group that is to stand still and does not yet; nothing if it is not to, or does.
    ///
    /// # Errors
    /// A group below it cannot be read.
    pub fn at(group: &'a Cgroup) -> io::Result<Option<Self>> {
        if !group.is_settling().unwrap_or(false) {
            return Ok(None);
        }
        let written = group.processes()?.into_iter().filter_map(|pid| Some((pid, written_by(pid)?))).collect();
        Ok(Some(Self { group, written }))
    }

    /// Kills who has written since, and returns the names of those programs.
    ///
    /// # Errors
    /// A group below it cannot be read: nobody is killed.
    pub fn end_writers(self) -> io::Result<Vec<String>> {
        let went_on = |(pid, before): (&i32, &u64)| written_by(*pid).is_some_and(|now| now > *before).then_some(*pid);
        let writers: Vec<i32> = self.written.iter().filter_map(went_on).collect();
        // Held first, and found in the group second: the number may have gone to somebody else before.
        let held: Vec<(i32, OwnedFd)> =
            writers.into_iter().filter_map(|pid| Some((pid, process::open_pidfd(pid).ok()?))).collect();
        let own: BTreeSet<i32> = self.group.processes()?.into_iter().collect();
        let killed = |(pid, pidfd): (i32, OwnedFd)| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            process::signal_pidfd(&pidfd, signal::KILL).is_ok().then(|| name.trim().to_owned())
        };
        Ok(held.into_iter().filter(|(pid, _)| own.contains(pid)).filter_map(killed).collect())
    }
}

/// Returns the bytes that a process has made dirty or written past the page cache (proc_pid_io(5)); nothing once it has ended.
fn written_by(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}
