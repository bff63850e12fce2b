//! An operation: how it stands, and how it shows on the thing that it is about.

use serde::{Deserialize, Serialize};

use super::words::words;
use crate::events::Closing;
use crate::types::{Name, OperationId, Position, RefusalClass, StreamName, Timestamp};

words! {
    /// Says how an operation, or a run, stands.
    OperationState {
        /// It has been asked for and waits for its turn.
        Waiting = "waiting",
        /// It is under way.
        Running = "running",
        /// It ended as asked.
        Done = "done",
        /// It ended as asked but for some parts.
        Partly = "partly",
        /// It came to nothing.
        Failed = "failed",
        /// There was nothing to do.
        Skipped = "skipped",
        /// It was called off.
        Cancelled = "cancelled",
        /// It is neither done nor undone.
        Stuck = "stuck",
    }
}

impl OperationState {
    /// Returns the state and the reason that an outcome stands for.
    pub fn of(outcome: &Closing) -> (Self, Option<String>) {
        match outcome {
            Closing::Done => (Self::Done, None),
            Closing::DoneWithExceptions { reason } => (Self::Partly, Some(reason.clone())),
            Closing::Failed { reason } => (Self::Failed, Some(reason.clone())),
            Closing::Skipped { reason } => (Self::Skipped, Some(reason.clone())),
            Closing::Cancelled => (Self::Cancelled, None),
            Closing::Stuck { reason } => (Self::Stuck, Some(reason.clone())),
        }
    }

    /// Says whether it is over.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// Is a failure with its class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of answer it is.
    pub class: RefusalClass,
    /// The stable code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was said.
    pub reason: String,
}

impl Cause {
    /// Says whether an operation that ended for this reason ended because of it: others may have been got over.
    pub fn is_behind(&self, reason: Option<&str>) -> bool {
        reason.is_some_and(|reason| reason.contains(&self.reason))
    }
}

/// Says what became of a restore in place after it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Afterwards {
    /// The files of before were removed.
    Confirmed {
        /// When.
        at: Timestamp,
    },
    /// The files of before are the container's again.
    RolledBack {
        /// When.
        at: Timestamp,
    },
    /// The files of before went with the container.
    Purged {
        /// When.
        at: Timestamp,
    },
}

/// Is the operation under way on a thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenOperation {
    /// Which.
    pub operation: OperationId,
    /// What it does.
    pub verb: String,
    /// How far it is.
    pub phase: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Is one operation as seen from one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Its id.
    pub id: OperationId,
    /// The stream whose saga it is.
    pub stream: StreamName,
    /// What it does.
    pub verb: String,
    /// What it is about: the stream of a container, template, store …; of a run on a container, the container's.
    pub target: StreamName,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub opened_at: Timestamp,
    /// How far it is, or was when it ended.
    pub phase: Option<String>,
    /// Since when it is in that phase.
    pub phase_since: Timestamp,
    /// How it stands.
    pub state: OperationState,
    /// Why it did not end as asked, if so.
    pub reason: Option<String>,
    /// What kind of answer that is, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The first failure of a step that was tried again.
    #[serde(default)]
    pub first_failure: Option<String>,
    /// What is not as it should be, though the work was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// The saga that waits for it.
    pub parent: Option<StreamName>,
    /// Whether that saga still has to be told.
    pub owes_notice: bool,
    /// The place of its first event.
    pub opened: Position,
    /// The last event in this row.
    pub position: Position,
    /// What the one who asked said about it. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it is a restore in place that waits to be confirmed or rolled back. *Joined.*
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
    /// What became of it since, if it is a restore in place. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub afterwards: Option<Afterwards>,
    /// The name of the target. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_name: Option<Name>,
}
