//! What a running container uses.

use serde::{Deserialize, Serialize};

/// Is what a running container uses at this moment; what cannot be measured is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of memory, the page cache left out: the kernel takes that back when it needs to.
    pub memory: Option<u64>,
    /// Bytes of page cache beside it.
    #[serde(default)]
    pub memory_cache: Option<u64>,
    /// Times that the kernel ended a process for want of memory.
    pub out_of_memory_kills: Option<u64>,
    /// Microseconds of processor time since the start.
    pub cpu_micros: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes of its own files.
    pub disk: Option<u64>,
}
