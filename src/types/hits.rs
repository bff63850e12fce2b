//! How often a container ran into its limits.

use serde::{Deserialize, Serialize};

use super::Size;

/// The bound on memory that a process fell to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryBound {
    /// The container's own limit.
    Own,
    /// One that the container set itself, for a part of it.
    Inside,
    /// One that holds for more than this container: all of Berth's together, or the service.
    Around,
    /// The memory of the machine.
    Machine,
}

/// Is what the file system of a disk counts of what failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFaults {
    /// Errors, ever since it was checked last (e2fsck(8)).
    pub errors: u64,
    /// Warnings since it was mounted, as of when the host last had no room: each write that its device refuses is one.
    pub warnings: u64,
}

impl DiskFaults {
    /// With less room than this on the host, a warning is taken for a write that was lost. At any other time it says nothing:
    /// who may write to the disk can bring about some, as by filling the index of a directory.
    pub const HOST_ROOM: Size = Size::from_mib(128);

    /// Says whether there are more than there were.
    pub const fn exceed(self, before: Self) -> bool {
        self.errors > before.errors || self.warnings > before.warnings
    }

    /// Returns it as people read it.
    pub fn words(self) -> String {
        let counted = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        format!("its file system counts {} and {}", counted(self.errors, "error"), counted(self.warnings, "warning"))
    }
}

/// Is what the kernel has counted since a container started, as one look shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// Processes that it ended for want of memory.
    pub kills: u64,
    /// Times that it refused a new process.
    pub refused: u64,
    /// Whether the disk is full; nothing where that is not known, or between full and not.
    pub is_full: Option<bool>,
    /// What of its disk failed; nothing where that is not known.
    pub faults: Option<DiskFaults>,
    /// The names of the processes that were ended, as far as its log still has them, the last one last.
    pub victims: Vec<String>,
    /// What the last of them fell to; nothing where its log does not tell.
    pub bound: Option<MemoryBound>,
    /// Whether its log says that init was one of them; nothing where it does not tell.
    pub init_killed: Option<bool>,
}
