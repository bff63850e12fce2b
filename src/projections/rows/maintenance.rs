//! A run of maintenance.

use serde::{Deserialize, Serialize};

use super::OperationState;
use crate::events::{MaintenanceAction, MaintenanceResult};
use crate::types::{ContainerId, Name, OperationId, Position, RunId, StreamName, Timestamp};

/// Is one run of maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceRow {
    /// Its id.
    pub id: RunId,
    /// What is done.
    pub action: MaintenanceAction,
    /// On which container.
    pub container: ContainerId,
    /// How it stands.
    pub state: OperationState,
    /// How far it is.
    pub phase: Option<String>,
    /// Why it came to nothing, or what it found, if so.
    pub reason: Option<String>,
    /// What came of it.
    pub result: Option<MaintenanceResult>,
    /// The stream that waits for it.
    pub parent: Option<StreamName>,
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
    /// The name of the container. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}
