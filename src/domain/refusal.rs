//! What every refusal has in common when it leaves the rules: a stable code, words, and the next command to type.

use serde::{Deserialize, Serialize};

pub use crate::types::RefusalClass;

/// The code of a run that was never asked for: who meant to call it off has nothing to wait for.
pub const NO_SUCH_RUN: &str = "run.not-found";

/// Is a refused command, in the words of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// A stable code such as `container.running`.
    pub code: String,
    /// What kind of refusal it is.
    pub class: RefusalClass,
    /// What stands against it: lower case, no full stop.
    pub message: String,
    /// The next command to type, if one helps.
    pub hint: Option<String>,
}

impl Refusal {
    /// Makes a refusal without a hint.
    pub fn new(class: RefusalClass, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), class, message: message.into(), hint: None }
    }

    /// Adds the next command to type.
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
