//! Facts about one run of maintenance on a container: defragmentation, update check, verification of a backup.

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{BackupId, Category, ContainerId, RunId, Size, StoreId, StreamName};

/// Says what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum MaintenanceAction {
    /// Put the files of the container's disk in order and give unused blocks back.
    Defragment {
        /// Whose disk.
        container: ContainerId,
    },
    /// Ask the package manager inside what is pending.
    UpdateCheck {
        /// In which container.
        container: ContainerId,
    },
    /// Read a backup again, to the last byte.
    Verify {
        /// Of which container.
        container: ContainerId,
        /// In which store.
        store: StoreId,
        /// Which backup.
        backup: BackupId,
    },
}

/// Is one package that waits for its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpdate {
    /// The package.
    pub package: String,
    /// What is installed.
    pub installed: String,
    /// What is to be had.
    pub candidate: String,
    /// Whether it mends a security fault.
    pub security: bool,
}

/// Says what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum MaintenanceResult {
    /// The disk is in order.
    Defragmented {
        /// Pieces of its files before, beyond one for each file.
        fragments_before: u64,
        /// The same after.
        fragments_after: u64,
        /// Bytes of the image on the host before.
        allocated_before: Size,
        /// Bytes of the image on the host after.
        allocated_after: Size,
    },
    /// The package manager answered.
    UpdatesListed {
        /// Which one.
        manager: String,
        /// What waits, security first; at most two hundred are recorded.
        pending: Vec<PendingUpdate>,
        /// How many wait in all.
        count: u64,
        /// How many of them mend security faults.
        security: u64,
        /// Why the lists may be out of date, in the package manager's words.
        stale: Option<String>,
    },
    /// The backup is whole.
    Verified,
    /// The backup is damaged.
    Damaged {
        /// What.
        reason: String,
    },
}

/// Is a fact about a run of maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MaintenanceEvent {
    /// Somebody, or a schedule, asked for it.
    MaintenanceRequested {
        /// Its id.
        id: RunId,
        /// What.
        action: MaintenanceAction,
        /// The batch that waits for it.
        parent: Option<StreamName>,
    },
    /// Nobody else changes the container meanwhile.
    ContainerHeld,
    /// The backup stays while it is read.
    BackupPinned,
    /// Somebody called it off.
    MaintenanceCancelRequested,
    /// The work is done.
    WorkDone(MaintenanceResult),
    /// The work is not done.
    WorkFailed {
        /// Why.
        reason: String,
    },
    /// There is nothing to do it with.
    WorkSkipped {
        /// Why.
        reason: String,
    },
    /// The group knows what was found.
    GroupTold,
    /// The container is free for others.
    ContainerUnheld,
    /// The backup is not read any more.
    BackupUnpinned,
    /// All is as asked.
    MaintenanceCompleted,
    /// It found damage.
    MaintenanceCompletedWithFindings {
        /// Which.
        reason: String,
    },
    /// It did not work.
    MaintenanceFailed {
        /// Why.
        reason: String,
    },
    /// It was not possible here.
    MaintenanceSkipped {
        /// Why.
        reason: String,
    },
    /// It was called off.
    MaintenanceCancelled,
    /// The batch that waited knows.
    ParentNotified,
}

impl DomainEvent for MaintenanceEvent {
    const CATEGORY: Category = Category::Maintenance;
    const KINDS: &'static [&'static str] = kinds!(MaintenanceEvent: MaintenanceRequested, ContainerHeld, BackupPinned,
        MaintenanceCancelRequested, WorkDone, WorkFailed, WorkSkipped, GroupTold, ContainerUnheld, BackupUnpinned, MaintenanceCompleted, MaintenanceCompletedWithFindings,
        MaintenanceFailed, MaintenanceSkipped, MaintenanceCancelled, ParentNotified);

    fn mark(&self) -> Mark {
        let closed = |outcome| Mark::Closed { outcome };
        match self {
            Self::MaintenanceRequested { action, .. } => Mark::Opened { verb: action.verb() },
            Self::ContainerHeld | Self::BackupPinned => Mark::Phase { name: "working" },
            Self::MaintenanceCancelRequested => Mark::Phase { name: "ending" },
            Self::WorkDone(_) | Self::WorkFailed { .. } | Self::WorkSkipped { .. } => Mark::Phase { name: "finishing" },
            Self::MaintenanceCompleted => closed(Closing::Done),
            Self::MaintenanceCompletedWithFindings { reason } => {
                closed(Closing::DoneWithExceptions { reason: reason.clone() })
            }
            Self::MaintenanceFailed { reason } => closed(Closing::Failed { reason: reason.clone() }),
            Self::MaintenanceSkipped { reason } => closed(Closing::Skipped { reason: reason.clone() }),
            Self::MaintenanceCancelled => closed(Closing::Cancelled),
            Self::GroupTold | Self::ContainerUnheld | Self::BackupUnpinned | Self::ParentNotified => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::MaintenanceRequested { action, .. } => format!("{} requested", action.verb()),
            Self::ContainerHeld => "container held".to_owned(),
            Self::BackupPinned => "backup pinned".to_owned(),
            Self::BackupUnpinned => "backup unpinned".to_owned(),
            Self::MaintenanceCancelRequested => "called off".to_owned(),
            Self::WorkDone(result) => result.sentence(),
            Self::WorkFailed { reason } => format!("failing: {reason}"),
            Self::WorkSkipped { reason } => format!("nothing done: {reason}"),
            Self::GroupTold => "recorded with the backup".to_owned(),
            Self::ContainerUnheld => "container no longer held".to_owned(),
            Self::MaintenanceCompleted => "completed".to_owned(),
            Self::MaintenanceCompletedWithFindings { reason } => format!("completed with findings: {reason}"),
            Self::MaintenanceFailed { reason } => format!("failed: {reason}"),
            Self::MaintenanceSkipped { reason } => format!("skipped: {reason}"),
            Self::MaintenanceCancelled => "cancelled".to_owned(),
            Self::ParentNotified => "outcome told to the waiting operation".to_owned(),
        }
    }
}

impl MaintenanceAction {
    /// Returns the action as users call it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Defragment { .. } => "defragment",
            Self::UpdateCheck { .. } => "update-check",
            Self::Verify { .. } => "backup verify",
        }
    }

    /// Returns the container it is about.
    pub fn container(&self) -> ContainerId {
        match self {
            Self::Defragment { container } | Self::UpdateCheck { container } | Self::Verify { container, .. } => {
                *container
            }
        }
    }
}

impl MaintenanceResult {
    fn sentence(&self) -> String {
        match self {
            Self::Defragmented { fragments_before, fragments_after, allocated_before, allocated_after } => format!(
                "{fragments_before} fragments became {fragments_after}, {allocated_before} on the host became {allocated_after}"
            ),
            Self::UpdatesListed { manager, count, security, stale, .. } => {
                let stale =
                    stale.as_ref().map(|why| format!("; its lists may be out of date: {why}")).unwrap_or_default();
                format!("{manager}: {count} updates pending, {security} for security{stale}")
            }
            Self::Verified => "every byte is as it was written".to_owned(),
            Self::Damaged { reason } => format!("damaged: {reason}"),
        }
    }
}
