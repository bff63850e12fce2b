//! The rules of a batch: one request for many containers, one run each.
//!
//! ```text
//!   member   waiting ── start-child ──▶ started ── its end is told ──▶ finished        (a refused start is an end, too)
//!   batch    requested ▸ children, `parallel` at a time ▸ close ▸ completed, with exceptions, failed or cancelled
//!   cancel   no more begin; each that has begun is asked to end (cancel-child), and waited for
//! ```
//!
//! Each run is an operation of its own, with an id that was drawn when the batch was. Its end is recorded under that
//! operation; so the batch closes in a commit of its own, under its own. What a run does is the run's business.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Due, Effect, Outcome, Report, Step};
use super::notice::NOTIFY_PARENT;
use super::refusal::{NO_SUCH_RUN, Refusal, RefusalClass};
use super::{Aggregate, Given, Notice};
use crate::events::{BatchAction, BatchEvent, BatchMember, Closing, DomainEvent, MaintenanceAction, Mark};
use crate::types::{Category, Name, OperationId, RunId, StreamName};

const START_CHILD: Step = "start-child";
const CANCEL_CHILD: Step = "cancel-child";
const CLOSE: Step = "close";

/// Is everything the log tells about one batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    request: Option<Request>,
    open: Option<OperationId>,
    fates: Vec<Fate>,
    called_off: bool,
    notices: Vec<Notice>,
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its id, drawn at the edge.
    pub id: RunId,
    /// What.
    pub action: BatchAction,
    /// For whom, with the ids of their runs.
    pub members: Vec<BatchMember>,
    /// The schedule behind it.
    pub schedule: Option<Name>,
    /// How many runs at the same time; none is taken for one.
    pub parallel: u32,
    /// The stream that waits for it.
    pub parent: Option<StreamName>,
}

/// Says how far a member's run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Fate {
    Waiting,
    Started,
    /// It was asked to end.
    Ending,
    Finished(Closing),
}

/// Is a wish, a report, or the end of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin.
    Request(Request),
    /// A run is over.
    FinishChild {
        /// The run's stream.
        child: StreamName,
        /// How it ended.
        outcome: Closing,
    },
    /// Begin no more runs, and call off those under way.
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
    #[error("a batch with this id exists already")]
    Exists,
    /// The operation is over, or was never this batch's.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let message = rejection.to_string();
        match rejection {
            Rejection::Exists => Self::new(RefusalClass::Conflict, "batch.exists", message),
            Rejection::NoSuchOperation { .. } => {
                Self::new(RefusalClass::NotFound, "operation.not-found", message).hinted("berth operation list")
            }
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
        Ok(match asked.ask {
            Ask::RequestBatch { id, action, members, schedule, parallel } => {
                let (schedule, parent) = (Some(schedule), Some(asked.by));
                Self::Request(Request { id, action, members, schedule, parallel, parent })
            }
            Ask::ChildFinished { child, outcome, .. } => Self::FinishChild { child, outcome },
            _ => return Err(asked),
        })
    }
}

impl Request {
    /// Returns the stream of a member's run.
    fn child(&self, member: &BatchMember) -> StreamName {
        let category = match self.action {
            BatchAction::Backup { .. } => Category::BackupJob,
            BatchAction::Defragment | BatchAction::UpdateCheck => Category::Maintenance,
        };
        StreamName::new(category, member.run)
    }

    fn wish(&self, member: &BatchMember) -> Ask {
        let (id, container, schedule) = (member.run, member.container, self.schedule.clone());
        match self.action {
            BatchAction::Backup { store, mode } => {
                Ask::RequestBackup { id, container, store, mode, backup: member.backup, schedule }
            }
            BatchAction::Defragment => {
                Ask::RequestMaintenance { id, action: MaintenanceAction::Defragment { container } }
            }
            BatchAction::UpdateCheck => {
                Ask::RequestMaintenance { id, action: MaintenanceAction::UpdateCheck { container } }
            }
        }
    }
}

impl Batch {
    fn request(&self, request: &Request) -> Result<Vec<BatchEvent>, Rejection> {
        match &self.request {
            None => {
                let Request { id, action, members, schedule, parallel, parent } = request.clone();
                Ok(vec![BatchEvent::BatchRequested { id, action, members, schedule, parallel, parent }])
            }
            Some(known) if known == request => Ok(vec![]),
            Some(_) => Err(Rejection::Exists),
        }
    }

    /// Records the end of a run, told by the run itself; the second telling is taken for the first.
    fn finish(&self, child: &StreamName, outcome: &Closing) -> Vec<BatchEvent> {
        let Some(request) = &self.request else { return vec![] };
        let mut members = request.members.iter().zip(&self.fates);
        let ended = members.find(|(member, fate)| request.child(member) == *child && fate.is_open());
        ended.map(|(member, _)| finished(member, outcome.clone())).into_iter().collect()
    }

    fn cancel(&self, operation: OperationId) -> Result<Vec<BatchEvent>, Rejection> {
        if self.open != Some(operation) {
            return Err(Rejection::NoSuchOperation { operation });
        }
        Ok(if self.called_off { vec![] } else { vec![BatchEvent::BatchCancelRequested] })
    }

    fn decide_report(&self, report: &Report) -> Vec<BatchEvent> {
        if !self.next_effect().is_some_and(|owed| owed.is_reported_by(report)) {
            return vec![];
        }
        match (report.step, &report.outcome, self.next_child()) {
            (NOTIFY_PARENT, ..) => vec![BatchEvent::ParentNotified],
            (CLOSE, ..) => vec![self.over()],
            (CANCEL_CHILD, outcome, _) => {
                self.child_to_end().map(|(_, member)| ending(member, outcome)).into_iter().collect()
            }
            (_, Outcome::Answered(_), Some((_, member))) => vec![BatchEvent::ChildStarted { run: member.run }],
            (_, Outcome::Refused(refusal), Some((_, member))) => {
                vec![finished(member, Closing::Failed { reason: refusal.message.clone() })]
            }
            (_, Outcome::Failed(failure), Some((_, member))) => {
                vec![finished(member, Closing::Failed { reason: failure.reason.clone() })]
            }
            _ => vec![],
        }
    }

    /// Returns the member to start next, if there is room for another run.
    fn next_child(&self) -> Option<(&Request, &BatchMember)> {
        let request = self.request.as_ref().filter(|_| !self.called_off)?;
        let running = self.fates.iter().filter(|fate| **fate == Fate::Started).count();
        if running >= request.parallel.max(1) as usize {
            return None;
        }
        let mut members = request.members.iter().zip(&self.fates);
        members.find(|(_, fate)| **fate == Fate::Waiting).map(|(member, _)| (request, member))
    }

    /// Returns the member whose run is to be called off next.
    fn child_to_end(&self) -> Option<(&Request, &BatchMember)> {
        let request = self.request.as_ref().filter(|_| self.called_off)?;
        let mut members = request.members.iter().zip(&self.fates);
        members.find(|(_, fate)| **fate == Fate::Started).map(|(member, _)| (request, member))
    }

    /// Calls off what waits. The start of the first of them may be under way: its run is asked to end like the others.
    fn call_off(&mut self) {
        self.called_off = true;
        let mut waiting = self.fates.iter_mut().filter(|fate| **fate == Fate::Waiting);
        waiting.next().into_iter().for_each(|fate| *fate = Fate::Started);
        waiting.for_each(|fate| *fate = Fate::Finished(Closing::Cancelled));
    }

    /// Says whether nothing is left to begin or to wait for.
    fn is_done(&self) -> bool {
        self.fates.iter().all(|fate| matches!(fate, Fate::Finished(_)))
    }

    fn over(&self) -> BatchEvent {
        let ends = || self.fates.iter().filter_map(Fate::end);
        let count = |is_it: fn(&Closing) -> bool| ends().filter(|end| is_it(end)).count() as u64;
        let total = self.fates.len() as u64;
        let (done, partial) =
            (count(|end| *end == Closing::Done), count(|end| matches!(end, Closing::DoneWithExceptions { .. })));
        let (skipped, cancelled) = (count(is_skip), count(|end| *end == Closing::Cancelled));
        let failed = total - done - partial - skipped;
        let failure = ends().find(|end| !end.is_success() && !is_skip(end));
        match (failure, ends().next()) {
            _ if self.called_off && cancelled > 0 => BatchEvent::BatchCancelled { cancelled, total },
            _ if done == total => BatchEvent::BatchCompleted,
            _ if done + partial > 0 => BatchEvent::BatchCompletedWithExceptions { failed, total, partial, skipped },
            (Some(first), _) => {
                BatchEvent::BatchFailed { reason: format!("none of {total} succeeded; the first: {}", first.words()) }
            }
            (None, first) => {
                let why = first.map_or_else(String::new, Closing::words);
                BatchEvent::BatchSkipped { reason: format!("all {total} were left out; the first: {why}") }
            }
        }
    }

    fn set(&mut self, run: RunId, fate: Fate) {
        let Some(request) = &self.request else { return };
        let members = request.members.iter().zip(&mut self.fates);
        members.filter(|(member, _)| member.run == run).for_each(|(_, present)| *present = fate.clone());
    }

    fn close(&mut self, outcome: Closing) {
        let (Some(operation), Some(request)) = (self.open.take(), &self.request) else { return };
        let child = StreamName::new(Category::Batch, request.id);
        self.notices.extend(request.parent.clone().map(|parent| Notice { parent, child, operation, outcome }));
    }
}

impl Fate {
    fn is_open(&self) -> bool {
        self.end().is_none()
    }

    fn end(&self) -> Option<&Closing> {
        if let Self::Finished(outcome) = self { Some(outcome) } else { None }
    }
}

/// The refusals of a run that tells its end all the same: it is over, or past the point of being called off.
const TOLD_ANYWAY: &[&str] = &["operation.not-found", "operation.too-late"];

/// A run that never began has no end to wait for; any other that understands tells it, called off or not.
fn ending(member: &BatchMember, outcome: &Outcome) -> BatchEvent {
    match outcome {
        Outcome::Refused(refusal) if refusal.code == NO_SUCH_RUN => finished(member, Closing::Cancelled),
        Outcome::Refused(refusal) if !TOLD_ANYWAY.contains(&refusal.code.as_str()) => {
            finished(member, Closing::Failed { reason: refusal.message.clone() })
        }
        Outcome::Failed(failure) => finished(member, Closing::Failed { reason: failure.reason.clone() }),
        _ => BatchEvent::ChildCancelAsked { run: member.run },
    }
}

fn is_skip(end: &Closing) -> bool {
    matches!(end, Closing::Skipped { .. })
}

fn finished(member: &BatchMember, outcome: Closing) -> BatchEvent {
    BatchEvent::ChildFinished { run: member.run, outcome }
}

impl Aggregate for Batch {
    const CATEGORY: Category = Category::Batch;
    const STATE_SCHEMA: u32 = 2;
    type Command = Command;
    type Event = BatchEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Result<Vec<BatchEvent>, Rejection> {
        match command {
            Command::Request(request) => self.request(request),
            Command::FinishChild { child, outcome } => Ok(self.finish(child, outcome)),
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(self.decide_report(report)),
        }
    }

    fn evolve(&mut self, event: &BatchEvent, given: Given) {
        match event {
            BatchEvent::BatchRequested { id, action, members, schedule, parallel, parent } => {
                let (id, parallel, action) = (*id, *parallel, action.clone());
                let (members, schedule, parent) = (members.clone(), schedule.clone(), parent.clone());
                self.fates = vec![Fate::Waiting; members.len()];
                self.request = Some(Request { id, action, members, schedule, parallel, parent });
                self.open = Some(given.operation);
            }
            BatchEvent::BatchCancelRequested => self.call_off(),
            BatchEvent::ChildCancelAsked { run } => self.set(*run, Fate::Ending),
            BatchEvent::ChildStarted { run } => self.set(*run, Fate::Started),
            BatchEvent::ChildFinished { run, outcome } => self.set(*run, Fate::Finished(outcome.clone())),
            BatchEvent::ParentNotified => self.notices.truncate(0),
            BatchEvent::BatchCompleted
            | BatchEvent::BatchCompletedWithExceptions { .. }
            | BatchEvent::BatchSkipped { .. }
            | BatchEvent::BatchFailed { .. }
            | BatchEvent::BatchCancelled { .. } => {}
        }
        if let Mark::Closed { outcome } = event.mark() {
            self.close(outcome);
        }
    }

    /// Runs go under operations of their own.
    fn on_behalf_of(&self, operation: OperationId) -> OperationId {
        let members = self.request.iter().flat_map(|request| &request.members);
        let is_member = members.into_iter().any(|member| member.operation == operation);
        self.open.filter(|_| is_member).unwrap_or(operation)
    }

    fn next_effect(&self) -> Option<Effect> {
        if let Some(notice) = self.notices.first() {
            return Some(notice.effect());
        }
        let operation = self.open?;
        if self.is_done() {
            return Some(Effect::wake(operation, CLOSE, Due::Now));
        }
        if let Some((request, member)) = self.child_to_end() {
            let to = request.child(member);
            return Some(Effect::ask(member.operation, CANCEL_CHILD, to, Ask::CancelRun).undoing());
        }
        let (request, member) = self.next_child()?;
        Some(Effect::ask(member.operation, START_CHILD, request.child(member), request.wish(member)))
    }
}
