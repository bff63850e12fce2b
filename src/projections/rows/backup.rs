//! A finished backup, and the newest one of a container.

use serde::{Deserialize, Serialize};

use crate::events::{BackupMode, BackupOutcome};
use crate::types::{BackupId, ContainerId, Name, OperationId, Position, RunId, Size, Span, StoreId, Timestamp};

/// Is the newest whole backup of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastBackup {
    /// Which.
    pub backup: BackupId,
    /// In which store.
    pub store: StoreId,
    /// When its content was frozen.
    pub taken_at: Timestamp,
    /// How good it is.
    pub outcome: BackupOutcome,
    /// When it was last read again and found whole.
    pub verified_at: Option<Timestamp>,
}

/// Is one finished backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupRow {
    /// Its id.
    pub id: BackupId,
    /// The run that made it.
    pub run: RunId,
    /// Of which container.
    pub container: ContainerId,
    /// The name the container had then.
    pub container_name: Name,
    /// In which store.
    pub store: StoreId,
    /// When its content was frozen.
    pub taken_at: Timestamp,
    /// How much was read again.
    pub mode: BackupMode,
    /// What it was compared with.
    pub base: Option<BackupId>,
    /// How good it is.
    pub outcome: BackupOutcome,
    /// Files, directories and all else.
    pub entries: u64,
    /// Bytes read from the container.
    pub read: Size,
    /// Bytes that the store did not have yet.
    pub new: Size,
    /// Bytes that the store grew by.
    pub stored: Size,
    /// How long the container stood still.
    pub frozen: Span,
    /// How many files could not be read.
    pub unreadable: u64,
    /// The schedule that asked for it; manual runs have none.
    pub schedule: Option<Name>,
    /// Who asked for it.
    pub by: String,
    /// When it was last read again and found whole.
    pub verified_at: Option<Timestamp>,
    /// What the last reading found damaged, if anything.
    pub damage: Option<String>,
    /// The operations that read it.
    pub pins: Vec<OperationId>,
    /// The operation that made it.
    pub operation: OperationId,
    /// What the one who asked said about it. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was recorded.
    pub committed_at: Timestamp,
    /// The event that took it in: the order of backups, whatever the clock said.
    pub committed: Position,
    /// The last event in this row.
    pub position: Position,
    /// The name of the store. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_name: Option<Name>,
}
