//! The words of the seam: what a state owes the world, and what the world answers.

mod ask;
mod host;

pub use ask::{Answer, Ask, Asked};
pub use host::{HostEffect, InitSignal, RunSpecification, SealSpecification};

use serde::{Deserialize, Serialize};

use super::{Refusal, RefusalClass};
use crate::events::{BackupSummary, Exit, MaintenanceResult, ProcessIdentity, TemplateSummary};
use crate::types::{Hits, LeftOut, ManagedFile, OperationId, Size, Span, StreamName, Timestamp};

/// Names a step of a plan; the same name always means the same effect of that operation.
pub type Step = &'static str;

/// Is something a state still owes the world. One is in flight per stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The operation it belongs to; with the step it makes the effect recognisable when repeated.
    pub operation: OperationId,
    /// The step of the plan.
    pub step: Step,
    /// Whether it takes something back: an undo is tried longer than a step forward.
    pub undo: bool,
    /// What is to be done.
    pub action: Action,
}

impl Effect {
    /// Makes an effect on the host.
    pub fn host(operation: OperationId, step: Step, work: HostEffect) -> Self {
        Self { operation, step, undo: false, action: Action::Host(Box::new(work)) }
    }

    /// Makes a command to another aggregate.
    pub fn ask(operation: OperationId, step: Step, of: StreamName, ask: Ask) -> Self {
        Self { operation, step, undo: false, action: Action::Ask(of, ask) }
    }

    /// Makes a wait.
    pub fn wake(operation: OperationId, step: Step, due: Due) -> Self {
        Self { operation, step, undo: false, action: Action::Wake(due) }
    }

    /// Marks it as one that takes something back.
    pub fn undoing(self) -> Self {
        Self { undo: true, ..self }
    }

    /// Says whether the report is about this effect.
    pub fn is_reported_by(&self, report: &Report) -> bool {
        self.operation == report.operation && self.step == report.step
    }
}

/// Says what kind of work an effect is.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Work for the kernel, the disk or the network.
    Host(Box<HostEffect>),
    /// A command to another aggregate.
    Ask(StreamName, Ask),
    /// Waiting. Never inside a host effect, so that it can be called off and survives a restart.
    Wake(Due),
}

/// Says when a wait is over. A moment in it is by the clock of when it was recorded; whatever the clock does later, it is
/// as long after that as it was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once: what follows is only to be told.
    Now,
    /// At that moment, at the latest: somebody waits.
    Soon(Timestamp),
    /// At that moment, if the clock is to be trusted by then: what happens cannot be taken back.
    Trusted(Timestamp),
}

/// Is the outcome of an effect, an ordinary command to the aggregate that owed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The operation of the effect.
    pub operation: OperationId,
    /// Its step. A report that fits no step in flight is stale and ignored.
    pub step: Step,
    /// How many times it was tried, from 1.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// Says what came of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is so now.
    Done(Facts),
    /// The other aggregate took the ask.
    Answered(Answer),
    /// The other aggregate refused.
    Refused(Refusal),
    /// It did not work, and trying again does not help any more.
    Failed(Failure),
    /// The moment has come.
    Woken,
}

/// Is why a host effect did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// What the host said, with paths and values: lower case, no full stop.
    pub reason: String,
    /// What kind of answer it is to whoever waits, where that can be told.
    #[serde(default)]
    pub class: Option<RefusalClass>,
}

impl Failure {
    /// Makes a failure of a kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), class: None }
    }

    /// Makes a failure that trying again does not mend.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, reason)
    }

    /// Makes a failure that may pass.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, reason)
    }

    /// Says what kind of answer it is, if that can be told.
    pub fn classed(self, class: impl Into<Option<RefusalClass>>) -> Self {
        Self { class: class.into(), ..self }
    }
}

/// Says whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// It may pass: busy, interrupted.
    Transient,
    /// It will not.
    Permanent,
    /// There is nothing to do it with: no package manager, a file system without such a tool.
    NotApplicable,
    /// Somebody called it off.
    Cancelled,
}

/// Is what the host found to be true when an effect was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Nothing beyond that.
    None,
    /// What the template holds.
    Template(TemplateSummary),
    /// The template is not what it was: the first paths, and how many.
    Drift {
        /// The first few.
        paths: Vec<String>,
        /// How many in all.
        count: u64,
    },
    /// A network is there.
    Network {
        /// What the host lacks for it, or what stands in its way.
        shortcomings: Vec<String>,
    },
    /// Init runs.
    Started {
        /// Which process it is.
        init: ProcessIdentity,
        /// How long the host worked.
        took: Span,
        /// What is not as it should be, though it runs.
        warnings: Vec<String>,
        /// Which files of its `/etc` were left as it has them.
        kept: Vec<ManagedFile>,
    },
    /// There was no init to tell: it had ended.
    InitEnded {
        /// How, where anybody saw it.
        exit: Exit,
        /// How often it had run into its limits.
        hits: Box<Hits>,
    },
    /// A store's repository.
    Repository {
        /// Its id.
        repository: String,
        /// What its recovery key is recognised by.
        recovery_fingerprint: String,
    },
    /// A pass over a running container.
    LivePass {
        /// Entries seen.
        entries: u64,
        /// Bytes read.
        read: Size,
    },
    /// A pass over a container that stood still.
    FrozenPass {
        /// How long.
        frozen: Span,
    },
    /// A backup, whole and safe.
    Sealed(Box<BackupSummary>),
    /// Files of a backup, written.
    Restored {
        /// How many entries.
        entries: u64,
        /// How many bytes.
        written: Size,
        /// What did not go along.
        left_out: LeftOut,
        /// What could not be written, if something: how many entries, and the first of them.
        trouble: Option<String>,
    },
    /// What maintenance found.
    Maintenance(MaintenanceResult),
}
