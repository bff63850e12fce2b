//! What one aggregate may ask of another, and what it gets to know.
//!
//! A flat list: each aggregate takes what is meant for it by `TryFrom<Asked>`, so that no domain module imports another.
//! Asks are idempotent by operation and step, because recovery asks again: what was taken once is answered, not done again,
//! whatever became of it meanwhile. Where an operation of its own begins with an ask, its id follows from the asker's
//! operation and step, so that its end is never taken for the end of another.

use super::Step;
use crate::events::{
    AddressRequest, BackupMode, BackupSummary, BatchAction, BatchMember, Closing, Configuration, HoldKind, InitKind,
    Lease, MaintenanceAction,
};
use crate::types::{BackupId, ContainerId, Name, OperationId, Principal, RunId, StoreId, StreamName, Timestamp};

/// Is an ask with what the edge drew for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What is asked.
    pub ask: Ask,
    /// By which stream.
    pub by: StreamName,
    /// For which operation; its own, where one begins with it.
    pub operation: OperationId,
    /// At which step of the asker's plan.
    pub step: Step,
    /// When.
    pub at: Timestamp,
    /// On whose behalf.
    pub principal: Principal,
}

/// Is a command to another aggregate.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Directory: the name belongs to the asking stream.
    ReserveName(Name),
    /// Directory: the asking stream has no name any more.
    ReleaseName,
    /// Directory: the asking stream has another name.
    ExchangeName(Name),
    /// Node: a range of ids belongs to the asking stream.
    ClaimIdRange,
    /// Node: it has none any more.
    ReleaseIdRange,
    /// Template: the asking stream uses it.
    ClaimTemplate,
    /// Template: it does not use it any more.
    ReleaseTemplate,
    /// Network: an address belongs to the asking stream.
    LeaseAddress(AddressRequest),
    /// Network: it has none any more.
    ReleaseAddress,
    /// Container: make it.
    CreateContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: Name,
        /// What it is to be.
        configuration: Box<Configuration>,
    },
    /// Container: start it; the asker is told when it is done.
    StartContainer,
    /// Container: stop it for a while; the asker is told when it is done, if it runs at all.
    StopContainer,
    /// Container: let others at it, and go on as you were before that stop, unless somebody wanted otherwise; the asker is
    /// told when it is done.
    CarryOn {
        /// The asker's operation, which holds it.
        holder: OperationId,
        /// Whether files of before stay beside its own.
        keeping: bool,
    },
    /// Container: no files of before are left beside yours.
    ReleaseOldFiles,
    /// Container: remove a container that the asker made, without a grave.
    RemoveContainer,
    /// Container: keep others from it.
    Hold(HoldKind),
    /// Container: let others at it.
    Unhold,
    /// Store: a writer comes.
    OpenWriter,
    /// Store: the writer is done.
    CloseWriter,
    /// Backup group: a backup will come.
    AdmitBackup,
    /// Backup group: it will not.
    WithdrawBackup,
    /// Backup group: here it is.
    CommitBackup(Box<BackupSummary>),
    /// Backup group: this backup stays while it is read.
    PinBackup(BackupId),
    /// Backup group: it is not read any more.
    UnpinBackup(BackupId),
    /// Backup group: a backup was read again.
    RecordVerification {
        /// Which.
        backup: BackupId,
        /// What is damaged, if anything.
        damage: Option<String>,
    },
    /// Backup job: begin.
    RequestBackup {
        /// The id of the run.
        id: RunId,
        /// Of which container.
        container: ContainerId,
        /// Into which store.
        store: StoreId,
        /// How much is to be read.
        mode: BackupMode,
        /// The id it will have.
        backup: BackupId,
        /// The schedule behind it.
        schedule: Option<Name>,
    },
    /// Maintenance: begin.
    RequestMaintenance {
        /// The id of the run.
        id: RunId,
        /// What is to be done.
        action: MaintenanceAction,
    },
    /// Batch: begin.
    RequestBatch {
        /// The id of the batch.
        id: RunId,
        /// What.
        action: BatchAction,
        /// For whom.
        members: Vec<BatchMember>,
        /// The schedule behind it.
        schedule: Name,
        /// How many at the same time.
        parallel: u32,
    },
    /// Backup job, maintenance: call the run off; its end is told as ever.
    CancelRun,
    /// Any saga: something it waits for is over.
    ChildFinished {
        /// The child's stream.
        child: StreamName,
        /// The child's operation.
        operation: OperationId,
        /// How it ended.
        outcome: Closing,
    },
}

/// Is what the asker gets to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is so, or has begun.
    Accepted,
    /// It was so already: nobody will tell of its end.
    AlreadySo,
    /// It was paused before, and is left stopped.
    LeftStopped,
    /// These ids.
    IdRange {
        /// The first.
        base: u32,
        /// How many.
        count: u32,
    },
    /// This template.
    Template {
        /// Its digest.
        digest: String,
        /// Its init.
        init: Option<InitKind>,
    },
    /// This address.
    Lease(Box<Lease>),
    /// This container.
    Held {
        /// Its name.
        name: Name,
        /// What it is.
        configuration: Box<Configuration>,
        /// The digest of its template.
        template_digest: String,
    },
    /// The backup to compare with.
    Base(Option<BackupId>),
}

impl Asked {
    /// Returns what makes a repetition recognisable: the same step of the same operation is the same ask.
    pub fn key(&self) -> String {
        format!("ask/{}/{}/{}", self.by, self.operation, self.step)
    }
}

impl Ask {
    /// Returns the operation that the other aggregate works under.
    ///
    /// What a container is asked to become is an operation of its own: one saga asks several of them, and each tells its
    /// end. Runs and batches come with an operation that was drawn for them.
    pub fn operation(&self, asker: OperationId, step: Step) -> OperationId {
        match self {
            Self::CreateContainer { .. } | Self::StartContainer | Self::StopContainer | Self::CarryOn { .. } => {
                OperationId::derived(&format!("{asker}/{step}"))
            }
            _ => asker,
        }
    }

    /// Returns the ask's name for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReserveName(_) => "reserve name",
            Self::ReleaseName => "release name",
            Self::ExchangeName(_) => "exchange name",
            Self::ClaimIdRange => "claim id range",
            Self::ReleaseIdRange => "release id range",
            Self::ClaimTemplate => "claim template",
            Self::ReleaseTemplate => "release template",
            Self::LeaseAddress(_) => "lease address",
            Self::ReleaseAddress => "release address",
            Self::CreateContainer { .. } => "create container",
            Self::StartContainer => "start container",
            Self::StopContainer => "stop container",
            Self::CarryOn { .. } => "carry on",
            Self::ReleaseOldFiles => "release old files",
            Self::RemoveContainer => "remove container",
            Self::Hold(_) => "hold",
            Self::Unhold => "unhold",
            Self::OpenWriter => "open writer",
            Self::CloseWriter => "close writer",
            Self::AdmitBackup => "admit backup",
            Self::WithdrawBackup => "withdraw backup",
            Self::CommitBackup(_) => "commit backup",
            Self::PinBackup(_) => "pin backup",
            Self::UnpinBackup(_) => "unpin backup",
            Self::RecordVerification { .. } => "record verification",
            Self::RequestBackup { .. } => "request backup",
            Self::RequestMaintenance { .. } => "request maintenance",
            Self::RequestBatch { .. } => "request batch",
            Self::CancelRun => "cancel run",
            Self::ChildFinished { .. } => "child finished",
        }
    }
}
