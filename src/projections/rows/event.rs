//! An event: in words, and with everything that is known of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::events::EventReference;
use crate::types::{NodeId, OperationId, Position, StreamName, Timestamp, Version};

/// Is one event, in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place there.
    pub version: Version,
    /// Its name.
    pub kind: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub who: String,
    /// How they were recognised.
    pub how: String,
    /// The operation.
    pub operation: OperationId,
    /// The fact in words.
    pub sentence: String,
    /// What the one who asked said about it: a reason, a note. It stands in the annex and may be redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The name of the thing the stream tells about. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Is one event with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDetail {
    /// The event in words.
    #[serde(flatten)]
    pub row: EventRow,
    /// Which shape its body has.
    pub schema: u16,
    /// The fact.
    pub body: Value,
    /// What stands beside it and may be redacted: JSON where it is some, else text.
    pub annex: Option<Value>,
    /// What the wall clock said.
    pub wall_clock: Timestamp,
    /// The boot.
    pub boot: String,
    /// The node.
    pub node: NodeId,
    /// The event that led to it.
    pub causation: Option<EventReference>,
    /// The RFC 6962 leaf hash, in hexadecimal.
    pub leaf: String,
}
