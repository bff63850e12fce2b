//! What a container uses and how often its limits were hit.

use serde::{Deserialize, Serialize};

/// Readings of one moment; `None` where the host has no controller for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Bytes of memory in use.
    pub memory: Option<u64>,
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
}
