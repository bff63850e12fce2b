//! The rules of one run of maintenance: defragmentation, update check, verification of a backup.
//!
//! ```text
//!   container   hold ▸ work ▸ unhold ▸ completed, failed, skipped or cancelled
//!   backup      pin ▸ work ▸ tell-group ▸ unpin ▸ completed, with findings, failed or cancelled
//! ```
//!
//! A backup outlives its container: its verification pins the backup in the group and asks nothing of the container.
//! Everything is done beside a running container, so a hold for reading is enough. Releases are never refused, and one that
//! fails for good is left to the sweep.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Effect, Facts, FailureKind, HostEffect, Outcome, Report, Step};
use super::notice::NOTIFY_PARENT;
use super::refusal::{NO_SUCH_RUN, Refusal, RefusalClass};
use super::{Aggregate, Given, Notice, backup_group};
use crate::events::{Closing, DomainEvent, HoldKind, MaintenanceAction, MaintenanceEvent, MaintenanceResult, Mark};
use crate::types::{BackupId, Category, OperationId, RunId, StreamName};

const HOLD: Step = "hold";
const PIN: Step = "pin";
const WORK: Step = "work";
const TELL_GROUP: Step = "tell-group";
const UNHOLD: Step = "unhold";
const UNPIN: Step = "unpin";

/// Is everything the log tells about one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    request: Option<(RunId, MaintenanceAction, Option<StreamName>)>,
    open: Option<OperationId>,
    claimed: bool,
    end: Option<End>,
    told: bool,
    notices: Vec<Notice>,
}

/// Says what came of the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum End {
    Done(MaintenanceResult),
    Failed(String),
    Skipped(String),
    Cancelled,
}

/// Is a wish or a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin.
    Request {
        /// The id of the run, drawn at the edge.
        id: RunId,
        /// What is to be done.
        action: MaintenanceAction,
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
    #[error("a maintenance run with this id exists already")]
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
    /// The work is done.
    #[error("the work is over and cannot be called off any more")]
    TooLate,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::Exists => Self::new(RefusalClass::Conflict, "maintenance.exists", message),
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
            Ask::RequestMaintenance { id, action } => Ok(Self::Request { id, action, parent: Some(asked.by) }),
            Ask::CancelRun => Ok(Self::Cancel { operation: asked.operation }),
            _ => Err(asked),
        }
    }
}

/// Says what the action claims while it works.
enum Subject {
    Container(StreamName),
    Backup(StreamName, BackupId),
}

fn subject(action: &MaintenanceAction) -> Subject {
    match action {
        MaintenanceAction::Defragment { container } | MaintenanceAction::UpdateCheck { container } => {
            Subject::Container(StreamName::new(Category::Container, container))
        }
        MaintenanceAction::Verify { container, store, backup } => {
            Subject::Backup(backup_group::stream(*store, *container), *backup)
        }
    }
}

fn work(action: &MaintenanceAction) -> HostEffect {
    match action {
        MaintenanceAction::Defragment { container } => HostEffect::Defragment { container: *container },
        MaintenanceAction::UpdateCheck { container } => HostEffect::UpdateCheck { container: *container },
        MaintenanceAction::Verify { store, backup, .. } => HostEffect::VerifyBackup { store: *store, backup: *backup },
    }
}

impl Maintenance {
    fn request(
        &self,
        id: RunId,
        action: &MaintenanceAction,
        parent: Option<&StreamName>,
    ) -> Result<Vec<MaintenanceEvent>, Rejection> {
        let request = (id, action.clone(), parent.cloned());
        match &self.request {
            None => {
                let (id, action, parent) = request;
                Ok(vec![MaintenanceEvent::MaintenanceRequested { id, action, parent }])
            }
            Some(known) if *known == request => Ok(vec![]),
            Some(_) => Err(Rejection::Exists),
        }
    }

    fn cancel(&self, operation: OperationId) -> Result<Vec<MaintenanceEvent>, Rejection> {
        if self.request.is_none() {
            return Err(Rejection::Unknown);
        }
        match (&self.end, self.open) {
            (_, open) if open != Some(operation) => Err(Rejection::NoSuchOperation { operation }),
            (None, _) => Ok(vec![MaintenanceEvent::MaintenanceCancelRequested]),
            (Some(End::Cancelled), _) => Ok(vec![]),
            (Some(_), _) => Err(Rejection::TooLate),
        }
    }

    fn finish(&self, operation: OperationId, action: &MaintenanceAction, end: &End) -> Effect {
        match subject(action) {
            Subject::Container(container) => Effect::ask(operation, UNHOLD, container, Ask::Unhold).undoing(),
            Subject::Backup(group, backup) => {
                if let (End::Done(result), false) = (end, self.told) {
                    let tell = Ask::RecordVerification { backup, damage: damage(result) };
                    return Effect::ask(operation, TELL_GROUP, group, tell);
                }
                Effect::ask(operation, UNPIN, group, Ask::UnpinBackup(backup)).undoing()
            }
        }
    }

    fn decide_report(&self, report: &Report) -> Vec<MaintenanceEvent> {
        if !self.next_effect().is_some_and(|owed| owed.is_reported_by(report)) {
            return vec![];
        }
        match (report.step, &report.outcome) {
            (NOTIFY_PARENT, _) => vec![MaintenanceEvent::ParentNotified],
            (UNHOLD | UNPIN, Outcome::Failed(_)) => vec![self.over()],
            (UNHOLD, _) => vec![MaintenanceEvent::ContainerUnheld, self.over()],
            (UNPIN, _) => vec![MaintenanceEvent::BackupUnpinned, self.over()],
            (HOLD, Outcome::Answered(_)) => vec![MaintenanceEvent::ContainerHeld],
            (PIN, Outcome::Answered(_)) => vec![MaintenanceEvent::BackupPinned],
            (TELL_GROUP, Outcome::Answered(_)) => vec![MaintenanceEvent::GroupTold],
            (WORK, Outcome::Done(Facts::Maintenance(result))) => vec![MaintenanceEvent::WorkDone(result.clone())],
            (HOLD | PIN, Outcome::Refused(refusal)) => vec![not_claimed(refusal)],
            (step, Outcome::Refused(refusal)) => vec![not_done(step, FailureKind::Permanent, &refusal.message)],
            (step, Outcome::Failed(failure)) => vec![not_done(step, failure.kind, &failure.reason)],
            (_, Outcome::Done(_) | Outcome::Answered(_) | Outcome::Woken) => vec![],
        }
    }

    fn over(&self) -> MaintenanceEvent {
        match &self.end {
            Some(End::Done(MaintenanceResult::Damaged { reason })) => {
                MaintenanceEvent::MaintenanceCompletedWithFindings { reason: reason.clone() }
            }
            Some(End::Failed(reason)) => MaintenanceEvent::MaintenanceFailed { reason: reason.clone() },
            Some(End::Skipped(reason)) => MaintenanceEvent::MaintenanceSkipped { reason: reason.clone() },
            Some(End::Cancelled) => MaintenanceEvent::MaintenanceCancelled,
            Some(End::Done(_)) | None => MaintenanceEvent::MaintenanceCompleted,
        }
    }

    fn close(&mut self, outcome: Closing) {
        let (Some(operation), Some((id, _, parent))) = (self.open.take(), &self.request) else { return };
        let child = StreamName::new(Category::Maintenance, id);
        self.notices.extend(parent.clone().map(|parent| Notice { parent, child, operation, outcome }));
    }
}

fn claim(operation: OperationId, action: &MaintenanceAction) -> Effect {
    match subject(action) {
        Subject::Container(container) => Effect::ask(operation, HOLD, container, Ask::Hold(HoldKind::Reading)),
        Subject::Backup(group, backup) => Effect::ask(operation, PIN, group, Ask::PinBackup(backup)),
    }
}

fn damage(result: &MaintenanceResult) -> Option<String> {
    if let MaintenanceResult::Damaged { reason } = result { Some(reason.clone()) } else { None }
}

/// A claim that was refused is none, so nothing has to be given back.
fn not_claimed(refusal: &Refusal) -> MaintenanceEvent {
    let reason = refusal.message.clone();
    match refusal.code.as_str() {
        "container.not-found" | "container.deleted" | "container.purged" => {
            MaintenanceEvent::MaintenanceSkipped { reason }
        }
        _ => MaintenanceEvent::MaintenanceFailed { reason },
    }
}

fn not_done(step: Step, kind: FailureKind, reason: &str) -> MaintenanceEvent {
    match (step, kind) {
        (TELL_GROUP, _) => {
            MaintenanceEvent::WorkFailed { reason: format!("the result could not be recorded: {reason}") }
        }
        (_, FailureKind::NotApplicable) => MaintenanceEvent::WorkSkipped { reason: reason.to_owned() },
        _ => MaintenanceEvent::WorkFailed { reason: reason.to_owned() },
    }
}

impl Aggregate for Maintenance {
    const CATEGORY: Category = Category::Maintenance;
    const STATE_SCHEMA: u32 = 1;
    type Command = Command;
    type Event = MaintenanceEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<MaintenanceEvent>, Rejection> {
        match command {
            Command::Request { id, action, parent } => self.request(*id, action, parent.as_ref()),
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(self.decide_report(report)),
        }
    }

    fn evolve(&mut self, event: &MaintenanceEvent, given: Given) {
        match event {
            MaintenanceEvent::MaintenanceRequested { id, action, parent } => {
                self.request = Some((*id, action.clone(), parent.clone()));
                self.open = Some(given.operation);
            }
            MaintenanceEvent::ContainerHeld | MaintenanceEvent::BackupPinned => self.claimed = true,
            MaintenanceEvent::ContainerUnheld | MaintenanceEvent::BackupUnpinned => self.claimed = false,
            MaintenanceEvent::WorkDone(result) => self.end = Some(End::Done(result.clone())),
            MaintenanceEvent::WorkFailed { reason } => self.end = Some(End::Failed(reason.clone())),
            MaintenanceEvent::WorkSkipped { reason } => self.end = Some(End::Skipped(reason.clone())),
            MaintenanceEvent::MaintenanceCancelRequested => self.end = Some(End::Cancelled),
            MaintenanceEvent::GroupTold => self.told = true,
            MaintenanceEvent::ParentNotified => self.notices.truncate(0),
            MaintenanceEvent::MaintenanceCompleted
            | MaintenanceEvent::MaintenanceCompletedWithFindings { .. }
            | MaintenanceEvent::MaintenanceFailed { .. }
            | MaintenanceEvent::MaintenanceSkipped { .. }
            | MaintenanceEvent::MaintenanceCancelled => {}
        }
        if let Mark::Closed { outcome } = event.mark() {
            self.close(outcome);
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        if let Some(notice) = self.notices.first() {
            return Some(notice.effect());
        }
        let (operation, (_, action, _)) = (self.open?, self.request.as_ref()?);
        Some(match &self.end {
            Some(end) => self.finish(operation, action, end),
            None if self.claimed => Effect::host(operation, WORK, work(action)),
            None => claim(operation, action),
        })
    }
}
