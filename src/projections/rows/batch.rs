//! A request for many containers, and how each of them stands.

use serde::{Deserialize, Serialize};

use super::OperationState;
use crate::events::BatchAction;
use crate::types::{BackupId, ContainerId, Name, OperationId, Position, RunId, Timestamp};

/// Is one container of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchMemberRow {
    /// Which container.
    pub container: ContainerId,
    /// Its run.
    pub run: RunId,
    /// The run's operation.
    pub operation: OperationId,
    /// The backup, where one is made.
    pub backup: BackupId,
    /// How it stands.
    pub state: OperationState,
    /// Why it came to nothing, if so.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The name of the container. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}

/// Is one request for many containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRow {
    /// Its id.
    pub id: RunId,
    /// What is done with each.
    pub action: BatchAction,
    /// With whom.
    pub members: Vec<BatchMemberRow>,
    /// The schedule behind it.
    pub schedule: Option<Name>,
    /// How many at the same time.
    pub parallel: u32,
    /// How it stands.
    pub state: OperationState,
    /// What did not work, if anything.
    pub reason: Option<String>,
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
}
