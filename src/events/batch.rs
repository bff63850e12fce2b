//! Facts about one request for many containers.

use serde::{Deserialize, Serialize};

use super::{BackupMode, Closing, DomainEvent, Mark, kinds};
use crate::types::{BackupId, Category, ContainerId, Name, OperationId, RunId, StoreId, StreamName};

/// Says what is to be done with each member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum BatchAction {
    /// Back it up.
    Backup {
        /// Into which store.
        store: StoreId,
        /// How much is to be read.
        mode: BackupMode,
    },
    /// Put its disk in order.
    Defragment,
    /// Ask its package manager.
    UpdateCheck,
}

impl BatchAction {
    /// Returns what a member is with which it was done.
    pub const fn deed(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "backed up",
            Self::Defragment => "defragmented",
            Self::UpdateCheck => "asked for updates",
        }
    }
}

/// Is one container of the batch, with the ids that its run will have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMember {
    /// Which container.
    pub container: ContainerId,
    /// The run.
    pub run: RunId,
    /// The run's operation.
    pub operation: OperationId,
    /// The backup, where one is made.
    pub backup: BackupId,
}

/// Is a fact about a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BatchEvent {
    /// Somebody, or a schedule, asked for it.
    BatchRequested {
        /// Its id.
        id: RunId,
        /// What.
        action: BatchAction,
        /// For which containers, as the selection was resolved then.
        members: Vec<BatchMember>,
        /// The schedule behind it.
        schedule: Option<Name>,
        /// How many runs at the same time.
        parallel: u32,
        /// The schedule's stream that waits for it.
        parent: Option<StreamName>,
    },
    /// Somebody called it off: runs under way are called off, too, and no more begin.
    BatchCancelRequested,
    /// A member's run has begun.
    ChildStarted {
        /// Which run.
        run: RunId,
    },
    /// A member's run knows that it is called off; it may be too late for it.
    ChildCancelAsked {
        /// Which run.
        run: RunId,
    },
    /// A member's run is over.
    ChildFinished {
        /// Which run.
        run: RunId,
        /// How.
        outcome: Closing,
    },
    /// Every member succeeded, or there was none.
    BatchCompleted,
    /// Some did not.
    BatchCompletedWithExceptions {
        /// How many.
        failed: u64,
        /// Of how many.
        total: u64,
        /// How many succeeded only in part.
        partial: u64,
        /// How many were left out: there was nothing to do for them, or it was not the time.
        skipped: u64,
    },
    /// All were left out.
    BatchSkipped {
        /// Why.
        reason: String,
    },
    /// None did.
    BatchFailed {
        /// Why.
        reason: String,
    },
    /// It was called off; what had begun is over.
    BatchCancelled {
        /// How many runs were called off, or never began.
        cancelled: u64,
        /// Of how many.
        total: u64,
    },
    /// The schedule that waited knows.
    ParentNotified,
}

impl DomainEvent for BatchEvent {
    const CATEGORY: Category = Category::Batch;
    const KINDS: &'static [&'static str] = kinds!(BatchEvent: BatchRequested, BatchCancelRequested, ChildStarted,
        ChildCancelAsked, ChildFinished, BatchCompleted, BatchCompletedWithExceptions, BatchSkipped, BatchFailed, BatchCancelled, ParentNotified);

    fn mark(&self) -> Mark {
        let closed = |outcome| Mark::Closed { outcome };
        match self {
            Self::BatchRequested { .. } => Mark::Opened { verb: "batch" },
            Self::BatchCancelRequested => Mark::Phase { name: "ending" },
            Self::BatchCancelled { .. } => closed(Closing::Cancelled),
            Self::ChildStarted { .. }
            | Self::ChildCancelAsked { .. }
            | Self::ChildFinished { .. }
            | Self::ParentNotified => Mark::Fact,
            Self::BatchCompleted => closed(Closing::Done),
            Self::BatchCompletedWithExceptions { failed, total, partial, skipped } => {
                closed(Closing::DoneWithExceptions { reason: exceptions(*failed, *total, *partial, *skipped) })
            }
            Self::BatchSkipped { reason } => closed(Closing::Skipped { reason: reason.clone() }),
            Self::BatchFailed { reason } => closed(Closing::Failed { reason: reason.clone() }),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::BatchRequested { members, .. } => format!("batch of {} requested", members.len()),
            Self::ChildStarted { run } => format!("run {} started", run.short()),
            Self::ChildCancelAsked { run } => format!("run {} is to end", run.short()),
            Self::ChildFinished { run, outcome } => format!("run {} finished: {}", run.short(), outcome.words()),
            Self::BatchCompleted => "batch completed".to_owned(),
            Self::BatchCompletedWithExceptions { failed, total, partial, skipped } => {
                exceptions(*failed, *total, *partial, *skipped)
            }
            Self::BatchSkipped { reason } => format!("batch skipped: {reason}"),
            Self::BatchFailed { reason } => format!("batch failed: {reason}"),
            Self::BatchCancelRequested => "called off".to_owned(),
            Self::BatchCancelled { cancelled, total } => format!("batch cancelled: {cancelled} of {total} runs"),
            Self::ParentNotified => "outcome told to the waiting schedule".to_owned(),
        }
    }
}

fn exceptions(failed: u64, total: u64, partial: u64, skipped: u64) -> String {
    let others = [(partial, "only in part"), (skipped, "left out")];
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!(", {count} {words}"));
    format!("{failed} of {total} did not succeed{}", others.collect::<Vec<_>>().concat())
}
