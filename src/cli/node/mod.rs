//! `berth node`: this machine.

mod rebuild;
mod status;

use super::verbs;

verbs! {
    /// What can be asked of this machine.
    Verb {
        Status(status),
        Rebuild(rebuild),
    }
}
