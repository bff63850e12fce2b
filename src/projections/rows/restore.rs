//! A run of a restore.

use serde::{Deserialize, Serialize};

use super::OperationState;
use crate::events::RestoreTarget;
use crate::types::{BackupId, ContainerId, LeftOut, Name, OperationId, Position, RunId, Size, StoreId, Timestamp};

/// Is one run of a restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreRow {
    /// Its id.
    pub id: RunId,
    /// Which backup.
    pub backup: BackupId,
    /// The container it is of.
    pub source: ContainerId,
    /// The store that has it.
    pub store: StoreId,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether the container is to run afterwards.
    pub start: bool,
    /// How it stands.
    pub state: OperationState,
    /// How far it is.
    pub phase: Option<String>,
    /// Why it came to nothing, if so.
    pub reason: Option<String>,
    /// Entries written.
    pub entries: Option<u64>,
    /// Bytes written.
    pub written: Option<Size>,
    /// What did not go along to a place outside the container.
    #[serde(default)]
    pub left_out: LeftOut,
    /// Whether the files of before are kept until confirmed or rolled back.
    pub old_files_kept: bool,
    /// Whether it was confirmed.
    pub confirmed: bool,
    /// Whether it was rolled back.
    #[serde(default)]
    pub rolled_back: bool,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The operation.
    pub operation: OperationId,
    /// The last event in this row.
    pub position: Position,
    /// The name of the source. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_name: Option<Name>,
}

impl RestoreRow {
    /// Says whether it waits for somebody to confirm it, or to roll it back.
    pub fn waits(&self) -> bool {
        self.old_files_kept && !matches!(self.state, OperationState::Waiting | OperationState::Running)
    }
}
