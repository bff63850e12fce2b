//! The v1 half of a hybrid host: one directory per hierarchy, limits by the v1 controllers.

use std::path::Path;

use super::guard::NO_LIMIT_V1;
use super::layout::Hierarchy;
use super::limits::{Limits, in_use};
use super::statistics::{Statistics, field, without_cache};
use super::tree;
use crate::kernel::failure::Failure;

/// EBUSY: more is in use than the new limit, and the kernel could not free enough (errno(3)).
const BUSY: i32 = 16;

/// The limit on the buffers of TCP.
const SOCKETS: &str = "memory.kmem.tcp.limit_in_bytes";

/// Makes the directory and those above it. A cpuset is empty at birth and refuses processes until it has processors
/// and memory nodes, which are the parent's (cpuset(7)).
pub(super) fn ensure(hierarchy: &Hierarchy, path: &Path) -> Result<(), Failure> {
    tree::make_path(path)?;
    if !hierarchy.has("cpuset") {
        return Ok(());
    }
    let mut parent = hierarchy.root.clone();
    for part in path.strip_prefix(&hierarchy.root).unwrap_or(path) {
        let child = parent.join(part);
        inherit(&parent, &child, "cpuset.cpus")?;
        inherit(&parent, &child, "cpuset.mems")?;
        parent = child;
    }
    Ok(())
}

fn inherit(parent: &Path, child: &Path, file: &str) -> Result<(), Failure> {
    let read = |group| tree::read(group, file).unwrap_or_default().trim().to_owned();
    if !read(child).is_empty() {
        return Ok(());
    }
    tree::write(child, file, &read(parent))
}

fn by_use(failure: Failure, limit: Option<u64>, used: Option<u64>) -> Failure {
    match limit {
        Some(limit) if failure.errno == Some(BUSY) => in_use(limit, used),
        _ => failure,
    }
}

/// Finds the directory of a controller.
type Find<'a> = dyn Fn(&str) -> Option<&'a Path> + 'a;

pub(super) fn set_limits(find: &Find<'_>, limits: &Limits) -> Result<(), Failure> {
    set_memory(find, limits)?;
    set_sockets(find, limits)?;
    set_cpu(find, limits)?;
    let pids = limits.pids.map_or_else(|| "max".to_owned(), |count| count.to_string());
    set(find, "pids", "pids.max", &pids, limits.pids.is_some())
}

/// Writes a value; a missing controller matters only where a limit is really asked for.
fn set(find: &Find<'_>, controller: &str, file: &str, value: &str, wanted: bool) -> Result<(), Failure> {
    match find(controller) {
        Some(path) if wanted || path.join(file).exists() => tree::write(path, file, value),
        None if wanted => Err(Failure::new(&format!("set {file}"), format!("the host has no {controller} controller"))),
        _ => Ok(()),
    }
}

/// The sum may never be below memory alone, so raising begins with the sum and lowering with memory: whichever order
/// is wrong is refused, and then the other one is tried. What is in use and cannot be freed is no matter of order.
fn set_memory(find: &Find<'_>, limits: &Limits) -> Result<(), Failure> {
    let text = |limit: Option<u64>| limit.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    let memory = || set(find, "memory", "memory.limit_in_bytes", &text(limits.memory), limits.memory.is_some());
    let sum = || {
        let wanted = limits.memory_and_swap.is_some();
        set(find, "memory", "memory.memsw.limit_in_bytes", &text(limits.memory_and_swap), wanted)
    };
    let usage = || find("memory").and_then(|path| tree::number(path, "memory.usage_in_bytes"));
    let before = find("memory").and_then(|path| tree::read(path, "memory.limit_in_bytes").ok());
    match memory() {
        Ok(()) => sum().map_err(|failure| {
            // Swap counts in the sum: either both hold or neither.
            if let Some((path, value)) = find("memory").zip(before) {
                let _ = tree::write(path, "memory.limit_in_bytes", value.trim());
            }
            by_use(failure, limits.memory_and_swap, usage())
        }),
        Err(failure) if failure.errno == Some(BUSY) => Err(by_use(failure, limits.memory, usage())),
        Err(_) => {
            sum().map_err(|failure| by_use(failure, limits.memory_and_swap, usage()))?;
            memory()
        }
    }
}

/// The buffers of TCP are not in the sum here, as they are on v2: they have a limit of the same size beside it, which the
/// kernel counts only once it is set.
fn set_sockets(find: &Find<'_>, limits: &Limits) -> Result<(), Failure> {
    let text = limits.memory.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    match find("memory").filter(|path| path.join(SOCKETS).exists()) {
        Some(path) if limits.memory.is_some() || tree::number(path, SOCKETS).is_some_and(|now| now < NO_LIMIT_V1) => {
            tree::write(path, SOCKETS, &text)
        }
        _ => Ok(()),
    }
}

fn set_cpu(find: &Find<'_>, limits: &Limits) -> Result<(), Failure> {
    let (quota, period) = limits.cpu_quota();
    set(find, "cpu", "cpu.cfs_period_us", &period.to_string(), quota.is_some())?;
    let text = quota.map_or_else(|| "-1".to_owned(), |microseconds| microseconds.to_string());
    set(find, "cpu", "cpu.cfs_quota_us", &text, quota.is_some())?;
    set(find, "cpu", "cpu.shares", &limits.shares().to_string(), limits.cpu_weight.is_some())
}

pub(super) fn statistics(find: &Find<'_>) -> Statistics {
    let number = |controller: &str, file: &str| find(controller).and_then(|path| tree::number(path, file));
    let text = |controller: &str, file: &str| find(controller).and_then(|path| tree::read(path, file).ok());
    let cpu = text("cpu", "cpu.stat").unwrap_or_default();
    let parts = text("memory", "memory.stat").unwrap_or_default();
    let used = number("memory", "memory.usage_in_bytes");
    let (memory, memory_cache) = without_cache(used, field(&parts, "total_cache"), field(&parts, "total_shmem"));
    Statistics {
        memory,
        memory_cache,
        memory_peak: number("memory", "memory.max_usage_in_bytes"),
        oom_kills: oom_kills(find),
        cpu_usec: number("cpuacct", "cpuacct.usage").map(|nanoseconds| nanoseconds / 1000),
        throttled_periods: field(&cpu, "nr_throttled"),
        throttled_usec: field(&cpu, "throttled_time").map(|nanoseconds| nanoseconds / 1000),
        pids: number("pids", "pids.current"),
        pids_refused: pids_refused(find),
    }
}

pub(super) fn oom_kills(find: &Find<'_>) -> Option<u64> {
    field(&tree::read(find("memory")?, "memory.oom_control").ok()?, "oom_kill")
}

pub(super) fn pids_refused(find: &Find<'_>) -> Option<u64> {
    field(&tree::read(find("pids")?, "pids.events").ok()?, "max")
}
