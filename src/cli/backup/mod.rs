//! `berth backup`: make, look into, restore.

mod cat;
mod confirm;
mod coverage;
mod files;
mod list;
mod restore;
mod roll_back;
mod run;
mod show;
mod verify;

use super::verbs;

verbs! {
    /// What can be done with backups.
    Verb {
        Run(run),
        List(list),
        Show(show),
        Files(files),
        Cat(cat),
        Verify(verify),
        Restore(restore),
        Confirm(confirm),
        RollBack(roll_back),
        Coverage(coverage),
    }
}
