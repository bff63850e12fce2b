//! `berth node`: this machine.

mod status;

use super::verbs;

verbs! {
    /// What can be asked of this machine.
    Verb {
        Status(status),
    }
}
