//! What a container uses and how often its limits were hit.

use serde::{Deserialize, Serialize};

/// Readings of one moment; `None` where the host has no controller for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Bytes of memory in use, the page cache left out: the kernel takes that back when it needs to. What lies in file
    /// systems in memory stays counted.
    pub memory: Option<u64>,
    /// Bytes of page cache.
    #[serde(default)]
    pub memory_cache: Option<u64>,
    /// The most bytes ever in use.
    pub memory_peak: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Processor time in microseconds.
    pub cpu_usec: Option<u64>,
    /// Periods in which the quota ran out.
    pub throttled_periods: Option<u64>,
    /// Time spent waiting for the next quota, in microseconds.
    pub throttled_usec: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Forks refused by the limit.
    pub pids_refused: Option<u64>,
}

/// Returns bytes in use without page cache, and that: `files` is what of the group's memory belongs to files, of which
/// `shared` lies in memory alone and cannot be taken back.
pub(super) fn without_cache(used: Option<u64>, files: Option<u64>, shared: Option<u64>) -> (Option<u64>, Option<u64>) {
    let cache = files.map(|files| files.saturating_sub(shared.unwrap_or(0)));
    (used.map(|used| used.saturating_sub(cache.unwrap_or(0))), cache)
}

/// Returns the value of `name` in a file of lines `name value`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        if key == name { value.trim().parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), Some(3));
        assert_eq!(field(text, "oom"), None);
    }

    #[test]
    fn page_cache_is_not_in_use_and_files_in_memory_are() {
        assert_eq!(without_cache(Some(100), Some(70), Some(20)), (Some(50), Some(50)));
        assert_eq!(without_cache(Some(100), None, None), (Some(100), None));
        // Read one after the other, the figures need not fit.
        assert_eq!(without_cache(Some(10), Some(70), None), (Some(0), Some(70)));
    }
}
