//! `berth operation`: work under way and done.

mod cancel;
mod list;
mod show;
mod wait;

use super::verbs;

verbs! {
    /// What can be done with operations.
    Verb {
        List(list),
        Show(show),
        Wait(wait),
        Cancel(cancel),
    }
}
