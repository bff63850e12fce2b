//! What operations have claimed of a container or of a group of backups.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::types::{BackupId, OperationId, Position, StreamName};

/// Is one claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimRow {
    /// The operation keeps others from the container.
    Hold(OperationId),
    /// The restore keeps files of before beside those of the container.
    OldFiles(StreamName),
    /// The operation is to add a backup to the group.
    Expected(OperationId),
    /// The operation reads the backup.
    Pin(BackupId, OperationId),
}

/// Is a stream with what is claimed of it; one without claims has no row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimedRow {
    /// The stream.
    pub stream: StreamName,
    /// What is claimed of it.
    pub claims: BTreeSet<ClaimRow>,
    /// The last event in this row.
    pub position: Position,
}
