//! Why a template refuses: facts about its state, with the next command to type.

use std::collections::BTreeSet;

use crate::domain::refusal::{Refusal, RefusalClass};
use crate::types::OperationId;

/// How many users a refusal names.
const NAMED_MAX: usize = 3;

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is none, or not any more.
    #[error("there is no such template")]
    Unknown,
    /// The id is taken.
    #[error("a template with this id exists already")]
    Exists,
    /// It is still being made.
    #[error("the template is not sealed yet")]
    NotSealed,
    /// A person has to look first.
    #[error("the template is stuck: {reason}")]
    Stuck {
        /// What does not work.
        reason: String,
    },
    /// Another operation is at work.
    #[error("the template is busy: {verb} (operation {operation}) is under way", operation = operation.short())]
    Busy {
        /// What it does.
        verb: &'static str,
        /// Which.
        operation: OperationId,
    },
    /// Somebody needs it.
    #[error("the template is used by {count}: {}{}", first.join(", "), more(*count, first.len()))]
    Used {
        /// How many.
        count: usize,
        /// The first few.
        first: Vec<String>,
    },
    /// The operation is over, or was never one of this template.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
    /// The operation is past the point where it could be called off.
    #[error("{verb} cannot be called off any more")]
    TooLate {
        /// What it does.
        verb: &'static str,
    },
}

fn more(count: usize, named: usize) -> String {
    if count > named { format!(" and {} more", count - named) } else { String::new() }
}

impl Rejection {
    pub(super) fn used_by(holders: &BTreeSet<String>) -> Self {
        Self::Used { count: holders.len(), first: holders.iter().take(NAMED_MAX).cloned().collect() }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        use RefusalClass::{Conflict, NotFound};
        let message = rejection.to_string();
        let (class, code, hint) = match &rejection {
            Rejection::Unknown => (NotFound, "template.not-found", Some("berth template list".to_owned())),
            Rejection::Exists => (Conflict, "template.exists", None),
            Rejection::NotSealed => (Conflict, "template.not-sealed", Some("berth operation list".to_owned())),
            Rejection::Stuck { .. } => (Conflict, "template.stuck", Some("berth template delete NAME".to_owned())),
            Rejection::Busy { operation, .. } => {
                (Conflict, "template.busy", Some(format!("berth operation wait {}", operation.short())))
            }
            Rejection::Used { .. } => {
                (Conflict, "template.used", Some("berth container list --all --template NAME".to_owned()))
            }
            Rejection::NoSuchOperation { .. } => {
                (NotFound, "operation.not-found", Some("berth operation list".to_owned()))
            }
            Rejection::TooLate { .. } => (Conflict, "operation.too-late", None),
        };
        Self { code: code.to_owned(), class, message, hint }
    }
}
