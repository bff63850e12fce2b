//! `berth network`: bridges and the addresses on them.

mod create;
mod delete;
mod list;
mod show;

use super::verbs;

verbs! {
    /// What can be done with networks.
    Verb {
        List(list),
        Show(show),
        Create(create),
        Delete(delete),
    }
}
