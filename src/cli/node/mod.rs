//! `berth node`: this machine.

mod accept_history;
mod confirm_clock;
mod rebuild;
mod status;
mod sweep_leftovers;

use super::verbs;

verbs! {
    /// What can be asked of this machine, and done to it.
    Verb {
        Status(status),
        SweepLeftovers(sweep_leftovers),
        ConfirmClock(confirm_clock),
        Rebuild(rebuild),
        AcceptHistory(accept_history),
    }
}
