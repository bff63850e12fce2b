//! The unified tree: on a pure v2 host it carries the limits too.

use std::io;
use std::path::Path;

use super::limits::{Limits, in_use};
use super::statistics::{Statistics, field, without_cache};
use super::walk::Walk;
use super::{guard, tree};
use crate::kernel::failure::Failure;

/// Files that the container's root may write (cgroups kernel doc, "Delegation").
pub(super) const DELEGATED: [&str; 3] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
/// Controllers that limits need.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Makes the directory and those above it that are missing; with `controllers`, each new level gets the controllers
/// that its parent can give.
pub(super) fn ensure(path: &Path, controllers: bool) -> Result<(), Failure> {
    let made = tree::make_path(path)?;
    if !controllers {
        return Ok(());
    }
    // The two levels above the container are the instance's group and its parent: both pass the controllers on.
    let above: Vec<&Path> = path.ancestors().skip(1).take(made.max(2)).collect();
    for level in above.into_iter().rev().filter(|level| level.join("cgroup.subtree_control").exists()) {
        switch_on(level)?;
    }
    Ok(())
}

/// Has every level from the root of the tree down to `group` pass controllers on, as far as each lets itself be told.
///
/// A session's group, unlike a service's that asks for delegation, has only what its slice happens to pass on. What is
/// still missing afterwards shows where a limit is set.
pub(super) fn pass_on(root: &Path, group: &Path) {
    let path: Vec<&Path> = group.ancestors().take_while(|level| level.starts_with(root)).collect();
    for level in path.into_iter().rev() {
        for controller in withheld(level) {
            let _ = pass(level, controller);
        }
    }
}

/// Passes on what is available and not passed on yet.
fn switch_on(level: &Path) -> Result<(), Failure> {
    withheld(level).into_iter().try_for_each(|controller| pass(level, controller))
}

fn pass(level: &Path, controller: &str) -> Result<(), Failure> {
    tree::write(level, "cgroup.subtree_control", &format!("+{controller}"))
}

/// Returns the controllers that a group has and its children have not.
fn withheld(level: &Path) -> Vec<&'static str> {
    let words = |file| tree::read(level, file).unwrap_or_default();
    let (available, passed) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    CONTROLLERS.into_iter().filter(|name| has(&available, name) && !has(&passed, name)).collect()
}

pub(super) fn set_limits(group: &Path, limits: &Limits) -> Result<(), Failure> {
    let text = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |value| value.to_string());
    set(group, "memory.swap.max", &text(limits.swap()), limits.memory_and_swap.is_some())?;
    if let Some(limit) = limits.memory {
        make_room(group, limit)?;
    }
    set(group, "memory.max", &text(limits.memory), limits.memory.is_some())?;
    let (quota, period) = limits.cpu_quota();
    set(group, "cpu.max", &format!("{} {period}", text(quota)), quota.is_some())?;
    set(group, "cpu.weight", &limits.weight().to_string(), limits.cpu_weight.is_some())?;
    set(group, "pids.max", &text(limits.pids), limits.pids.is_some())
}

/// Has the kernel free what is above a new limit. Lowered below what is in use, `memory.max` would kill; `memory.high`
/// only frees, so that it can be seen whether enough was free.
fn make_room(group: &Path, limit: u64) -> Result<(), Failure> {
    let used = || tree::number(group, "memory.current");
    if used().is_none_or(|used| used <= limit) || !group.join("memory.high").exists() {
        return Ok(());
    }
    tree::write(group, "memory.high", &limit.to_string())?;
    let left = used();
    tree::write(group, "memory.high", "max")?;
    if left.is_some_and(|left| left > limit) { Err(in_use(limit, left)) } else { Ok(()) }
}

/// Writes a value; a missing controller matters only where a limit is really asked for.
fn set(group: &Path, file: &str, value: &str, wanted: bool) -> Result<(), Failure> {
    if group.join(file).exists() {
        return tree::write(group, file, value);
    }
    if wanted {
        return Err(Failure::new(&format!("set {file}"), "the controller is not available in this cgroup"));
    }
    Ok(())
}

pub(super) fn statistics(group: &Path) -> Statistics {
    let text = |file: &str| tree::read(group, file).unwrap_or_default();
    let cpu = text("cpu.stat");
    let parts = text("memory.stat");
    let used = tree::number(group, "memory.current");
    let (memory, memory_cache) = without_cache(used, field(&parts, "file"), field(&parts, "shmem"));
    Statistics {
        memory,
        memory_cache,
        memory_peak: tree::number(group, "memory.peak"),
        oom_kills: oom_kills(group),
        cpu_usec: field(&cpu, "usage_usec"),
        throttled_periods: field(&cpu, "nr_throttled"),
        throttled_usec: field(&cpu, "throttled_usec"),
        pids: tree::number(group, "pids.current"),
        pids_refused: pids_refused(group),
    }
}

pub(super) fn oom_kills(group: &Path) -> Option<u64> {
    field(&tree::read(group, "memory.events").ok()?, "oom_kill")
}

/// Returns how often the group's own limit refused a process. A kernel before 6.11 counts that with the group of the
/// process that wanted one, so there those below are added up, as many as a container may have. Nothing where
/// one of them cannot be read: a part of the sum would pass for the whole.
pub(super) fn pids_refused(group: &Path) -> Option<u64> {
    if let Ok(own) = tree::read(group, "pids.events.local") {
        return field(&own, "max");
    }
    let own = field(&tree::read(group, "pids.events").ok()?, "max")?;
    Some(own.saturating_add(refused_below(group).ok()?))
}

fn refused_below(group: &Path) -> io::Result<u64> {
    let Some(mut walk) = Walk::at(group, guard::DEPTH_MAX)? else { return Ok(0) };
    let mut sum = 0_u64;
    for _ in 0..guard::GROUPS_MAX {
        if walk.down()?.is_none() {
            break;
        }
        let below = walk.read("pids.events")?.and_then(|text| field(&text, "max"));
        sum = sum.saturating_add(below.unwrap_or(0));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::sys::fs::{DirectoryStack, create_file, make_directory, open_root, write_at};

    #[test]
    fn a_group_that_cannot_be_read_makes_the_sum_unknown_and_one_without_a_count_does_not() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("pids.events"), "max 2\n").unwrap();
        std::fs::create_dir(place.path().join("bare")).unwrap();
        assert_eq!(pids_refused(place.path()), Some(2));
        std::fs::create_dir_all(place.path().join("odd/pids.events")).unwrap();
        assert_eq!(pids_refused(place.path()), None);
    }

    #[test]
    fn refusals_in_groups_that_a_container_nests_deeper_than_a_stack_are_added_up_within_bounds() {
        let place = tempfile::tempdir().unwrap();
        let mut stack = DirectoryStack::new(open_root(place.path()).unwrap().as_fd(), false).unwrap();
        for _ in 0..3000 {
            let file = create_file(stack.top().unwrap(), b"pids.events", 0o600).unwrap();
            write_at(file.as_fd(), b"max 1\n", 0).unwrap();
            make_directory(stack.top().unwrap(), b"deeper", 0o755).unwrap();
            stack.push(b"deeper").unwrap();
        }
        let path = place.path().to_owned();
        let counted = std::thread::Builder::new().stack_size(128 << 10).spawn(move || pids_refused(&path));
        assert_eq!(counted.unwrap().join().unwrap(), Some(1 + guard::DEPTH_MAX as u64));
        crate::sys::fs::remove_tree(open_root(place.path()).unwrap().as_fd(), b"deeper").unwrap();
    }
}
