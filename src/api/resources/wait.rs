//! What is told while an operation is waited for.

use serde::{Deserialize, Serialize};

use crate::projections::rows::{Cause, OperationState, counted};
use crate::types::{OperationId, Position, StreamName, Timestamp};

/// Is the event `outcome` of `GET /v1/operations/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitOutcome {
    /// Which operation.
    pub operation: OperationId,
    /// How it ended.
    pub state: OperationState,
    /// Why it did not end as asked, if so.
    pub reason: Option<String>,
    /// What kind of answer that is, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What is not as it should be, though it was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How it went with each, of an operation on many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberOutcome>,
    /// When it began.
    #[serde(default)]
    pub opened_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
}

impl WaitOutcome {
    /// Says how it went with how many, of an operation on many.
    pub fn counted(&self) -> Option<String> {
        let deed = &self.members.first()?.deed;
        Some(counted(deed, self.members.iter().map(|member| member.state)))
    }
}

/// Says how it went with one of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberOutcome {
    /// The name of the container, or its id if it has none any more.
    pub name: String,
    /// How its run ended.
    pub state: OperationState,
    /// What it is where its run ended as asked: `backed up`.
    #[serde(default)]
    pub deed: String,
    /// Why it did not end as asked, if so.
    pub reason: Option<String>,
    /// What kind of answer that is, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// Is the event `phase` of `GET /v1/operations/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitPhase {
    /// Which operation.
    pub operation: OperationId,
    /// Which stream it happened on.
    pub stream: StreamName,
    /// The name of the phase, where the fact begins one.
    pub phase: Option<String>,
    /// The fact in words.
    pub sentence: String,
    /// Its place in the log.
    pub position: Position,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Is the event `progress` of `GET /v1/operations/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitProgress {
    /// Which operation.
    pub operation: OperationId,
    /// What is being done.
    pub phase: String,
    /// Entries or bytes done.
    pub done: u64,
    /// Of how many, if known.
    pub total: Option<u64>,
}
