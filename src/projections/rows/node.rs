//! This machine.

use serde::{Deserialize, Serialize};

use crate::types::{NodeId, Position, Timestamp};

/// Is this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its id.
    pub id: NodeId,
    /// The host name when the state directory was made.
    pub hostname: String,
    /// The eight hexadecimal digits that mark what this daemon makes on the host.
    pub instance: String,
    /// The kernel's id of the last boot.
    pub boot: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// When that boot was found.
    pub booted_at: Option<Timestamp>,
    /// The version of the daemon that was started last.
    pub version: Option<String>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended in order; nothing while it runs, or when it was killed.
    pub stopped_at: Option<Timestamp>,
    /// How many id ranges are given out.
    pub id_ranges: u64,
    /// The last event in this row.
    pub position: Position,
}
