//! What every request is answered with: accepted, a dry run, a list, or a problem.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::RefusalClass;
use crate::projections::rows::AsOf;
use crate::types::{OperationId, Position, StreamName};

/// Is one fact of an accepted command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedFact {
    /// Its name.
    pub kind: String,
    /// The fact in words.
    pub sentence: String,
    /// The fact; only in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Its place in the log; not in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Is the answer 202 to an accepted command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The operation.
    pub operation: OperationId,
    /// The stream of the thing.
    pub stream: StreamName,
    /// The id of the thing.
    pub id: String,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was recorded; nothing if it was so already.
    pub events: Vec<RecordedFact>,
    /// Whether it ended as asked, and nothing is left to wait for.
    pub done: bool,
    /// Whether this very request was carried out before.
    #[serde(default)]
    pub repeated: bool,
    /// What may not be as wished although it was accepted, each in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Is the answer 200 to a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// Always true.
    pub dry_run: bool,
    /// What would be recorded first, exactly.
    pub events: Vec<RecordedFact>,
    /// The later steps, as the plan expects them.
    pub expected: Vec<String>,
}

/// Is a list with the moment it stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListEnvelope<T> {
    /// `berth.container.list/v1` and its like.
    pub schema: String,
    /// Up to where it goes.
    pub as_of: AsOf,
    /// The rows.
    pub items: Vec<T>,
}

/// Is an error by RFC 9457, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable code such as `container.not-found`.
    pub code: String,
    /// What stands against it.
    pub detail: String,
    /// The next command to type, if one helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What kind of refusal it is; nothing for a fault of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<RefusalClass>,
}
