//! Why a schedule does not do what it is told, in words for whoever asked.

use super::super::refusal::{Refusal, RefusalClass};
use crate::types::Timestamp;

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is none, or not any more.
    #[error("there is no such schedule")]
    Unknown,
    /// The id is taken.
    #[error("a schedule with this id exists already")]
    Exists,
    /// It is still being made.
    #[error("the schedule is not made yet")]
    NotMade,
    /// It does not fire.
    #[error("the schedule is disabled")]
    Disabled,
    /// A later slot was handled already.
    #[error("slots up to {handled} are handled; {slot} is too late")]
    SlotHandled {
        /// Which slot.
        slot: Timestamp,
        /// The last one that was handled.
        handled: Timestamp,
    },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        use RefusalClass::{Conflict, NotFound};
        let message = rejection.to_string();
        let (class, code, hint) = match rejection {
            Rejection::Unknown => (NotFound, "schedule.not-found", Some("berth schedule list")),
            Rejection::Exists => (Conflict, "schedule.exists", None),
            Rejection::NotMade => (Conflict, "schedule.not-made", Some("berth operation list")),
            Rejection::Disabled => (Conflict, "schedule.disabled", Some("berth schedule enable NAME")),
            Rejection::SlotHandled { .. } => (Conflict, "schedule.slot-handled", None),
        };
        Self { code: code.to_owned(), class, message, hint: hint.map(str::to_owned) }
    }
}
