//! `berth event`: everything that ever happened.

mod filter;
mod follow;
pub mod list;
mod show;

use super::verbs;

verbs! {
    /// What can be done with events.
    Verb {
        List(list),
        Follow(follow),
        Show(show),
    }
}
