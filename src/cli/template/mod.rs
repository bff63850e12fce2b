//! `berth template`: the files that containers begin with.

pub mod create;
mod delete;
mod list;
mod show;
mod verify;

use super::verbs;

verbs! {
    /// What can be done with templates.
    Verb {
        List(list),
        Show(show),
        Create(create),
        Verify(verify),
        Delete(delete),
    }
}
