//! The kinds of answers that a refusal can be.

use serde::{Deserialize, Serialize};

/// Says what kind of answer a refusal is; the CLI's exit code and the API's status follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalClass {
    /// What was given makes no sense.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// It is not the time for it, or somebody else has it.
    Conflict,
    /// There is not enough.
    Limit,
    /// Not for this caller.
    NotAllowed,
    /// This host cannot.
    Unsupported,
    /// What was kept is not what it was.
    Damaged,
}
