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
    /// Whether somebody asked for what that schedule does, and none of its slots.
    pub by_hand: bool,
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

/// Says how many of the members of a batch are how far: `2 backed up, 1 skipped`. The deed is its action's.
pub fn counted(deed: &str, states: impl IntoIterator<Item = OperationState>) -> String {
    let states: Vec<OperationState> = states.into_iter().collect();
    let told = |state: OperationState| {
        let count = states.iter().filter(|known| **known == state).count();
        let words = match state {
            OperationState::Done => deed.to_owned(),
            OperationState::Partly => format!("{deed} in part"),
            other => other.to_string(),
        };
        (count > 0).then(|| format!("{count} {words}"))
    };
    OperationState::ALL.iter().filter_map(|state| told(*state)).collect::<Vec<_>>().join(", ")
}
