//! `berth audit`: proof that the log is whole.

mod checkpoint;
mod redact;
pub mod verify;

use super::verbs;

verbs! {
    /// What proves the log.
    Verb {
        Checkpoint(checkpoint),
        Redact(redact),
        Verify(verify),
    }
}
