//! Facts about one container, from the first wish to the purge, and the words that they are made of.

mod configuration;
mod init;
mod limits;
mod mark;
mod sentence;

use serde::{Deserialize, Serialize};

pub use configuration::{AddressRequest, Configuration, DiskKind, Lease, RestartPolicy};
pub use init::{Exit, InitKind, KillReason, ProcessIdentity, StopReason};
pub use limits::{LimitChange, Limits};

use super::{DomainEvent, Mark, kinds};
use crate::types::{
    Category, ContainerId, DiskFaults, HostName, Managed, ManagedFile, MemoryBound, Name, NetworkId, OperationId, Size,
    Span, StreamName, Timestamp,
};

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
        /// What is not as it should be, though it runs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// Which files of its `/etc` were left as it has them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<ManagedFile>,
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
        /// How long it has until then.
        grace: Span,
        /// The saga that waits for it, if one does.
        parent: Option<StreamName>,
    },
    /// Its init has been told.
    StopSignalled,
    /// Somebody asked again for the stop that is under way.
    StopAskedAgain {
        /// When patience ends now: it only comes sooner.
        deadline: Timestamp,
        /// The saga that waits for its end, too, if one does.
        parent: Option<StreamName>,
    },
    /// It is stopped for a while only: it comes back when whoever asked lets it go on, unless somebody stops it meanwhile.
    ReturnPromised {
        /// Whether it was paused: then it does not run again by itself.
        paused: bool,
    },
    /// Somebody asked to stop it while it was stopped for a while: it stays stopped.
    ReturnCalledOff,
    /// It is not waited for any longer, and killed.
    GraceExpired {
        /// Why.
        why: KillReason,
    },
    /// Somebody asked to stop it and start it again.
    RestartRequested {
        /// When patience ends and it is killed.
        deadline: Timestamp,
        /// How long it has until then.
        grace: Span,
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
    /// It stands still between an end and a new beginning: a restart, a reboot from inside, a failure.
    ContainerHalted {
        /// How its init ended.
        exit: Exit,
        /// How many times in a row it has started again by itself, this one included; none when somebody asked.
        restarts: u32,
        /// How long it stands still: the longer, the more often.
        delay: Span,
    },
    /// It has stood still for long enough and starts again.
    RestartDue,
    /// Something else was asked for that does not wait: what was under way is over.
    OperationCalledOff {
        /// Which operation.
        operation: OperationId,
        /// What it did.
        verb: String,
        /// What was asked for instead.
        wish: String,
    },
    /// Nothing is left in the kernel of a start that was called off.
    RemainsCleared,
    /// The kernel ended processes in it for want of memory.
    ProcessesKilled {
        /// How many since this was told last.
        count: u64,
        /// How many since it started.
        total: u64,
        /// The names of some of them, as far as the kernel's log tells.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        victims: Vec<String>,
        /// Its limit, where it was that.
        limit: Option<Size>,
        /// What the last of them fell to, as far as the kernel's log tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<MemoryBound>,
    },
    /// The kernel refused it new processes and threads.
    ProcessesRefused {
        /// How many since this was told last.
        count: u64,
        /// How many since it started.
        total: u64,
        /// Its limit.
        limit: Option<u64>,
    },
    /// Its disk is full.
    DiskFilled {
        /// How large it is.
        size: Size,
        /// How many times it was found so since it started.
        times: u64,
    },
    /// Its disk has room again.
    DiskCleared,
    /// Writes to its disk failed, as when the host has no room for it: what it wrote may be lost.
    DiskFaulted {
        /// What its file system counts by now.
        faults: DiskFaults,
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
    /// The file system that its disk lies on is nearly full: it is to stand still before what it writes is lost.
    SpacePauseRequested {
        /// What was left there, less what was still to be written.
        left: Size,
    },
    /// It was to stand still for want of room on the host, and what wrote on all the same was ended.
    WritersEnded {
        /// How many processes.
        count: u64,
        /// The first of their programs.
        names: Vec<String>,
    },
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
    /// When it starts again by itself was decided.
    RestartPolicySet {
        /// When.
        policy: RestartPolicy,
    },
    /// It has another host name from its next start on.
    HostNameSet {
        /// The new one.
        hostname: HostName,
    },
    /// Whether every user inside may make user namespaces from its next start on, or its root alone, was decided.
    NestingSet {
        /// Whether.
        nesting: bool,
    },
    /// Which files of its `/etc` are written at each start was decided.
    ManagedFilesSet {
        /// Which.
        managed: Managed,
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
    /// A restore in place is about to set its present files aside, and keeps them until it is settled.
    OldFilesClaimed {
        /// Which one.
        by: StreamName,
    },
    /// Nothing of that restore lies beside its files any more.
    OldFilesReleased {
        /// Which one.
        by: StreamName,
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
    /// Which network it is in from its return on, and at which address, was chosen anew, or is again what it was.
    NetworkSet {
        /// The network, or none.
        network: Option<NetworkId>,
        /// The address there.
        address: AddressRequest,
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
    /// It stays in its grave, as it was.
    UndeleteFailed {
        /// Under which name.
        name: Name,
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

/// Says what a hold keeps others from doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldKind {
    /// It is being read: it may run, start and stop; it may not be deleted, restored or grown.
    Reading,
    /// Files are being written beside its own: it may run, start and stop; nobody else may read or change them.
    Writing,
    /// Its files change places: it may not even start.
    Exchanging,
}

impl DomainEvent for ContainerEvent {
    const CATEGORY: Category = Category::Container;
    const KINDS: &'static [&'static str] = kinds!(ContainerEvent:
        CreateRequested, NameClaimed, IdRangeClaimed, TemplateClaimed, AddressClaimed, DiskPrepared, ContainerCreated,
        CreateFailed, DiskRemoved, TemplateReleased, AddressReleased, IdRangeReleased, NameReleased, CreateUndone,
        StartRequested, ContainerStarted, ContainerReady, StartFailing, StartFailed, StopRequested, StopSignalled,
        StopAskedAgain, ReturnPromised, ReturnCalledOff, GraceExpired, RestartRequested, InitExited, ContainerStopped, ContainerHalted, RestartDue,
        ProcessesKilled, ProcessesRefused, DiskFilled, DiskCleared, DiskFaulted,
        OperationCalledOff, RemainsCleared, ContainerInterrupted, StopStuck, PauseRequested, SpacePauseRequested,
        WritersEnded, ContainerPaused, PauseFailed, ResumeRequested, ContainerResumed, ResumeFailed, LimitChangeRequested, DiskGrown, LimitsSet,
        LimitChangeFailing, LimitChangeFailed, RenameRequested, ContainerRenamed, RenameFailed, AutostartSet, RestartPolicySet, HostNameSet, NestingSet, ManagedFilesSet, LabelSet, LabelRemoved,
        HoldPlaced, HoldReleased, OldFilesClaimed, OldFilesReleased, DeleteRequested, ContainerBuried, NetworkSet, UndeleteRequested, ContainerUndeleted,
        UndeleteFailing, UndeleteFailed, PurgeRequested, ContainerPurged, PurgeStuck, UndoStuck, ParentNotified);

    fn mark(&self) -> Mark {
        mark::of(self)
    }

    fn sentence(&self) -> String {
        sentence::of(self)
    }

    fn warnings(&self) -> Vec<String> {
        sentence::warnings(self)
    }
}
