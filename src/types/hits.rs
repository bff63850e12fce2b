//! How often a container ran into its limits.

/// Is what the kernel has counted since a container started, as one look shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// Processes that it ended for want of memory.
    pub kills: u64,
    /// Times that it refused a new process.
    pub refused: u64,
    /// Whether the disk is full; nothing where that is not known, or between full and not.
    pub is_full: Option<bool>,
    /// The names of the processes that were ended, as far as its log still has them, the last one last.
    pub victims: Vec<String>,
    /// Whether its log says that the last of them fell to the want of the whole machine, not to a limit.
    pub whole_machine: bool,
    /// Whether its log says that init was one of them; nothing where it does not tell.
    pub init_killed: Option<bool>,
}
