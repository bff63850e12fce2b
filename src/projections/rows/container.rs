//! A container: what it is, what is being done with it, who holds it and what it uses.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{Change, LastBackup, OpenOperation};
use crate::events::{Configuration, Exit, HoldKind, InitKind, Lease, ProcessIdentity};
use crate::types::{
    BackupId, ContainerId, DiskFaults, HostName, IdRange, ManagedFile, Name, OperationId, Position, RunId, Timestamp,
    Usage,
};

words! {
    /// Says what a container is, or what is being done with it.
    ContainerState {
        /// It is being made.
        Creating = "creating",
        /// It could not be made; nothing is left of it.
        Failed = "failed",
        /// It stands still.
        Stopped = "stopped",
        /// It is being started.
        Starting = "starting",
        /// Its init runs.
        Running = "running",
        /// It is being stopped.
        Stopping = "stopping",
        /// It is being stopped and will be started again.
        Restarting = "restarting",
        /// It is being paused.
        Pausing = "pausing",
        /// It is frozen.
        Paused = "paused",
        /// It is being let go on.
        Resuming = "resuming",
        /// It is being buried.
        Deleting = "deleting",
        /// It lies in its grave.
        Deleted = "deleted",
        /// It is being taken back.
        Undeleting = "undeleting",
        /// It is being removed for good.
        Purging = "purging",
        /// Nothing is left of it but its history.
        Purged = "purged",
        /// A person has to look.
        Stuck = "stuck",
    }
}

/// Is an operation that keeps others from a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldRow {
    /// Which operation.
    pub operation: OperationId,
    /// What it keeps others from.
    pub kind: HoldKind,
    /// Since when.
    pub since: Timestamp,
    /// Who asked for it.
    pub by: String,
}

/// Is how often a container ran into its limits since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitHits {
    /// Processes that the kernel ended for want of memory.
    pub kills: u64,
    /// When that was told last.
    pub killed_at: Option<Timestamp>,
    /// The names of some of those told last, where the kernel tells.
    pub victims: Vec<String>,
    /// Times that a new process was refused.
    pub refused: u64,
    /// When that was told last.
    pub refused_at: Option<Timestamp>,
    /// Times that its disk was found to have become full.
    pub filled: u64,
    /// When that was told last.
    pub filled_at: Option<Timestamp>,
    /// Whether it is full, as far as was told.
    pub disk_full: bool,
    /// What its file system counts of writes that failed.
    pub disk_faults: DiskFaults,
    /// When that was told last.
    pub disk_faulted_at: Option<Timestamp>,
}

/// Is one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// Its id.
    pub id: ContainerId,
    /// Its name; of a deleted one the last it had.
    pub name: Name,
    /// The names it had before, oldest first.
    pub former_names: Vec<Name>,
    /// What it is, or what is being done with it.
    pub state: ContainerState,
    /// What it is apart from what is being done with it: `stopped`, `running`, `paused`, `deleted` …
    pub rest: ContainerState,
    /// Since when it is in that state, by whom, why.
    pub change: Change,
    /// Why it is stuck or failed, or stands still without anybody asking for it.
    pub reason: Option<String>,
    /// What the user wanted of it, with the limits of now.
    pub configuration: Configuration,
    /// The digest of its template.
    pub template_digest: Option<String>,
    /// The init of its template.
    pub init_kind: Option<InitKind>,
    /// Its ids on the host.
    pub ids: Option<IdRange>,
    /// Its place on the network.
    pub lease: Option<Lease>,
    /// Its init while it runs.
    pub init: Option<ProcessIdentity>,
    /// When its init started, while it runs.
    pub started_at: Option<Timestamp>,
    /// Its host name of now, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname_now: Option<HostName>,
    /// Whether its init said that all is up.
    pub ready: bool,
    /// What was not as it should be when it started, while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Which files of its `/etc` were left as it has them when it started, while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<ManagedFile>,
    /// How many times in a row it has started again by itself.
    #[serde(default)]
    pub restarts: u32,
    /// When it starts again, while it stands still before that.
    #[serde(default)]
    pub restarts_at: Option<Timestamp>,
    /// How its init ended last.
    pub last_exit: Option<Exit>,
    /// How often it ran into its limits in this run, or in its last one.
    #[serde(default)]
    pub hits: LimitHits,
    /// Who keeps others from it.
    pub holds: Vec<HoldRow>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// Until when it can be taken back, while it lies in its grave.
    pub deleted_until: Option<Timestamp>,
    /// Since when that time runs, and by which event: when it was deleted, or last could not be taken back.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// The event of `deleted_at`.
    #[serde(default)]
    pub deleted_position: Option<Position>,
    /// The backup whose files it has, if it was restored. *Joined.*
    pub restored_from: Option<BackupId>,
    /// The restores in place whose files of before are kept until somebody confirms, or rolls back. *Joined.*
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<RunId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
    /// The name of its template. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_name: Option<Name>,
    /// The name of its network. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_name: Option<Name>,
    /// Its newest whole backup. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,
    /// What it uses while it runs. *Joined*, by the API alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl ContainerRow {
    /// Says whether it stands still, or is about to, because the host has no room for its disk. Of all that runs only that
    /// has a reason.
    pub fn is_short_of_room(&self) -> bool {
        matches!(self.rest, ContainerState::Running | ContainerState::Paused) && self.reason.is_some()
    }
}
