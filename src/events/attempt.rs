//! The one fact that may stand in any stream: that a step did not work, and which kind of answer that is.

use serde::{Deserialize, Serialize};

use super::{Envelope, NewEvent};
use crate::types::RefusalClass;

/// Is a step that did not work: the first failed try of one that is tried again, and before the facts that follow from the
/// last one which kind of answer it is, where that can be told.
///
/// No rule reads it: whether and how often a step is tried again is the runner's business, and what follows from a failure
/// does not hang on its class, which is for whoever waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// Which step of the plan.
    pub step: String,
    /// Why.
    pub reason: String,
    /// Whether it is tried again.
    pub again: bool,
    /// What kind of answer it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<RefusalClass>,
    /// The stable code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
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
        let how = if self.again { "did not work at first, trying again" } else { "did not work" };
        format!("{} {how}: {}", self.step, self.reason)
    }
}
