//! Facts about backups: one stream per run, and one per container and store that keeps the result.

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{
    BackupId, Category, ContainerId, Name, OperationId, RunId, Size, Span, StoreId, StreamName, Timestamp,
};

/// Says how much of a container is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupMode {
    /// Only what changed since the last backup, by size, times and inode.
    Incremental,
    /// Everything is read again.
    Full,
}

/// Says how good a finished backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupOutcome {
    /// Everything is in it.
    Complete,
    /// Some files could not be read; they are listed in the backup.
    CompleteWithExceptions,
}

/// Is what is worth knowing of a backup without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// Which backup.
    pub backup: BackupId,
    /// Which run made it.
    pub run: RunId,
    /// Of which container.
    pub container: ContainerId,
    /// Under which name it was known then.
    pub container_name: Name,
    /// Into which store.
    pub store: StoreId,
    /// When its content was frozen.
    pub taken_at: Timestamp,
    /// How much was read again.
    pub mode: BackupMode,
    /// Which earlier backup it was compared with.
    pub base: Option<BackupId>,
    /// How good it is.
    pub outcome: BackupOutcome,
    /// Files, directories and all else.
    pub entries: u64,
    /// Bytes read from the container.
    pub read: Size,
    /// Bytes that the store did not have yet.
    pub new: Size,
    /// Bytes that the store grew by.
    pub stored: Size,
    /// How long the container stood still.
    pub frozen: Span,
    /// How many files could not be read.
    pub unreadable: u64,
    /// The schedule that asked for it; manual runs have none.
    pub schedule: Option<Name>,
}

/// Is a fact about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BackupJobEvent {
    /// Somebody, or a schedule, asked for a backup.
    BackupRequested {
        /// Its id.
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
        /// The batch that waits for it.
        parent: Option<StreamName>,
    },
    /// Nobody deletes or replaces the container's files while this runs.
    ContainerHeld {
        /// The name it has now.
        name: Name,
        /// What it is now; a restore as new starts from this.
        configuration: Box<super::Configuration>,
        /// The digest of its template.
        template_digest: String,
    },
    /// The store takes what this run writes.
    StoreOpened,
    /// The group expects the backup and names the one to compare with.
    GroupAdmitted {
        /// The newest one that is not damaged.
        base: Option<BackupId>,
    },
    /// Everything was read once while the container ran on.
    LivePassCompleted {
        /// Entries seen.
        entries: u64,
        /// Bytes read.
        read: Size,
    },
    /// The container stood still while the rest was read, and goes on.
    FrozenPassCompleted {
        /// How long it stood still; nothing if it did not run.
        frozen: Span,
    },
    /// The backup is whole and safe in the store.
    BackupSealed(BackupSummary),
    /// The group knows it.
    GroupCommitted,
    /// It will not become a backup.
    BackupFailing {
        /// Why.
        reason: String,
    },
    /// Somebody called it off.
    BackupCancelRequested,
    /// What was read for it is forgotten, and the container does not stand still for it.
    BackupDiscarded,
    /// The group no longer expects it.
    GroupWithdrawn,
    /// The store no longer waits for this run.
    StoreClosed,
    /// The container is free for others.
    ContainerUnheld,
    /// All is well.
    BackupCompleted,
    /// Whole but for files that could not be read.
    BackupCompletedWithExceptions {
        /// How many.
        unreadable: u64,
    },
    /// There is no backup.
    BackupFailed {
        /// Why.
        reason: String,
    },
    /// It was called off.
    BackupCancelled,
    /// Neither whole nor forgotten: a person has to look.
    BackupStuck {
        /// What does not work.
        reason: String,
    },
    /// There was nothing to back up.
    BackupSkipped {
        /// Why.
        reason: String,
    },
    /// The batch that waited knows.
    ParentNotified,
}

impl DomainEvent for BackupJobEvent {
    const CATEGORY: Category = Category::BackupJob;
    const KINDS: &'static [&'static str] = kinds!(BackupJobEvent: BackupRequested, ContainerHeld, StoreOpened,
        GroupAdmitted, LivePassCompleted, FrozenPassCompleted, BackupSealed, GroupCommitted, BackupFailing,
        BackupCancelRequested, BackupDiscarded, BackupStuck, GroupWithdrawn, StoreClosed, ContainerUnheld, BackupCompleted, BackupCompletedWithExceptions, BackupFailed,
        BackupCancelled, BackupSkipped, ParentNotified);

    fn mark(&self) -> Mark {
        let closed = |outcome| Mark::Closed { outcome };
        match self {
            Self::BackupRequested { .. } => Mark::Opened { verb: "backup" },
            Self::GroupAdmitted { .. } => Mark::Phase { name: "live pass" },
            Self::LivePassCompleted { .. } => Mark::Phase { name: "frozen pass" },
            Self::FrozenPassCompleted { .. } => Mark::Phase { name: "sealing" },
            Self::BackupSealed(_) => Mark::Phase { name: "recording" },
            Self::BackupFailing { .. } | Self::BackupCancelRequested => Mark::Phase { name: "undoing" },
            Self::BackupStuck { reason } => closed(Closing::Stuck { reason: reason.clone() }),
            Self::BackupCompleted => closed(Closing::Done),
            Self::BackupCompletedWithExceptions { unreadable } => {
                closed(Closing::DoneWithExceptions { reason: format!("{unreadable} files could not be read") })
            }
            Self::BackupFailed { reason } => closed(Closing::Failed { reason: reason.clone() }),
            Self::BackupCancelled => closed(Closing::Cancelled),
            Self::BackupSkipped { reason } => closed(Closing::Skipped { reason: reason.clone() }),
            Self::ContainerHeld { .. }
            | Self::StoreOpened
            | Self::GroupCommitted
            | Self::BackupDiscarded
            | Self::GroupWithdrawn
            | Self::StoreClosed
            | Self::ContainerUnheld
            | Self::ParentNotified => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::BackupRequested { backup, .. } => format!("backup {} requested", backup.short()),
            Self::ContainerHeld { name, .. } => format!("container {name} held"),
            Self::StoreOpened => "store opened".to_owned(),
            Self::GroupAdmitted { base: Some(base) } => format!("compared with backup {}", base.short()),
            Self::GroupAdmitted { base: None } => "first backup of its group".to_owned(),
            Self::LivePassCompleted { entries, read } => format!("{entries} entries seen, {read} read while running"),
            Self::FrozenPassCompleted { frozen } => format!("frozen for {frozen}"),
            Self::BackupSealed(summary) => format!("sealed: {} new, {} stored", summary.new, summary.stored),
            Self::GroupCommitted => "recorded in its group".to_owned(),
            Self::BackupFailing { reason } => format!("failing: {reason}"),
            Self::BackupCancelRequested => "called off".to_owned(),
            Self::BackupDiscarded => "what was read is forgotten".to_owned(),
            Self::BackupStuck { reason } => format!("backup stuck: {reason}"),
            Self::GroupWithdrawn => "withdrawn from its group".to_owned(),
            Self::StoreClosed => "store closed".to_owned(),
            Self::ContainerUnheld => "container no longer held".to_owned(),
            Self::BackupCompleted => "backup completed".to_owned(),
            Self::BackupCompletedWithExceptions { unreadable } => {
                format!("backup completed, {unreadable} files could not be read")
            }
            Self::BackupFailed { reason } => format!("backup failed: {reason}"),
            Self::BackupCancelled => "backup cancelled".to_owned(),
            Self::BackupSkipped { reason } => format!("backup skipped: {reason}"),
            Self::ParentNotified => "outcome told to the waiting operation".to_owned(),
        }
    }
}

/// Is a fact about the backups of one container in one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BackupGroupEvent {
    /// A run may add a backup; it is compared with the newest one that is not damaged.
    BackupAdmitted {
        /// Which operation.
        operation: OperationId,
        /// The newest backup that is not damaged.
        base: Option<BackupId>,
    },
    /// The run will not add one.
    BackupWithdrawn {
        /// Which operation.
        operation: OperationId,
    },
    /// The group holds one more backup.
    BackupCommitted(BackupSummary),
    /// An operation reads a backup; it stays.
    BackupPinned {
        /// Which backup.
        backup: BackupId,
        /// Which operation.
        operation: OperationId,
    },
    /// That operation no longer reads it.
    BackupUnpinned {
        /// Which backup.
        backup: BackupId,
        /// Which operation.
        operation: OperationId,
    },
    /// Somebody had the backup read again, and it was whole.
    BackupVerified {
        /// Which backup.
        backup: BackupId,
    },
    /// Somebody had the backup read again, and it was damaged.
    BackupDamageFound {
        /// Which backup.
        backup: BackupId,
        /// What is damaged.
        reason: String,
    },
}

impl DomainEvent for BackupGroupEvent {
    const CATEGORY: Category = Category::BackupGroup;
    const KINDS: &'static [&'static str] = kinds!(BackupGroupEvent: BackupAdmitted, BackupWithdrawn, BackupCommitted,
        BackupPinned, BackupUnpinned, BackupVerified, BackupDamageFound);

    fn mark(&self) -> Mark {
        Mark::Fact
    }

    fn sentence(&self) -> String {
        match self {
            Self::BackupAdmitted { operation, .. } => format!("run {} admitted", operation.short()),
            Self::BackupWithdrawn { operation } => format!("run {} withdrawn", operation.short()),
            Self::BackupCommitted(summary) => format!("backup {} committed", summary.backup.short()),
            Self::BackupPinned { backup, .. } => format!("backup {} pinned", backup.short()),
            Self::BackupUnpinned { backup, .. } => format!("backup {} unpinned", backup.short()),
            Self::BackupVerified { backup } => format!("backup {} verified", backup.short()),
            Self::BackupDamageFound { backup, reason } => format!("backup {} is damaged: {reason}", backup.short()),
        }
    }
}
