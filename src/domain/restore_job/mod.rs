//! The rules of one run of a restore, and of what may follow it.
//!
//! ```text
//!   container   pin ▸ [create …] ▸ hold ▸ restore ▸ hold-still ▸ stop … ▸ exchange ▸ carry-on … ▸ [start …]
//!                   ▸ unpin ▸ completed
//!                   failure: revert ▸ carry-on …, or unhold ▸ [remove] ▸ unpin ▸ failed, or stuck
//!   directory   pin ▸ extract ▸ unpin ▸ completed
//!   afterwards  confirm: discard-old ▸ release-old ▸ confirmed
//!               roll-back, also when stuck: hold-again ▸ stop-again … ▸ put-back
//!                   ▸ carry-on-again …, or unhold-again ▸ remove-again ▸ close
//! ```
//!
//! At `…` the container works on an operation of its own and tells its end. Its answer is recorded, so that nothing is
//! asked twice while it works; each ask is an operation of its own, named after its step. An end that comes before the answer
//! counts, one that is told again does not, and an ask repeated after a crash is answered and begins nothing.
//!
//! The container stops last: the files are written beside its own while it runs, starts and stops as it likes, under a hold that
//! keeps backups away, so that whatever stands against the restore is found before. Then nothing starts it until its files
//! have changed places, and it is let go and carries on in one: what it was, and whether somebody wanted otherwise meanwhile,
//! the container itself knows, also when it was asked twice because of a crash. To start what did not run is a wish of its own. Once the files have
//! changed places the way is only forward, and a container that does not start is no failed restore.
//!
//! From hold-still on the container knows who keeps its files of before, and takes no other restore in place until they are
//! back, or discarded. A way back gives up whatever may have been claimed: what came of an ask that was under way when it began is
//! not known. A container that cannot be
//! told that it is let go stays held; the next start of Berth frees it.
//!
//! A restore proves nothing of its backup: it reads the container's own files, and takes those of the template from this machine.

mod evolve;
mod plan;
mod rejection;
#[cfg(test)]
mod tests;

pub use rejection::Rejection;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Effect, Report};
use super::{Aggregate, Given};
use crate::events::{Closing, RestoreEvent, RestoreTarget};
use crate::types::{BackupId, Category, ContainerId, OperationId, RunId, StoreId, StreamName};

/// Is everything the log tells about one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RestoreJob {
    request: Option<Request>,
    life: Life,
    open: Option<Open>,
    progress: Progress,
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its id, drawn at the edge.
    pub id: RunId,
    /// Which backup.
    pub backup: BackupId,
    /// The container it is of.
    pub source: ContainerId,
    /// The store that has it.
    pub store: StoreId,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether the container is to run afterwards, even if it did not before; one that did carries on anyway.
    pub start: bool,
}

/// Says what came of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Life {
    #[default]
    Pending,
    Completed,
    Confirmed,
    RolledBack,
    /// It failed or was called off.
    Failed,
    /// What it wrote could not be taken back.
    Stuck,
}

/// Is the operation under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    operation: OperationId,
    work: Work,
}

/// Says what the operation does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Work {
    Restore,
    Confirm { discarded: bool },
    RollBack(RollBack),
}

/// Says how far a roll-back is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct RollBack {
    held: bool,
    stopped: bool,
    reverted: bool,
    failing: Option<String>,
    unheld: bool,
    /// The container runs again, or it is known why not.
    settled: bool,
    /// It was paused before.
    left_stopped: bool,
    /// What is not as it was with the container.
    exception: Option<String>,
}

/// Says how far the run is; a step back undoes nothing here, it is a fact of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    pinned: bool,
    /// The container works on what it was asked, and will tell its end.
    waiting: bool,
    created: bool,
    held: bool,
    files: bool,
    /// Nothing starts the container.
    held_still: bool,
    stopped: bool,
    exchanged: bool,
    cancelled: bool,
    failing: Option<String>,
    reverted: bool,
    left: Option<String>,
    unheld: bool,
    removed: bool,
    /// The container runs again, or it is known why not.
    settled: bool,
    started: bool,
    start_failed: bool,
    /// It was paused before, and nobody started it since.
    left_stopped: bool,
    /// What could not be written into a directory, or is not as it was with the container.
    exception: Option<String>,
}

/// Is a wish, a report, or the end of what a container was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin.
    Request(Request),
    /// The container is done with what it was asked.
    FinishChild {
        /// The container's stream.
        child: StreamName,
        /// The operation under which it was asked.
        operation: OperationId,
        /// How it ended.
        outcome: Closing,
    },
    /// Let the old files go.
    Confirm,
    /// Put the old files back.
    RollBack,
    /// Call the restore off.
    Cancel {
        /// Which operation.
        operation: OperationId,
    },
    /// An effect's outcome.
    Report(Report),
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
            Ask::ChildFinished { child, operation, outcome } => Ok(Self::FinishChild { child, operation, outcome }),
            _ => Err(asked),
        }
    }
}

type Decision = Result<Vec<RestoreEvent>, Rejection>;

impl Request {
    /// Returns the container whose files are replaced, if it is one.
    fn container(&self) -> Option<ContainerId> {
        match &self.target {
            RestoreTarget::New { container, .. } | RestoreTarget::InPlace { container } => Some(*container),
            RestoreTarget::Directory { .. } => None,
        }
    }

    fn event(self) -> RestoreEvent {
        let Self { id, backup, source, store, target, start } = self;
        RestoreEvent::RestoreRequested { id, backup, source, store, target, start }
    }
}

impl Progress {
    /// Says whether the run turns back. One that was called off first waits for what the container was asked.
    fn is_turning_back(&self, target: &RestoreTarget) -> bool {
        let creating = matches!(target, RestoreTarget::New { .. }) && self.pinned && !self.created;
        let stopping = self.held_still && !self.stopped;
        self.failing.is_some() || (self.cancelled && !creating && !stopping)
    }
}

impl RollBack {
    /// Says whether the old files are in place.
    fn is_whole(&self) -> bool {
        self.reverted && self.failing.is_none()
    }
}

impl RestoreJob {
    fn request(&self, request: &Request) -> Decision {
        match &self.request {
            None => Ok(vec![request.clone().event()]),
            Some(known) if known == request => Ok(vec![]),
            Some(_) => Err(Rejection::Exists),
        }
    }

    /// Refuses unless old files lie beside the container's own.
    fn kept(&self) -> Result<(), Rejection> {
        match (&self.request, self.life) {
            (None, _) => Err(Rejection::Unknown),
            (Some(request), Life::Stuck) => Err(Rejection::Stuck { run: request.id }),
            (Some(Request { target: RestoreTarget::InPlace { .. }, .. }), life) => match life {
                Life::Completed => Ok(()),
                Life::Confirmed => Err(Rejection::Confirmed),
                Life::RolledBack => Err(Rejection::RolledBack),
                Life::Pending | Life::Failed | Life::Stuck => Err(Rejection::NotCompleted),
            },
            (Some(_), _) => Err(Rejection::NothingKept),
        }
    }

    fn not_busy(&self) -> Result<(), Rejection> {
        self.open.as_ref().map_or(Ok(()), |open| Err(Rejection::Busy { operation: open.operation }))
    }

    fn confirm(&self) -> Decision {
        let confirming = matches!(&self.open, Some(Open { work: Work::Confirm { .. }, .. }));
        if confirming || self.life == Life::Confirmed {
            return Ok(vec![]);
        }
        self.kept()?;
        self.not_busy()?;
        Ok(vec![RestoreEvent::ConfirmRequested])
    }

    fn roll_back(&self) -> Decision {
        let rolling = matches!(&self.open, Some(Open { work: Work::RollBack(_), .. }));
        if rolling || self.life == Life::RolledBack {
            return Ok(vec![]);
        }
        if self.life != Life::Stuck {
            self.kept()?;
        }
        self.not_busy()?;
        Ok(vec![RestoreEvent::RollBackRequested])
    }

    fn cancel(&self, operation: OperationId) -> Decision {
        let Some(open) = self.open.as_ref().filter(|open| open.operation == operation) else {
            return Err(Rejection::NoSuchOperation { operation });
        };
        let in_a_directory = self.request.as_ref().is_some_and(|request| request.container().is_none());
        let progress = &self.progress;
        let written = progress.exchanged || (in_a_directory && progress.files);
        if written || open.work != Work::Restore {
            return Err(Rejection::TooLate);
        }
        let turned = progress.cancelled || progress.failing.is_some();
        Ok(if turned { vec![] } else { vec![RestoreEvent::RestoreCancelRequested] })
    }
}

impl Aggregate for RestoreJob {
    const CATEGORY: Category = Category::RestoreJob;
    const STATE_SCHEMA: u32 = 3;
    type Command = Command;
    type Event = RestoreEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Decision {
        match command {
            Command::Request(request) => self.request(request),
            Command::FinishChild { child, operation, outcome } => {
                Ok(plan::decide_end(self, child, *operation, outcome))
            }
            Command::Confirm => self.confirm(),
            Command::RollBack => self.roll_back(),
            Command::Cancel { operation } => self.cancel(*operation),
            Command::Report(report) => Ok(plan::decide_report(self, report)),
        }
    }

    fn evolve(&mut self, event: &RestoreEvent, given: Given) {
        evolve::evolve(self, event, given);
    }

    fn next_effect(&self) -> Option<Effect> {
        plan::next_effect(self)
    }
}
