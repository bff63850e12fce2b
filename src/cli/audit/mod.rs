//! `berth audit`: proof that the log is whole.

mod checkpoint;
pub mod verify;

use super::verbs;

verbs! {
    /// What proves the log.
    Verb {
        Checkpoint(checkpoint),
        Verify(verify),
    }
}
