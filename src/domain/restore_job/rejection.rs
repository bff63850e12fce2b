//! Why a restore refuses: facts about its state, with the next command to type.

use crate::domain::refusal::{Refusal, RefusalClass};
use crate::types::{OperationId, RunId};

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such restore was ever asked for.
    #[error("there is no such restore")]
    Unknown,
    /// The id is taken by another request.
    #[error("a restore with this id exists already")]
    Exists,
    /// Another operation is at work.
    #[error("the restore is busy: operation {operation} is under way", operation = operation.short())]
    Busy {
        /// Which.
        operation: OperationId,
    },
    /// The container's files are not those of the backup.
    #[error("the restore is not completed")]
    NotCompleted,
    /// What it wrote could not be taken back.
    #[error("the restore is stuck: what it wrote is still there")]
    Stuck {
        /// Which run.
        run: RunId,
    },
    /// Only a restore in place keeps files.
    #[error("the restore keeps no old files: it was not made in place")]
    NothingKept,
    /// The old files are gone.
    #[error("the restore is confirmed, the old files are gone")]
    Confirmed,
    /// The old files are back.
    #[error("the restore is rolled back already")]
    RolledBack,
    /// The operation is over, or was never this restore's.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
    /// The files are in place.
    #[error("the files are in place; the restore cannot be called off any more")]
    TooLate,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        use RefusalClass::{Conflict, NotFound};
        let message = rejection.to_string();
        let (class, code, hint) = match &rejection {
            Rejection::Unknown => (NotFound, "restore.not-found", Some("berth operation list".to_owned())),
            Rejection::Exists => (Conflict, "restore.exists", None),
            Rejection::Busy { operation } => {
                (Conflict, "restore.busy", Some(format!("berth operation wait {}", operation.short())))
            }
            Rejection::NotCompleted => (Conflict, "restore.not-completed", None),
            Rejection::Stuck { run } => {
                (Conflict, "restore.stuck", Some(format!("berth backup roll-back {}", run.short())))
            }
            Rejection::NothingKept => (Conflict, "restore.nothing-kept", None),
            Rejection::Confirmed => (Conflict, "restore.confirmed", None),
            Rejection::RolledBack => (Conflict, "restore.rolled-back", None),
            Rejection::NoSuchOperation { .. } => {
                (NotFound, "operation.not-found", Some("berth operation list".to_owned()))
            }
            Rejection::TooLate => (Conflict, "operation.too-late", None),
        };
        Self { code: code.to_owned(), class, message, hint }
    }
}
