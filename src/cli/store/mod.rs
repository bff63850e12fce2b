//! `berth store`: where backups lie.

mod confirm_recovery_key;
mod create;
mod list;
mod recovery_key;
mod show;

use super::verbs;

verbs! {
    /// What can be done with stores.
    Verb {
        List(list),
        Show(show),
        Create(create),
        RecoveryKey(recovery_key),
        ConfirmRecoveryKey(confirm_recovery_key),
    }
}
