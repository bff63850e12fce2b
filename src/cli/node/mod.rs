//! `berth node`: this machine.

mod accept_history;
mod rebuild;
mod status;

use super::verbs;

verbs! {
    /// What can be asked of this machine.
    Verb {
        Status(status),
        Rebuild(rebuild),
        AcceptHistory(accept_history),
    }
}
