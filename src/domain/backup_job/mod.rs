//! The rules of one run of a backup.
//!
//! ```text
//!   hold ▸ open-store ▸ admit ▸ live-pass ▸ frozen-pass ▸ seal ▸ commit ▸ close-store ▸ unhold ▸ completed
//!     │          └──────────┴────────┴────────────┴─────────┘ failure, cancel:
//!     │                              discard ▸ withdraw ▸ close-store ▸ unhold ▸ failed or cancelled
//!     └ there is no container: skipped
//! ```
//!
//! Once sealed the way is only forward: the backup is whole and safe. A run whose daemon died has lost its session on the
//! host, which says so as a failure; the run turns back and the next one finds its blocks in the store. What is read and
//! how is the host's business, what is compared with what the group's.

mod plan;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Effect, Report};
use super::refusal::{NO_SUCH_RUN, Refusal, RefusalClass};
use super::{Aggregate, Given, Notice};
use crate::events::{BackupJobEvent, BackupMode, BackupSummary, Closing, Configuration, DomainEvent, Mark};
use crate::types::{BackupId, Category, ContainerId, Name, OperationId, RunId, StoreId, StreamName};

/// Is everything the log tells about one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BackupJob {
    request: Option<Request>,
    open: Option<OperationId>,
    held: Option<Box<Held>>,
    store_open: bool,
    admitted: bool,
    base: Option<BackupId>,
    live: bool,
    frozen: bool,
    sealed: Option<Box<BackupSummary>>,
    committed: bool,
    failing: Option<Failing>,
    notices: Vec<Notice>,
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Request {
    id: RunId,
    container: ContainerId,
    store: StoreId,
    mode: BackupMode,
    backup: BackupId,
    schedule: Option<Name>,
    parent: Option<StreamName>,
}

/// Is what the container was when it was held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Held {
    name: Name,
    configuration: Configuration,
    template_digest: String,
}

/// Says how far the way back is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Failing {
    /// Nothing if somebody called it off.
    reason: Option<String>,
    discarded: bool,
    withdrawn: bool,
    closed: bool,
}

/// Is a wish or a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin.
    Request {
        /// The id of the run, drawn at the edge.
        id: RunId,
        /// Of which container.
        container: ContainerId,
        /// Into which store.
        store: StoreId,
        /// How much is to be read.
        mode: BackupMode,
        /// The id that the backup will have.
        backup: BackupId,
        /// The schedule behind it.
        schedule: Option<Name>,
        /// The saga that waits for it.
        parent: Option<StreamName>,
    },
    /// Call it off.
    Cancel {
        /// Which operation.
        operation: OperationId,
    },
    /// An effect's outcome.
    Report(Report),
}

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id is taken by another request.
    #[error("a backup run with this id exists already")]
    Exists,
    /// Nobody ever asked for this run.
    #[error("there is no such run")]
    Unknown,
    /// The operation is over, or was never this run's.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
    /// The backup is whole.
    #[error("the backup is sealed and cannot be called off any more")]
    TooLate,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::Exists => Self::new(RefusalClass::Conflict, "backup.run-exists", message),
            Rejection::Unknown => Self::new(RefusalClass::NotFound, NO_SUCH_RUN, message),
            Rejection::NoSuchOperation { .. } => {
                Self::new(RefusalClass::NotFound, "operation.not-found", message).hinted("berth operation list")
            }
            Rejection::TooLate => Self::new(RefusalClass::Conflict, "operation.too-late", message),
        }
    }
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl TryFrom<Asked> for Command {
    type Error = Asked;

    fn try_from(asked: Asked) -> Result<Self, Asked> {
        match asked.ask {
            Ask::RequestBackup { id, container, store, mode, backup, schedule } => {
                Ok(Self::Request { id, container, store, mode, backup, schedule, parent: Some(asked.by) })
            }
            Ask::CancelRun => Ok(Self::Cancel { operation: asked.operation }),
            _ => Err(asked),
        }
    }
}

impl BackupJob {
    fn cancel(&self, operation: OperationId) -> Result<Vec<BackupJobEvent>, Rejection> {
        if self.request.is_none() {
            return Err(Rejection::Unknown);
        }
        if self.open != Some(operation) {
            return Err(Rejection::NoSuchOperation { operation });
        }
        match &self.failing {
            _ if self.sealed.is_some() => Err(Rejection::TooLate),
            None => Ok(vec![BackupJobEvent::BackupCancelRequested]),
            Some(_) => Ok(vec![]), // it is on its way back already
        }
    }

    fn close(&mut self, outcome: Closing) {
        let (Some(operation), Some(request)) = (self.open.take(), &self.request) else { return };
        let child = StreamName::new(Category::BackupJob, request.id);
        let notice = |parent| Notice { parent, child, operation, outcome };
        self.notices.extend(request.parent.clone().map(notice));
    }

    fn turn(&mut self, reason: Option<String>) {
        self.failing = Some(Failing { reason, ..Failing::default() });
    }
}

impl Aggregate for BackupJob {
    const CATEGORY: Category = Category::BackupJob;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = BackupJobEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<BackupJobEvent>, Rejection> {
        match command {
            Command::Request { id, container, store, mode, backup, schedule, parent } => {
                let (id, container, store, mode, backup) = (*id, *container, *store, *mode, *backup);
                let (schedule, parent) = (schedule.clone(), parent.clone());
                let request = Request { id, container, store, mode, backup, schedule, parent };
                match &self.request {
                    None => Ok(vec![request.into()]),
                    Some(known) if *known == request => Ok(vec![]),
                    Some(_) => Err(Rejection::Exists),
                }
            }
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(plan::decide_report(self, report)),
        }
    }

    fn evolve(&mut self, event: &BackupJobEvent, given: Given) {
        match event {
            BackupJobEvent::BackupRequested { id, container, store, mode, backup, schedule, parent } => {
                let (id, container, store, mode, backup) = (*id, *container, *store, *mode, *backup);
                let (schedule, parent) = (schedule.clone(), parent.clone());
                self.request = Some(Request { id, container, store, mode, backup, schedule, parent });
                self.open = Some(given.operation);
            }
            BackupJobEvent::ContainerHeld { name, configuration, template_digest } => {
                let (name, template_digest) = (name.clone(), template_digest.clone());
                self.held = Some(Box::new(Held { name, configuration: (**configuration).clone(), template_digest }));
            }
            BackupJobEvent::StoreOpened => self.store_open = true,
            BackupJobEvent::GroupAdmitted { base } => {
                self.admitted = true;
                self.base = *base;
            }
            BackupJobEvent::LivePassCompleted { .. } => self.live = true,
            BackupJobEvent::FrozenPassCompleted { .. } => self.frozen = true,
            BackupJobEvent::BackupSealed(summary) => self.sealed = Some(Box::new(summary.clone())),
            BackupJobEvent::GroupCommitted => self.committed = true,
            BackupJobEvent::BackupFailing { reason } => self.turn(Some(reason.clone())),
            BackupJobEvent::BackupCancelRequested => self.turn(None),
            BackupJobEvent::BackupDiscarded => self.failing.iter_mut().for_each(|back| back.discarded = true),
            BackupJobEvent::GroupWithdrawn => self.failing.iter_mut().for_each(|back| back.withdrawn = true),
            BackupJobEvent::StoreClosed => {
                self.store_open = false;
                self.failing.iter_mut().for_each(|back| back.closed = true);
            }
            BackupJobEvent::ContainerUnheld => self.held = None,
            BackupJobEvent::ParentNotified => self.notices.truncate(0),
            BackupJobEvent::BackupCompleted
            | BackupJobEvent::BackupCompletedWithExceptions { .. }
            | BackupJobEvent::BackupFailed { .. }
            | BackupJobEvent::BackupCancelled
            | BackupJobEvent::BackupStuck { .. }
            | BackupJobEvent::BackupSkipped { .. } => {}
        }
        if let Mark::Closed { outcome } = event.mark() {
            self.close(outcome);
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        plan::next_effect(self)
    }
}

impl From<Request> for BackupJobEvent {
    fn from(request: Request) -> Self {
        let Request { id, container, store, mode, backup, schedule, parent } = request;
        Self::BackupRequested { id, container, store, mode, backup, schedule, parent }
    }
}
