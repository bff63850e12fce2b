//! The one fact that may stand in any stream: that a step did not work at first.

use serde::{Deserialize, Serialize};

use super::{Envelope, NewEvent};

/// Is the first failed try of a step that is tried again; the last one is told by the outcome.
///
/// No rule reads it: whether and how often a step is tried again is the runner's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// Which step of the plan.
    pub step: String,
    /// Why.
    pub reason: String,
}

impl AttemptFailed {
    /// The name under which the log keeps it.
    pub const KIND: &'static str = "AttemptFailed";

    /// Writes it as the log keeps it.
    ///
    /// # Errors
    /// Only when it cannot be written as JSON, which would be a fault of its definition.
    pub fn written(&self) -> Result<NewEvent, serde_json::Error> {
        Ok(NewEvent { kind: Self::KIND.to_owned(), schema: 1, body: serde_json::to_vec(self)?, annex: None })
    }

    /// Reads it from an event of any stream; nothing if the event is another.
    pub fn read(event: &Envelope) -> Option<Self> {
        if event.kind == Self::KIND { serde_json::from_slice(&event.body).ok() } else { None }
    }

    /// Returns the fact in words an operator could read aloud.
    pub fn sentence(&self) -> String {
        format!("{} did not work at first, trying again: {}", self.step, self.reason)
    }
}
