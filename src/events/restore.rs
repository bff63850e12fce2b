//! Facts about one run of a restore.

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{BackupId, Category, ContainerId, LeftOut, Name, RunId, Size, StoreId};

/// Says where the files of a backup go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "to")]
pub enum RestoreTarget {
    /// A new container, made for this.
    New {
        /// Its id.
        container: ContainerId,
        /// Its name.
        name: Name,
        /// What it is to be.
        configuration: Box<super::Configuration>,
    },
    /// The container that was backed up; its present files are kept beside until confirmed.
    InPlace {
        /// Its id.
        container: ContainerId,
    },
    /// Some paths, into a directory of the node.
    Directory {
        /// Which paths inside the backup, as text with escapes where they are not UTF-8.
        paths: Vec<String>,
        /// The absolute path of the directory.
        into: String,
        /// To whom the files belong there: user and group of the host; the numbers from inside, if nobody is named.
        #[serde(default)]
        owner: Option<(u32, u32)>,
        /// Whether set-uid, set-gid, capabilities, devices and security attributes go along.
        #[serde(default)]
        privileges: bool,
    },
}

/// Is a fact about a restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RestoreEvent {
    /// Somebody asked for it.
    RestoreRequested {
        /// Its id.
        id: RunId,
        /// Which backup.
        backup: BackupId,
        /// The container it is of.
        source: ContainerId,
        /// The store that has it.
        store: StoreId,
        /// Where to.
        target: RestoreTarget,
        /// Whether the container is to run afterwards.
        start: bool,
    },
    /// The backup stays while it is read.
    BackupPinned,
    /// The target took the request; its end is awaited.
    TargetAsked,
    /// The new container is there, empty.
    TargetCreated,
    /// Nobody else reads or changes the target's files; it may run, start and stop.
    TargetHeld,
    /// Nothing starts the target any more: its files are about to change places.
    TargetHeldStill,
    /// The target stands still, and its files may change places.
    TargetStopped,
    /// The files are there, beside the present ones where there are any.
    FilesRestored {
        /// How many entries.
        entries: u64,
        /// How many bytes.
        written: Size,
        /// What did not go along to a place outside.
        #[serde(default)]
        left_out: LeftOut,
        /// What could not be written, if something.
        #[serde(default)]
        trouble: Option<String>,
    },
    /// The restored files are the container's files now; the old ones are kept.
    RootExchanged,
    /// It does not work out.
    RestoreFailing {
        /// Why.
        reason: String,
    },
    /// Somebody called it off.
    RestoreCancelRequested,
    /// The unfinished files are gone, the old ones in place.
    FilesRemoved,
    /// The unfinished files could not be removed, or the old ones not be put in place.
    FilesLeft {
        /// Why.
        reason: String,
    },
    /// Others may touch the target.
    TargetUnheld,
    /// The target could not be told that it is let go.
    TargetStillHeld {
        /// Why.
        reason: String,
    },
    /// There is no new container, or none any more.
    TargetRemoved,
    /// The container runs again.
    TargetStarted,
    /// Nothing is to be started: the container is what is wanted of it.
    TargetSettled,
    /// The container was paused before, and is left stopped.
    TargetLeftStopped,
    /// The container does not run though it should.
    TargetStartFailed {
        /// Why.
        reason: String,
    },
    /// The backup may be pruned again.
    BackupUnpinned,
    /// All is as asked.
    RestoreCompleted,
    /// The files are as asked, but not everything around them.
    RestoreCompletedWithExceptions {
        /// What is not.
        reason: String,
    },
    /// Nothing was restored.
    RestoreFailed {
        /// Why.
        reason: String,
    },
    /// It could be neither done nor undone.
    RestoreStuck {
        /// Why.
        reason: String,
    },
    /// It was called off.
    RestoreCancelled,
    /// Somebody is content: the old files may go.
    ConfirmRequested,
    /// They are gone from the disk.
    OldFilesDiscarded,
    /// The old files are gone.
    RestoreConfirmed,
    /// The old files could not be removed.
    ConfirmFailed {
        /// Why.
        reason: String,
    },
    /// Somebody wants the old files back.
    RollBackRequested,
    /// Nobody else touches the container's files, or starts it.
    RollBackHeld,
    /// The old files are the container's files again.
    RootReverted,
    /// The old files cannot be put back.
    RollBackFailing {
        /// Why.
        reason: String,
    },
    /// The container is what it was before the restore.
    RestoreRolledBack,
    /// The container has the files of before the restore, but does not run.
    RestoreRolledBackWithExceptions {
        /// Why.
        reason: String,
    },
    /// The container is still what the restore made of it.
    RollBackFailed {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for RestoreEvent {
    const CATEGORY: Category = Category::RestoreJob;
    const KINDS: &'static [&'static str] = kinds!(RestoreEvent: RestoreRequested, BackupPinned, TargetAsked, TargetStartFailed, TargetStillHeld, RestoreCancelRequested, RestoreCompletedWithExceptions, RollBackRequested,
        RollBackHeld, RootReverted, RollBackFailing, RestoreRolledBack,
        RestoreRolledBackWithExceptions, RollBackFailed, TargetCreated,
        TargetStopped, TargetHeld, TargetHeldStill, TargetSettled, TargetLeftStopped, FilesRestored, RootExchanged, RestoreFailing, FilesRemoved, TargetUnheld,
        TargetRemoved, TargetStarted, BackupUnpinned, RestoreCompleted, RestoreFailed, RestoreStuck, RestoreCancelled,
        ConfirmRequested, OldFilesDiscarded, RestoreConfirmed, ConfirmFailed, FilesLeft);

    fn mark(&self) -> Mark {
        let closed = |outcome| Mark::Closed { outcome };
        match self {
            Self::RestoreRequested { .. } => Mark::Opened { verb: "restore" },
            Self::ConfirmRequested => Mark::Opened { verb: "restore confirm" },
            Self::RollBackRequested => Mark::Opened { verb: "restore roll-back" },
            Self::RollBackHeld => Mark::Phase { name: "putting back" },
            Self::TargetHeld => Mark::Phase { name: "restoring files" },
            Self::FilesRestored { .. } => Mark::Phase { name: "finishing" },
            Self::RestoreFailing { .. } | Self::RestoreCancelRequested | Self::RollBackFailing { .. } => {
                Mark::Phase { name: "undoing" }
            }
            Self::RestoreCompleted | Self::RestoreConfirmed | Self::RestoreRolledBack => closed(Closing::Done),
            Self::RestoreCompletedWithExceptions { reason } | Self::RestoreRolledBackWithExceptions { reason } => {
                closed(Closing::DoneWithExceptions { reason: reason.clone() })
            }
            Self::RestoreFailed { reason } | Self::ConfirmFailed { reason } | Self::RollBackFailed { reason } => {
                closed(Closing::Failed { reason: reason.clone() })
            }
            Self::RestoreStuck { reason } => closed(Closing::Stuck { reason: reason.clone() }),
            Self::RestoreCancelled => closed(Closing::Cancelled),
            Self::BackupPinned
            | Self::TargetAsked
            | Self::TargetStartFailed { .. }
            | Self::RootReverted
            | Self::OldFilesDiscarded
            | Self::FilesLeft { .. }
            | Self::TargetCreated
            | Self::TargetStopped
            | Self::RootExchanged
            | Self::FilesRemoved
            | Self::TargetUnheld
            | Self::TargetRemoved
            | Self::TargetStarted
            | Self::TargetHeldStill
            | Self::TargetSettled
            | Self::TargetLeftStopped
            | Self::TargetStillHeld { .. }
            | Self::BackupUnpinned => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::RestoreRequested { backup, .. } => format!("restore of backup {} requested", backup.short()),
            Self::BackupPinned => "backup pinned".to_owned(),
            Self::TargetAsked => "waiting for the container".to_owned(),
            Self::TargetStartFailed { reason } => format!("container could not be started: {reason}"),
            Self::RestoreCancelRequested => "called off".to_owned(),
            Self::RestoreCompletedWithExceptions { reason } => format!("restore completed, but {reason}"),
            Self::RollBackRequested => "roll-back requested".to_owned(),
            Self::RollBackHeld => "container held for the roll-back".to_owned(),
            Self::RootReverted => "old files put back in place".to_owned(),
            Self::RollBackFailing { reason } => format!("roll-back failing: {reason}"),
            Self::RestoreRolledBack => "restore rolled back".to_owned(),
            Self::RestoreRolledBackWithExceptions { reason } => format!("restore rolled back, but {reason}"),
            Self::RollBackFailed { reason } => format!("roll-back failed: {reason}"),
            Self::TargetCreated => "new container made".to_owned(),
            Self::TargetStopped => "container stopped".to_owned(),
            Self::TargetHeld => "container held".to_owned(),
            Self::TargetHeldStill => "nothing starts the container now".to_owned(),
            Self::TargetSettled => "nothing to be started".to_owned(),
            Self::TargetLeftStopped => "container left stopped: it was paused".to_owned(),
            Self::FilesRestored { entries, written, left_out, .. } if left_out.is_empty() => {
                format!("{entries} entries restored, {written}")
            }
            Self::FilesRestored { entries, written, left_out, .. } => {
                format!("{entries} entries restored, {written}; left out: {left_out}")
            }
            Self::RootExchanged => "restored files put in place, old ones kept".to_owned(),
            Self::RestoreFailing { reason } => format!("failing: {reason}"),
            Self::FilesRemoved => "unfinished files removed".to_owned(),
            Self::TargetUnheld => "container no longer held".to_owned(),
            Self::TargetStillHeld { reason } => format!("container could not be let go: {reason}"),
            Self::TargetRemoved => "no new container is left".to_owned(),
            Self::FilesLeft { reason } => format!("unfinished files are left: {reason}"),
            Self::TargetStarted => "container started".to_owned(),
            Self::BackupUnpinned => "backup unpinned".to_owned(),
            Self::RestoreCompleted => "restore completed".to_owned(),
            Self::RestoreFailed { reason } => format!("restore failed: {reason}"),
            Self::RestoreStuck { reason } => format!("restore stuck: {reason}"),
            Self::RestoreCancelled => "restore cancelled".to_owned(),
            Self::ConfirmRequested => "confirmation requested".to_owned(),
            Self::OldFilesDiscarded => "old files gone from the disk".to_owned(),
            Self::RestoreConfirmed => "restore confirmed, old files removed".to_owned(),
            Self::ConfirmFailed { reason } => format!("old files could not be removed: {reason}"),
        }
    }
}
