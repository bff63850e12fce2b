//! What the log keeps around every fact: where it stands, when, who, and what caused it.

use serde::{Deserialize, Serialize};

use crate::types::{NodeId, OperationId, Position, Principal, StreamName, Timestamp, Version};

/// Points at one event without its position, which another log engine may assign differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReference {
    /// The stream of the event.
    pub stream: StreamName,
    /// Its place in that stream.
    pub version: Version,
}

/// Is what is known of every event before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// What the wall clock said, even if it lied.
    pub wall_clock: Timestamp,
    /// The boot in which this was recorded: the kernel's id (`/proc/sys/kernel/random/boot_id`), and in a container the start
    /// time of its first process.
    pub boot: String,
    /// Who asked.
    pub principal: Principal,
    /// The operation that this belongs to, across every stream.
    pub operation: OperationId,
    /// The event that led to this one, if one did.
    pub causation: Option<EventReference>,
    /// The machine that recorded it.
    pub node: NodeId,
}

/// Is one fact on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The event's name in the past tense, such as `ContainerStarted`.
    pub kind: String,
    /// Which shape of that kind the body has; 1 is the first.
    pub schema: u16,
    /// The fact as JSON. Kept for ever.
    pub body: Vec<u8>,
    /// What may be redacted later: reasons, notes, arguments. No rule ever reads it.
    pub annex: Option<Vec<u8>>,
}

/// Is one fact as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its place in the whole log.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its place in that stream.
    pub version: Version,
    /// Its name.
    pub kind: String,
    /// Which shape of that name the body has.
    pub schema: u16,
    /// When it was recorded: never earlier than the event before it.
    pub recorded_at: Timestamp,
    /// Who, when by the wall, in which boot, for which operation.
    pub context: Context,
    /// The fact as JSON.
    pub body: Vec<u8>,
    /// What may be redacted; nothing if there was none or it has been.
    pub annex: Option<Vec<u8>>,
    /// The RFC 6962 leaf hash over header and commitments.
    pub leaf: [u8; 32],
}
