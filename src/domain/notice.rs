//! The duty of a finished operation to tell the saga that waits for it.
//!
//! The duty is a fact of the child's own stream, so it survives a crash: until `ParentNotified` is recorded, recovery
//! finds it open and tells the parent again, which takes the second telling for the first.

use serde::{Deserialize, Serialize};

use super::effect::{Action, Ask, Effect};
use crate::events::Closing;
use crate::types::{OperationId, StreamName};

/// The step under which a child tells its parent.
pub const NOTIFY_PARENT: &str = "notify-parent";

/// Is an outcome that a waiting saga does not know yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The saga's stream.
    pub parent: StreamName,
    /// The child's stream.
    pub child: StreamName,
    /// The child's operation.
    pub operation: OperationId,
    /// How it ended.
    pub outcome: Closing,
}

impl Notice {
    /// Returns the effect that tells the parent.
    pub fn effect(&self) -> Effect {
        let ask =
            Ask::ChildFinished { child: self.child.clone(), operation: self.operation, outcome: self.outcome.clone() };
        Effect {
            operation: self.operation,
            step: NOTIFY_PARENT,
            undo: true, // told until it is heard
            action: Action::Ask(self.parent.clone(), ask),
        }
    }
}
