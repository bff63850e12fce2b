//! What nobody asks for and every container gets: bounds on pools of the machine, so that those of one instance together
//! leave some to the host.
//!
//! They are set where no value of somebody else stands: an administrator may choose another one.

use std::fs;
use std::path::Path;

use super::tree;
use crate::kernel::failure::Failure;

/// Groups that a container may have below its own. The kernel counts 65,535 memory groups for the whole machine.
pub(super) const GROUPS_MAX: usize = 2048;
/// How many levels deep they may lie: a container of containers with a system in each needs ten.
pub(super) const DEPTH_MAX: usize = 32;
/// What stays with the host of its processes: one in so many.
const PROCESSES_SHARE: u64 = 4;
/// What stays with the host of its memory: one byte in so many, between these bounds.
const MEMORY_SHARE: u64 = 10;
const MEMORY_KEPT: (u64, u64) = (256 << 20, 4 << 30);
/// Where the buffers of TCP are not in that sum (v1), they may take one byte of it in so many.
const SOCKETS_SHARE: u64 = 4;
/// A v1 limit from here on is none: the kernel says "unlimited" by a number near the largest that it can count pages of.
pub(super) const NO_LIMIT_V1: u64 = 1 << 60;

/// Bounds the groups inside a container; a hybrid host has no other tree that a container may make groups in.
pub(super) fn bound_groups(container: &Path) -> Result<(), Failure> {
    tree::write(container, "cgroup.max.descendants", &GROUPS_MAX.to_string())?;
    tree::write(container, "cgroup.max.depth", &DEPTH_MAX.to_string())
}

/// Bounds what all containers of an instance have together in this group of it, where it has the file.
pub(super) fn bound_instance(group: &Path) -> Result<(), Failure> {
    bound(group, "pids.max", processes_for_all)?;
    bound(group, "memory.max", memory_for_all)?;
    bound(group, "memory.limit_in_bytes", memory_for_all)?;
    bound(group, "memory.kmem.tcp.limit_in_bytes", || Some(memory_for_all()? / SOCKETS_SHARE))
}

/// Sets a limit where there is none yet; what the host does not tell has no bound. The host is asked only where it is to be
/// set: every start comes by here, in each tree, and most find all of it done.
fn bound(group: &Path, file: &str, limit: impl FnOnce() -> Option<u64>) -> Result<(), Failure> {
    let Ok(now) = tree::read(group, file) else { return Ok(()) };
    let now = now.trim();
    let free = now == "max" || now.parse::<u64>().is_ok_and(|bytes| bytes >= NO_LIMIT_V1);
    match free.then(limit).flatten() {
        Some(limit) => tree::write(group, file, &limit.to_string()),
        None => Ok(()),
    }
}

/// Returns how many processes and threads all may have together: the kernel has as many numbers and no more.
fn processes_for_all() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse::<u64>().ok();
    let all = read("pid_max")?.min(read("threads-max")?);
    Some(all - all / PROCESSES_SHARE)
}

fn memory_for_all() -> Option<u64> {
    total_memory(&fs::read_to_string("/proc/meminfo").ok()?).map(memory_of)
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Without it a container without a limit that fills a tmpfs has the kernel end processes of the host, one by one: the
/// memory is nobody's.
fn memory_of(total: u64) -> u64 {
    let (least, most) = MEMORY_KEPT;
    total - (total / MEMORY_SHARE).clamp(least, most).min(total / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_keeps_a_tenth_of_its_memory_within_bounds() {
        assert_eq!(total_memory("MemTotal:        1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(memory_of(20 << 30), 18 << 30);
        assert_eq!(memory_of(1 << 40), (1 << 40) - (4 << 30));
        assert_eq!(memory_of(1 << 30), (1 << 30) - (256 << 20));
        assert_eq!(memory_of(256 << 20), 128 << 20);
    }

    #[test]
    fn a_limit_that_somebody_set_stays() {
        let group = tempfile::tempdir().unwrap();
        let after = |text: &str| {
            fs::write(group.path().join("pids.max"), text).unwrap();
            bound(group.path(), "pids.max", || Some(7)).unwrap();
            fs::read_to_string(group.path().join("pids.max")).unwrap().trim().to_owned()
        };
        assert_eq!(after("100\n"), "100");
        assert!(after("max\n").starts_with('7'));
        assert!(after("9223372036854771712\n").starts_with('7'));
        assert!(bound(group.path(), "memory.max", || Some(7)).is_ok());
    }
}
