//! A run of a restore.

use serde::{Deserialize, Serialize};

use super::{Afterwards, OperationState};
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
    /// When the container was purged, and the files of before with it. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_at: Option<Timestamp>,
}

impl RestoreRow {
    /// Says whether it waits for somebody to confirm it, or to roll it back.
    pub fn waits(&self) -> bool {
        self.old_files_kept && !matches!(self.state, OperationState::Waiting | OperationState::Running)
    }

    /// Returns what became of it after it was done, if something did.
    pub fn afterwards(&self) -> Option<Afterwards> {
        let at = self.ended_at.filter(|_| self.state.is_over());
        match at {
            Some(at) if self.confirmed => Some(Afterwards::Confirmed { at }),
            Some(at) if self.rolled_back => Some(Afterwards::RolledBack { at }),
            _ => self.purged_at.map(|at| Afterwards::Purged { at }),
        }
    }
}
