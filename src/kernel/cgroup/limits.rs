//! Limits of a container in units that mean the same on v1 and v2.

use serde::{Deserialize, Serialize};

use crate::kernel::failure::Failure;
use crate::types::Size;

/// The period of the cpu quota in microseconds (the kernel's default).
const PERIOD: u64 = 100_000;

/// What a container may use; what is not given is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Bytes of memory and swap together, at least `memory`.
    #[serde(default)]
    pub memory_and_swap: Option<u64>,
    /// Thousandths of one processor.
    #[serde(default)]
    pub cpu_millis: Option<u32>,
    /// Share when processors are scarce: 1 to 10,000, 100 is normal (the scale of v2).
    #[serde(default)]
    pub cpu_weight: Option<u32>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u64>,
}

impl Limits {
    /// Returns quota and period in microseconds; the kernel takes no quota below a millisecond.
    pub(super) fn cpu_quota(&self) -> (Option<u64>, u64) {
        (self.cpu_millis.map(|millis| (u64::from(millis) * PERIOD / 1000).max(1000)), PERIOD)
    }

    /// Returns the weight on the scale of v2.
    pub(super) fn weight(&self) -> u32 {
        self.cpu_weight.unwrap_or(100).clamp(1, 10_000)
    }

    /// Returns the weight on the scale of v1 (`cpu.shares`, 1024 is normal, 2 the least).
    pub(super) fn shares(&self) -> u32 {
        (self.weight() * 1024 / 100).max(2)
    }

    /// Returns the bytes of swap alone, as v2 counts.
    pub(super) fn swap(&self) -> Option<u64> {
        Some(self.memory_and_swap?.saturating_sub(self.memory.unwrap_or(0)))
    }
}

/// Says that a container has more memory in use than it is to have from now on.
pub(super) fn in_use(limit: u64, used: Option<u64>) -> Failure {
    let shown = |bytes: u64| Size::from_bytes(bytes).to_string();
    let used = used.map_or_else(|| "more".to_owned(), shown);
    let reason = format!(
        "{used} are in use and the kernel cannot free enough of them; lower it less, end something inside, or stop the \
         container, set the limit and start it again"
    );
    Failure::new(&format!("limit the memory to {}", shown(limit)), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_processor_is_half_the_period_and_normal_weight_is_1024_shares() {
        let limits = Limits { cpu_millis: Some(500), ..Limits::default() };
        assert_eq!(limits.cpu_quota(), (Some(50_000), 100_000));
        assert_eq!(limits.shares(), 1024);
    }

    #[test]
    fn swap_is_what_the_sum_leaves_above_memory() {
        let limits = Limits { memory: Some(100), memory_and_swap: Some(150), ..Limits::default() };
        assert_eq!(limits.swap(), Some(50));
        assert_eq!(Limits::default().swap(), None);
    }
}
