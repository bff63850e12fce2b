//! The rows of the read models, used unchanged by the API, the CLI and reads with the daemon down.
//!
//! A row is what the fold of the log makes of one thing. Fields marked *joined* are not in the stored row: the query
//! fills them in, because they belong to another thing or change with the time. Rows are data, no rules.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::events::{
    BackupMode, BackupOutcome, BatchAction, Closing, Configuration, EventReference, Exit, HoldKind, InitKind, Lease,
    MaintenanceAction, MaintenanceResult, ProcessIdentity, RestoreTarget, ScheduleDefinition, TemplateSource,
    TemplateSummary,
};
use crate::types::{
    BackupId, ContainerId, MacAddress, Name, NetworkId, NodeId, OperationId, Position, RunId, ScheduleId, SessionId,
    Size, Span, StoreId, StreamName, Subnet, TemplateId, Timestamp, Version,
};

/// Makes an enum of words that print as they are written in JSON.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Lists every word.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

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

words! {
    /// Says what a template, network or store is.
    ThingState {
        /// It is being made.
        Creating = "creating",
        /// It could not be made.
        Failed = "failed",
        /// It can be used.
        Ready = "ready",
        /// It is being removed.
        Deleting = "deleting",
        /// It is gone.
        Deleted = "deleted",
        /// It could not be removed: a person has to look.
        Stuck = "stuck",
    }
}

words! {
    /// Says what a schedule is.
    ScheduleState {
        /// Its name is being reserved.
        Creating = "creating",
        /// It could not be made.
        Failed = "failed",
        /// It fires.
        Enabled = "enabled",
        /// It does not fire until enabled.
        Disabled = "disabled",
        /// It is being removed.
        Deleting = "deleting",
        /// It is gone.
        Deleted = "deleted",
    }
}

words! {
    /// Says how an operation, or a run, stands.
    OperationState {
        /// It has been asked for and waits for its turn.
        Waiting = "waiting",
        /// It is under way.
        Running = "running",
        /// It ended as asked.
        Done = "done",
        /// It ended as asked but for some parts.
        Partly = "partly",
        /// It came to nothing.
        Failed = "failed",
        /// There was nothing to do.
        Skipped = "skipped",
        /// It was called off.
        Cancelled = "cancelled",
        /// It is neither done nor undone.
        Stuck = "stuck",
    }
}

impl OperationState {
    /// Returns the state and the reason that an outcome stands for.
    pub fn of(outcome: &Closing) -> (Self, Option<String>) {
        match outcome {
            Closing::Done => (Self::Done, None),
            Closing::DoneWithExceptions { reason } => (Self::Partly, Some(reason.clone())),
            Closing::Failed { reason } => (Self::Failed, Some(reason.clone())),
            Closing::Skipped { reason } => (Self::Skipped, Some(reason.clone())),
            Closing::Cancelled => (Self::Cancelled, None),
            Closing::Stuck { reason } => (Self::Stuck, Some(reason.clone())),
        }
    }

    /// Says whether it is over.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// Is the last thing that happened to a row's thing: since when it is so, by whom, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub since: Timestamp,
    /// Who caused it.
    pub by: String,
    /// The fact in words.
    pub why: String,
}

/// Is the operation under way on a thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenOperation {
    /// Which.
    pub operation: OperationId,
    /// What it does.
    pub verb: String,
    /// How far it is.
    pub phase: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Is a range of ids on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRangeRow {
    /// The first.
    pub base: u32,
    /// How many.
    pub count: u32,
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

/// Is what a running container uses at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Times that the kernel ended a process for want of memory.
    pub out_of_memory_kills: Option<u64>,
    /// Microseconds of processor time since the start.
    pub cpu_micros: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes of its own files.
    pub disk: Option<u64>,
}

/// Is the newest whole backup of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastBackup {
    /// Which.
    pub backup: BackupId,
    /// In which store.
    pub store: StoreId,
    /// When its content was frozen.
    pub taken_at: Timestamp,
    /// How good it is.
    pub outcome: BackupOutcome,
    /// When it was last read again and found whole.
    pub verified_at: Option<Timestamp>,
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
    /// Why it is stuck or failed, if so.
    pub reason: Option<String>,
    /// What the user wanted of it, with the limits of now.
    pub configuration: Configuration,
    /// The digest of its template.
    pub template_digest: Option<String>,
    /// The init of its template.
    pub init_kind: Option<InitKind>,
    /// Its ids on the host.
    pub ids: Option<IdRangeRow>,
    /// Its place on the network.
    pub lease: Option<Lease>,
    /// Its init while it runs.
    pub init: Option<ProcessIdentity>,
    /// When its init started, while it runs.
    pub started_at: Option<Timestamp>,
    /// Whether its init said that all is up.
    pub ready: bool,
    /// How its init ended last.
    pub last_exit: Option<Exit>,
    /// Who keeps others from it.
    pub holds: Vec<HoldRow>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// Until when it can be taken back, while it lies in its grave.
    pub deleted_until: Option<Timestamp>,
    /// The backup whose files it has, if it was restored.
    pub restored_from: Option<BackupId>,
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
    pub usage: Option<UsageRow>,
}

/// Is a difference between a template's tree and its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftRow {
    /// The first few paths.
    pub paths: Vec<String>,
    /// How many differ.
    pub count: u64,
    /// When that was found.
    pub found_at: Timestamp,
}

/// Is one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// Its id.
    pub id: TemplateId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ThingState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed or is stuck, if so.
    pub reason: Option<String>,
    /// Where it comes from.
    pub source: TemplateSource,
    /// What it holds, once sealed.
    pub summary: Option<TemplateSummary>,
    /// The streams of those who use it.
    pub users: Vec<String>,
    /// When it was last compared with its digest and found the same.
    pub verified_at: Option<Timestamp>,
    /// What the last comparison found, if anything.
    pub drift: Option<DriftRow>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
}

/// Is one address given out by a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The stream of the holder.
    pub holder: String,
    /// The address.
    pub address: IpAddr,
    /// The link address.
    pub mac: MacAddress,
    /// Since when.
    pub since: Timestamp,
    /// The name of the container that has it. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}

/// Is one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRow {
    /// Its id.
    pub id: NetworkId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ThingState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed or is stuck, if so.
    pub reason: Option<String>,
    /// Its addresses.
    pub subnet: Subnet,
    /// The way out.
    pub gateway: IpAddr,
    /// The bridge on the host.
    pub bridge: String,
    /// Who has which address.
    pub leases: Vec<LeaseRow>,
    /// What the host lacks for it, or what stands in its way, with what helps.
    #[serde(default)]
    pub shortcomings: Vec<String>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
}

/// Is one backup store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreRow {
    /// Its id.
    pub id: StoreId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ThingState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed, if so.
    pub reason: Option<String>,
    /// The directory.
    pub path: String,
    /// The repository's own id.
    pub repository: Option<String>,
    /// Enough of the recovery key's hash to recognise it by.
    pub recovery_fingerprint: Option<String>,
    /// Whether somebody said that the recovery key is in a safe place.
    pub recovery_key_confirmed: bool,
    /// The operations that write to it.
    pub writers: Vec<OperationId>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
    /// How many backups it has. *Joined.*
    #[serde(default)]
    pub backups: u64,
    /// By how many bytes they made it grow. *Joined.*
    #[serde(default)]
    pub stored: Size,
}

/// Is one finished backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupRow {
    /// Its id.
    pub id: BackupId,
    /// The run that made it.
    pub run: RunId,
    /// Of which container.
    pub container: ContainerId,
    /// The name the container had then.
    pub container_name: Name,
    /// In which store.
    pub store: StoreId,
    /// When its content was frozen.
    pub taken_at: Timestamp,
    /// How much was read again.
    pub mode: BackupMode,
    /// What it was compared with.
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
    /// Who asked for it.
    pub by: String,
    /// When it was last read again and found whole.
    pub verified_at: Option<Timestamp>,
    /// What the last reading found damaged, if anything.
    pub damage: Option<String>,
    /// The operations that read it.
    pub pins: Vec<OperationId>,
    /// The operation that made it.
    pub operation: OperationId,
    /// When it was recorded.
    pub committed_at: Timestamp,
    /// The last event in this row.
    pub position: Position,
    /// The name of the store. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_name: Option<Name>,
}

/// Is one run of a restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreRow {
    /// Its id.
    pub id: RunId,
    /// Which backup.
    pub backup: BackupId,
    /// The container it is of.
    pub source: ContainerId,
    /// The store that has it.
    pub store: StoreId,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether the container is to run afterwards.
    pub start: bool,
    /// How it stands.
    pub state: OperationState,
    /// How far it is.
    pub phase: Option<String>,
    /// Why it came to nothing, if so.
    pub reason: Option<String>,
    /// Entries written.
    pub entries: Option<u64>,
    /// Bytes written.
    pub written: Option<Size>,
    /// Whether the files of before are kept until confirmed or rolled back.
    pub old_files_kept: bool,
    /// Whether it was confirmed.
    pub confirmed: bool,
    /// Whether it was rolled back.
    #[serde(default)]
    pub rolled_back: bool,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The operation.
    pub operation: OperationId,
    /// The last event in this row.
    pub position: Position,
    /// The name of the source. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_name: Option<Name>,
}

/// Is one run of maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceRow {
    /// Its id.
    pub id: RunId,
    /// What is done.
    pub action: MaintenanceAction,
    /// On which container.
    pub container: ContainerId,
    /// How it stands.
    pub state: OperationState,
    /// How far it is.
    pub phase: Option<String>,
    /// Why it came to nothing, or what it found, if so.
    pub reason: Option<String>,
    /// What came of it.
    pub result: Option<MaintenanceResult>,
    /// The stream that waits for it.
    pub parent: Option<StreamName>,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The operation.
    pub operation: OperationId,
    /// The last event in this row.
    pub position: Position,
    /// The name of the container. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}

/// Is one container of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchMemberRow {
    /// Which container.
    pub container: ContainerId,
    /// Its run.
    pub run: RunId,
    /// The run's operation.
    pub operation: OperationId,
    /// The backup, where one is made.
    pub backup: BackupId,
    /// How it stands.
    pub state: OperationState,
    /// Why it came to nothing, if so.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The name of the container. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}

/// Is one request for many containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRow {
    /// Its id.
    pub id: RunId,
    /// What is done with each.
    pub action: BatchAction,
    /// With whom.
    pub members: Vec<BatchMemberRow>,
    /// The schedule behind it.
    pub schedule: Option<Name>,
    /// How many at the same time.
    pub parallel: u32,
    /// How it stands.
    pub state: OperationState,
    /// What did not work, if anything.
    pub reason: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The operation.
    pub operation: OperationId,
    /// The last event in this row.
    pub position: Position,
}

words! {
    /// Says what became of a slot.
    SlotFate {
        /// A batch carries it out, or did.
        Fired = "fired",
        /// It was let go.
        Skipped = "skipped",
        /// Nobody was there to fire it.
        Missed = "missed",
    }
}

/// Is one slot of a schedule, or a row of missed ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRow {
    /// The planned moment; of several missed ones the last.
    pub slot: Timestamp,
    /// What became of it.
    pub fate: SlotFate,
    /// How many slots this stands for.
    pub count: u64,
    /// Why it was skipped or missed.
    pub reason: Option<String>,
    /// The batch, if it was fired.
    pub batch: Option<RunId>,
    /// The batch's operation.
    pub operation: Option<OperationId>,
    /// Whether the batch has been asked for.
    pub started: bool,
    /// How the batch ended, once it has.
    pub outcome: Option<Closing>,
    /// When this was recorded.
    pub recorded_at: Timestamp,
}

impl SlotRow {
    /// Returns a slot that was let go.
    pub(super) fn skipped(slot: Timestamp, reason: &str) -> Self {
        Self { fate: SlotFate::Skipped, ..Self::missed(slot, 1, reason) }
    }

    /// Returns slots that nobody fired.
    pub(super) fn missed(slot: Timestamp, count: u64, reason: &str) -> Self {
        Self {
            slot,
            fate: SlotFate::Missed,
            count,
            reason: Some(reason.to_owned()),
            batch: None,
            operation: None,
            started: false,
            outcome: None,
            recorded_at: slot,
        }
    }
}

/// Is one schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its id.
    pub id: ScheduleId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ScheduleState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed, if so.
    pub reason: Option<String>,
    /// What it does and when.
    pub definition: ScheduleDefinition,
    /// Counts how often its slots began anew (defined, enabled), from 1.
    pub revision: u64,
    /// From when on its slots count.
    pub from: Timestamp,
    /// The last slot that was fired, skipped or missed.
    pub last_slot: Option<Timestamp>,
    /// The last slot that was let wait, until it can be carried out or is missed.
    pub deferred: Option<Timestamp>,
    /// Its newest slots, oldest first, at most thirty-two; those not over are always among them.
    pub slots: Vec<SlotRow>,
    /// How many slots were fired.
    pub fired: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// How many were missed.
    pub missed: u64,
    /// What is under way with the schedule itself.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
    /// When it fires next, jitter included. *Joined*, by the API alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// The name of the store it backs up into. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_name: Option<Name>,
}

impl ScheduleRow {
    /// Returns the fired slots whose batch has not ended.
    pub fn running(&self) -> impl Iterator<Item = &SlotRow> {
        self.slots.iter().filter(|slot| slot.fate == SlotFate::Fired && slot.outcome.is_none())
    }
}

/// Is one session inside a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// In which container.
    pub container: ContainerId,
    /// The user inside.
    pub user: String,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Who opened it.
    pub by: String,
    /// When.
    pub opened_at: Timestamp,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// The exit code, if it is known.
    pub code: Option<i32>,
    /// How it is known to be over, if not by who was in it.
    pub reason: Option<String>,
    /// The operation.
    pub operation: OperationId,
    /// The last event in this row.
    pub position: Position,
    /// The name of the container. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<Name>,
}

/// Is one operation as seen from one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Its id.
    pub id: OperationId,
    /// The stream whose saga it is.
    pub stream: StreamName,
    /// What it does.
    pub verb: String,
    /// What it is about: the stream of a container, template, store …; of a run on a container, the container's.
    pub target: StreamName,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub opened_at: Timestamp,
    /// How far it is, or was when it ended.
    pub phase: Option<String>,
    /// Since when it is in that phase.
    pub phase_since: Timestamp,
    /// How it stands.
    pub state: OperationState,
    /// Why it did not end as asked, if so.
    pub reason: Option<String>,
    /// The first failure of a step that was tried again.
    #[serde(default)]
    pub first_failure: Option<String>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// The saga that waits for it.
    pub parent: Option<StreamName>,
    /// Whether that saga still has to be told.
    pub owes_notice: bool,
    /// The place of its first event.
    pub opened: Position,
    /// The last event in this row.
    pub position: Position,
    /// The name of the target. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_name: Option<Name>,
}

/// Is this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its id.
    pub id: NodeId,
    /// The host name when the state directory was made.
    pub hostname: String,
    /// The eight hexadecimal digits that mark what this daemon makes on the host.
    pub instance: String,
    /// The kernel's id of the last boot.
    pub boot: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// When that boot was found.
    pub booted_at: Option<Timestamp>,
    /// The version of the daemon that was started last.
    pub version: Option<String>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended in order; nothing while it runs, or when it was killed.
    pub stopped_at: Option<Timestamp>,
    /// How many id ranges are given out.
    pub id_ranges: u64,
    /// The last event in this row.
    pub position: Position,
}

/// Is one event, in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place there.
    pub version: Version,
    /// Its name.
    pub kind: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub who: String,
    /// How they were recognised.
    pub how: String,
    /// The operation.
    pub operation: OperationId,
    /// The fact in words.
    pub sentence: String,
    /// The name of the thing the stream tells about. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Is one event with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDetail {
    /// The event in words.
    #[serde(flatten)]
    pub row: EventRow,
    /// Which shape its body has.
    pub schema: u16,
    /// The fact.
    pub body: Value,
    /// What stands beside it and may be redacted: JSON where it is some, else text.
    pub annex: Option<Value>,
    /// What the wall clock said.
    pub wall_clock: Timestamp,
    /// The boot.
    pub boot: String,
    /// The node.
    pub node: NodeId,
    /// The event that led to it.
    pub causation: Option<EventReference>,
    /// The RFC 6962 leaf hash, in hexadecimal.
    pub leaf: String,
}

/// Is something to worry about in a container's backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageWarning {
    /// A stable word: `none`, `no-schedule`, `missed`, `failed`, `unverified`, `damaged`, `exceptions`,
    /// `recovery-key`.
    pub code: String,
    /// What it means here.
    pub text: String,
}

/// Is how well one container is covered by backups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverageRow {
    /// Which container.
    pub container: ContainerId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ContainerState,
    /// Its newest whole backup.
    pub last_backup: Option<LastBackup>,
    /// The name of the store that has it.
    pub store_name: Option<Name>,
    /// How old that backup is.
    pub age: Option<Span>,
    /// How many backups there are.
    pub backups: u64,
    /// The schedules that back it up.
    pub schedules: Vec<Name>,
    /// When the first of them fires next. *Joined*, by the API alone.
    pub next_run: Option<Timestamp>,
    /// What to worry about.
    pub warnings: Vec<CoverageWarning>,
}

/// Says up to where a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The last event in it.
    pub position: Position,
    /// When that was recorded; nothing for an empty log.
    pub time: Option<Timestamp>,
}
