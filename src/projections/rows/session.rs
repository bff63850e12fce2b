//! A session inside a container.

use serde::{Deserialize, Serialize};

use crate::types::{ContainerId, Name, OperationId, Position, SessionId, Timestamp};

/// Is one session inside a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// In which container.
    pub container: ContainerId,
    /// The user inside.
    pub user: String,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Who opened it.
    pub by: String,
    /// When.
    pub opened_at: Timestamp,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// The exit code, if it is known.
    pub code: Option<i32>,
    /// How it is known to be over, if not by who was in it.
    pub reason: Option<String>,
    /// The operation.
    pub operation: OperationId,
    /// The last event in this row.
    pub position: Position,
    /// The name of the container. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}
