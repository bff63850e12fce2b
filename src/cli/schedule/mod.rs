//! `berth schedule`: what is done by itself, and when.

mod create;
mod delete;
mod disable;
mod enable;
mod list;
mod next;
mod run_now;
mod selection;
mod show;

use super::verbs;

verbs! {
    /// What can be done with schedules.
    Verb {
        List(list),
        Show(show),
        Next(next),
        Create(create),
        Enable(enable),
        Disable(disable),
        RunNow(run_now),
        Delete(delete),
    }
}
