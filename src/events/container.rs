//! Facts about one container, from the first wish to the purge.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{
    Category, ContainerId, Cpus, MacAddress, Name, NetworkId, OperationId, Size, Span, StreamName, Subnet, TemplateId,
    Timestamp,
};

/// Says which program a template starts as process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitKind {
    /// systemd, stopped by SIGRTMIN+3 (systemd(1), "Signals").
    Systemd,
    /// OpenRC under its own init, stopped by SIGINT… as sysvinit is: `halt` through the control fifo, else SIGTERM.
    Openrc,
    /// busybox init, stopped by SIGUSR2.
    Busybox,
    /// Any other `/sbin/init`, stopped by SIGTERM.
    Other,
}

/// Says what holds a container's own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// A sparse image with an ext4 file system on a loop device: hard limit, own `df`.
    Image,
    /// A plain directory: no limit, for hosts without loop devices or privileges.
    Directory,
}

/// Says what a container may use at most; nothing means as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, swap included.
    pub memory: Option<Size>,
    /// Processor time.
    pub cpus: Option<Cpus>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Size of the disk.
    pub disk: Size,
}

/// Says which limits are to become what; nothing leaves a limit as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitChange {
    /// Memory; the inner nothing lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub memory: Option<Option<Size>>,
    /// Processor time.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub cpus: Option<Option<Cpus>>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub pids: Option<Option<u64>>,
    /// Size of the disk; it only grows.
    pub disk: Option<Size>,
}

/// Tells a limit that is lifted (`null`) from one that stays as it is (not there): serde takes both for nothing.
#[allow(clippy::option_option)] // Three cases, as the fields have them.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Limits {
    /// Returns these limits with `change` made.
    pub fn with(self, change: LimitChange) -> Self {
        Self {
            memory: change.memory.unwrap_or(self.memory),
            cpus: change.cpus.unwrap_or(self.cpus),
            pids: change.pids.unwrap_or(self.pids),
            disk: change.disk.unwrap_or(self.disk),
        }
    }
}

/// Says which address a container wants on its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressRequest {
    /// The next free one.
    Auto,
    /// This one and no other.
    Fixed(IpAddr),
}

/// Is what the user wanted of a container, with every default filled in at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The host name inside.
    pub hostname: Name,
    /// The template whose files it shares.
    pub template: TemplateId,
    /// What it may use.
    pub limits: Limits,
    /// What holds its own files.
    pub disk: DiskKind,
    /// The network it joins, if any.
    pub network: Option<NetworkId>,
    /// The address it wants there.
    pub address: AddressRequest,
    /// Free words to find it by.
    pub labels: BTreeMap<String, String>,
    /// Whether it starts with the node.
    pub autostart: bool,
    /// Whether root inside is root outside: explicit and dangerous.
    pub privileged: bool,
    /// Whether it may make user namespaces of its own.
    pub nesting: bool,
    /// A command to run under the built-in init instead of the template's own init.
    pub command: Option<Vec<String>>,
}

/// Is a container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which network.
    pub network: NetworkId,
    /// The bridge on the host.
    pub bridge: String,
    /// The network's addresses.
    pub subnet: Subnet,
    /// The container's address.
    pub address: IpAddr,
    /// The way out.
    pub gateway: IpAddr,
    /// Its link address.
    pub mac: MacAddress,
}

/// Identifies a process beyond the reuse of its number: pid and start time, within one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The boot in which it runs.
    pub boot: String,
    /// Its number on the host.
    pub pid: u32,
    /// Its start in clock ticks since boot (proc_pid_stat(5), field 22).
    pub started: u64,
}

/// Says how a container's init ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It returned a code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It asked for a reboot (reboot(2), "Behavior inside PID namespaces").
    Reboot,
    /// It powered itself off.
    PowerOff,
    /// The supervisor was gone too: nobody saw it.
    Unknown,
}

/// Says why a container does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Somebody asked, and it ended in time.
    Requested,
    /// Somebody asked, and it had to be killed.
    Killed,
    /// It ended by itself.
    Exited,
}

/// Says what a hold keeps others from doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldKind {
    /// It is being read: it may run, start and stop; it may not be deleted, restored or grown.
    Reading,
    /// Its files are being replaced or rearranged: it may not even start.
    Writing,
}

/// Is a fact about a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ContainerEvent {
    /// Somebody asked for a new container.
    CreateRequested {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: Name,
        /// What it is to be.
        configuration: Configuration,
        /// The saga that waits for it, if one does.
        parent: Option<StreamName>,
    },
    /// The name is its own.
    NameClaimed,
    /// The id range is its own until the purge.
    IdRangeClaimed {
        /// The first id.
        base: u32,
        /// How many.
        count: u32,
    },
    /// It is counted as a user of its template.
    TemplateClaimed {
        /// The template's digest.
        digest: String,
        /// The init that the template brings.
        init: Option<InitKind>,
    },
    /// It has an address.
    AddressClaimed(Lease),
    /// Its disk is there.
    DiskPrepared,
    /// It is there, stopped.
    ContainerCreated,
    /// It could not be made; what was begun is being undone.
    CreateFailed {
        /// Why.
        reason: String,
    },
    /// The unfinished disk is gone.
    DiskRemoved,
    /// It no longer counts as a user of its template.
    TemplateReleased,
    /// It has no address any more.
    AddressReleased,
    /// It has no id range any more.
    IdRangeReleased,
    /// It has no name any more.
    NameReleased,
    /// Nothing is left of the failed attempt.
    CreateUndone {
        /// Why it failed.
        reason: String,
    },
    /// Somebody asked to start it.
    StartRequested {
        /// The saga that waits for it, if one does.
        parent: Option<StreamName>,
    },
    /// Its init runs.
    ContainerStarted {
        /// Which process it is.
        init: ProcessIdentity,
        /// How long the host worked for it.
        took: Span,
    },
    /// Its init says that all is up.
    ContainerReady,
    /// It does not start; what was begun is being undone.
    StartFailing {
        /// Why.
        reason: String,
    },
    /// It did not start; nothing of the attempt is left running.
    StartFailed {
        /// Why.
        reason: String,
    },
    /// Somebody asked to stop it.
    StopRequested {
        /// When patience ends and it is killed.
        deadline: Timestamp,
        /// The saga that waits for it, if one does.
        parent: Option<StreamName>,
    },
    /// Its init has been told.
    StopSignalled,
    /// It did not end in time, or nobody wanted to wait.
    GraceExpired,
    /// Somebody asked to stop it and start it again.
    RestartRequested {
        /// When patience ends and it is killed.
        deadline: Timestamp,
    },
    /// Its init ended.
    InitExited {
        /// How.
        exit: Exit,
    },
    /// It does not run any more, and nothing of it is left in the kernel.
    ContainerStopped {
        /// Why.
        reason: StopReason,
        /// How its init ended.
        exit: Exit,
    },
    /// It stands still between an end and a new beginning: a restart, or a reboot from inside.
    ContainerHalted {
        /// How its init ended.
        exit: Exit,
    },
    /// The machine went down under it.
    ContainerInterrupted {
        /// The boot that found it so.
        boot: String,
    },
    /// It could not be brought to a stop.
    StopStuck {
        /// Why.
        reason: String,
    },
    /// Somebody asked to pause it.
    PauseRequested,
    /// It stands still.
    ContainerPaused,
    /// It could not be paused.
    PauseFailed {
        /// Why.
        reason: String,
    },
    /// Somebody asked to let it go on.
    ResumeRequested,
    /// It goes on.
    ContainerResumed,
    /// It could not go on.
    ResumeFailed {
        /// Why.
        reason: String,
    },
    /// Somebody asked for other limits.
    LimitChangeRequested {
        /// Which.
        change: LimitChange,
    },
    /// Its disk is larger now.
    DiskGrown {
        /// The new size.
        size: Size,
    },
    /// The limits are as asked.
    LimitsSet {
        /// All of them.
        limits: Limits,
    },
    /// The limits cannot be as asked; the old ones are being put back.
    LimitChangeFailing {
        /// Why.
        reason: String,
    },
    /// The limits stay as they were.
    LimitChangeFailed {
        /// Why.
        reason: String,
    },
    /// Somebody asked for another name.
    RenameRequested {
        /// The new one.
        name: Name,
    },
    /// It has another name.
    ContainerRenamed {
        /// The new one.
        name: Name,
    },
    /// The name was not to be had.
    RenameFailed {
        /// Why.
        reason: String,
    },
    /// Whether it starts with the node was decided.
    AutostartSet {
        /// Whether.
        autostart: bool,
    },
    /// A label was put on it.
    LabelSet {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A label was taken off.
    LabelRemoved {
        /// The key.
        key: String,
    },
    /// An operation keeps others from changing it.
    HoldPlaced {
        /// Which operation.
        operation: OperationId,
        /// What it keeps others from.
        kind: HoldKind,
    },
    /// That operation lets go.
    HoldReleased {
        /// Which operation.
        operation: OperationId,
    },
    /// Somebody asked to delete it.
    DeleteRequested {
        /// Until when it can be taken back.
        until: Timestamp,
    },
    /// It lies in its grave: no name, no address, all its files.
    ContainerBuried {
        /// Until when it can be taken back.
        until: Timestamp,
    },
    /// Somebody asked to take the deletion back.
    UndeleteRequested {
        /// Under which name.
        name: Name,
    },
    /// It is back, stopped.
    ContainerUndeleted,
    /// It cannot come back; its name is being given back.
    UndeleteFailing {
        /// Why.
        reason: String,
    },
    /// It stays in its grave.
    UndeleteFailed {
        /// Why.
        reason: String,
    },
    /// Somebody asked to remove it for good, or its time was over.
    PurgeRequested,
    /// Nothing is left of it but its history.
    ContainerPurged,
    /// It could not be removed.
    PurgeStuck {
        /// Why.
        reason: String,
    },
    /// An undo failed for good: a person has to look.
    UndoStuck {
        /// What does not work.
        reason: String,
    },
    /// The saga that waited knows.
    ParentNotified,
}

impl DomainEvent for ContainerEvent {
    const CATEGORY: Category = Category::Container;
    const KINDS: &'static [&'static str] = kinds!(ContainerEvent:
        CreateRequested, NameClaimed, IdRangeClaimed, TemplateClaimed, AddressClaimed, DiskPrepared, ContainerCreated,
        CreateFailed, DiskRemoved, TemplateReleased, AddressReleased, IdRangeReleased, NameReleased, CreateUndone,
        StartRequested, ContainerStarted, ContainerReady, StartFailing, StartFailed, StopRequested, StopSignalled, GraceExpired,
        RestartRequested, InitExited, ContainerStopped, ContainerHalted, ContainerInterrupted, StopStuck, PauseRequested,
        ContainerPaused, PauseFailed, ResumeRequested, ContainerResumed, ResumeFailed, LimitChangeRequested, DiskGrown, LimitsSet,
        LimitChangeFailing, LimitChangeFailed, RenameRequested, ContainerRenamed, RenameFailed, AutostartSet, LabelSet, LabelRemoved,
        HoldPlaced, HoldReleased, DeleteRequested, ContainerBuried, UndeleteRequested, ContainerUndeleted,
        UndeleteFailing, UndeleteFailed, PurgeRequested, ContainerPurged, PurgeStuck, UndoStuck, ParentNotified);

    fn mark(&self) -> Mark {
        if let Some(verb) = self.opens() {
            return Mark::Opened { verb };
        }
        if let Some(outcome) = self.closes() {
            return Mark::Closed { outcome };
        }
        match self {
            Self::NameClaimed | Self::IdRangeClaimed { .. } | Self::TemplateClaimed { .. } => {
                Mark::Phase { name: "claiming" }
            }
            Self::AddressClaimed(_) => Mark::Phase { name: "preparing the disk" },
            Self::CreateFailed { .. }
            | Self::StartFailing { .. }
            | Self::LimitChangeFailing { .. }
            | Self::UndeleteFailing { .. } => Mark::Phase { name: "undoing" },
            Self::ContainerHalted { .. } => Mark::Phase { name: "starting again" },
            Self::StopSignalled => Mark::Phase { name: "waiting for init" },
            Self::GraceExpired => Mark::Phase { name: "killing" },
            _ => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::CreateRequested { name, .. } => format!("container {name} requested"),
            Self::IdRangeClaimed { base, count } => format!("ids {base}+{count} claimed"),
            Self::AddressClaimed(lease) => format!("address {} claimed", lease.address),
            Self::ContainerStarted { init, took } => format!("started as process {} in {took}", init.pid),
            Self::StopRequested { .. } => "stop requested".to_owned(),
            Self::InitExited { exit } => format!("init ended: {}", exit.words()),
            Self::ContainerStopped { reason: StopReason::Killed, .. } => "stopped: killed".to_owned(),
            Self::ContainerStopped { reason: StopReason::Requested, .. } => "stopped as requested".to_owned(),
            Self::ContainerStopped { reason: StopReason::Exited, exit } => {
                format!("stopped by itself: {}", exit.words())
            }
            Self::ContainerHalted { exit } => format!("halted, starting again: {}", exit.words()),
            Self::ContainerInterrupted { .. } => "interrupted: the node went down".to_owned(),
            Self::DiskGrown { size } => format!("disk grown to {size}"),
            Self::LimitsSet { limits } => format!("limits set: {}", limits.words()),
            Self::RenameRequested { name } => format!("new name {name} requested"),
            Self::ContainerRenamed { name } => format!("renamed to {name}"),
            Self::AutostartSet { autostart: true } => "starts with the node".to_owned(),
            Self::AutostartSet { autostart: false } => "does not start with the node".to_owned(),
            Self::LabelSet { key, value } => format!("label {key}={value} set"),
            Self::LabelRemoved { key } => format!("label {key} removed"),
            Self::HoldPlaced { operation, kind: HoldKind::Reading } => {
                format!("held for reading by {}", operation.short())
            }
            Self::HoldPlaced { operation, kind: HoldKind::Writing } => {
                format!("held for writing by {}", operation.short())
            }
            Self::HoldReleased { operation } => format!("no longer held by {}", operation.short()),
            Self::ContainerBuried { until } => format!("deleted; can be taken back until {until}"),
            other => other.plain_sentence(),
        }
    }
}

impl ContainerEvent {
    fn opens(&self) -> Option<&'static str> {
        Some(match self {
            Self::CreateRequested { .. } => "create",
            Self::StartRequested { .. } => "start",
            Self::StopRequested { .. } => "stop",
            Self::RestartRequested { .. } => "restart",
            Self::PauseRequested => "pause",
            Self::ResumeRequested => "resume",
            Self::LimitChangeRequested { .. } => "set",
            Self::RenameRequested { .. } => "rename",
            Self::DeleteRequested { .. } => "delete",
            Self::UndeleteRequested { .. } => "undelete",
            Self::PurgeRequested => "purge",
            _ => return None,
        })
    }

    fn closes(&self) -> Option<Closing> {
        Some(match self {
            Self::ContainerCreated
            | Self::ContainerStarted { .. }
            | Self::ContainerStopped { .. }
            | Self::ContainerPaused
            | Self::ContainerResumed
            | Self::LimitsSet { .. }
            | Self::ContainerRenamed { .. }
            | Self::ContainerBuried { .. }
            | Self::ContainerUndeleted
            | Self::ContainerPurged => Closing::Done,
            Self::CreateUndone { reason }
            | Self::StartFailed { reason }
            | Self::PauseFailed { reason }
            | Self::ResumeFailed { reason }
            | Self::LimitChangeFailed { reason }
            | Self::RenameFailed { reason }
            | Self::UndeleteFailed { reason } => Closing::Failed { reason: reason.clone() },
            Self::StopStuck { reason } | Self::PurgeStuck { reason } | Self::UndoStuck { reason } => {
                Closing::Stuck { reason: reason.clone() }
            }
            _ => return None,
        })
    }

    /// Returns the words of facts that carry nothing but perhaps a reason.
    fn plain_sentence(&self) -> String {
        let (words, reason) = match self {
            Self::NameClaimed => ("name claimed", None),
            Self::TemplateClaimed { .. } => ("template claimed", None),
            Self::DiskPrepared => ("disk prepared", None),
            Self::ContainerCreated => ("created", None),
            Self::CreateFailed { reason } => ("could not be created, undoing", Some(reason)),
            Self::DiskRemoved => ("disk removed", None),
            Self::TemplateReleased => ("template released", None),
            Self::AddressReleased => ("address released", None),
            Self::IdRangeReleased => ("ids released", None),
            Self::NameReleased => ("name released", None),
            Self::CreateUndone { reason } => ("failed creation undone", Some(reason)),
            Self::StartRequested { .. } => ("start requested", None),
            Self::ContainerReady => ("ready", None),
            Self::StartFailing { reason } => ("does not start, undoing", Some(reason)),
            Self::StartFailed { reason } => ("start failed", Some(reason)),
            Self::StopSignalled => ("init told to stop", None),
            Self::GraceExpired => ("grace over, killing", None),
            Self::RestartRequested { .. } => ("restart requested", None),
            Self::StopStuck { reason } => ("stop stuck", Some(reason)),
            Self::PauseRequested => ("pause requested", None),
            Self::ContainerPaused => ("paused", None),
            Self::PauseFailed { reason } => ("pause failed", Some(reason)),
            Self::ResumeRequested => ("resume requested", None),
            Self::ContainerResumed => ("resumed", None),
            Self::ResumeFailed { reason } => ("resume failed", Some(reason)),
            Self::LimitChangeRequested { .. } => ("other limits requested", None),
            Self::LimitChangeFailing { reason } => ("other limits do not take, putting the old back", Some(reason)),
            Self::LimitChangeFailed { reason } => ("limits unchanged", Some(reason)),
            Self::RenameFailed { reason } => ("name unchanged", Some(reason)),
            Self::DeleteRequested { .. } => ("deletion requested", None),
            Self::UndeleteRequested { .. } => ("return from the grave requested", None),
            Self::ContainerUndeleted => ("taken back from the grave", None),
            Self::UndeleteFailing { reason } => ("cannot come back, undoing", Some(reason)),
            Self::UndeleteFailed { reason } => ("stays in its grave", Some(reason)),
            Self::PurgeRequested => ("purge requested", None),
            Self::ContainerPurged => ("purged", None),
            Self::PurgeStuck { reason } => ("purge stuck", Some(reason)),
            Self::UndoStuck { reason } => ("undo stuck", Some(reason)),
            Self::ParentNotified => ("outcome told to the waiting operation", None),
            _ => ("", None),
        };
        reason.map_or_else(|| words.to_owned(), |reason| format!("{words}: {reason}"))
    }
}

impl Exit {
    /// Returns how init ended, in words.
    pub fn words(self) -> String {
        match self {
            Self::Code(code) => format!("exit code {code}"),
            Self::Signal(signal) => format!("signal {signal}"),
            Self::Reboot => "reboot".to_owned(),
            Self::PowerOff => "power off".to_owned(),
            Self::Unknown => "exit unknown".to_owned(),
        }
    }
}

impl Limits {
    /// Returns the limits in words.
    pub fn words(self) -> String {
        let show = |value: Option<String>| value.unwrap_or_else(|| "unlimited".to_owned());
        format!(
            "memory {}, cpus {}, processes {}, disk {}",
            show(self.memory.map(|size| size.to_string())),
            show(self.cpus.map(|cpus| cpus.to_string())),
            show(self.pids.map(|pids| pids.to_string())),
            self.disk
        )
    }
}
