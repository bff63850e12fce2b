//! A backup store: where it is and who writes to it.

use serde::{Deserialize, Serialize};

use super::{Change, OpenOperation, ThingState};
use crate::types::{Name, OperationId, Position, Size, StoreId, Timestamp};

/// Is one backup store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreRow {
    /// Its id.
    pub id: StoreId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ThingState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed, if so.
    pub reason: Option<String>,
    /// The directory.
    pub path: String,
    /// The repository's own id.
    pub repository: Option<String>,
    /// Enough of the recovery key's hash to recognise it by.
    pub recovery_fingerprint: Option<String>,
    /// Whether somebody said that the recovery key is in a safe place.
    pub recovery_key_confirmed: bool,
    /// The operations that write to it.
    pub writers: Vec<OperationId>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
    /// How many backups it has. *Joined.*
    #[serde(default)]
    pub backups: u64,
    /// By how many bytes they made it grow. *Joined.*
    #[serde(default)]
    pub stored: Size,
    /// Why it cannot be used at this moment, if so. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
