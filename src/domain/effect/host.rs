//! Work for the host. Every effect has *ensure* meaning: the host looks, acts and reports what is true, so that it can
//! be repeated after a crash.

use crate::events::{BackupMode, Configuration, DiskKind, InitKind, Lease, Limits, TemplateSource};
use crate::types::{BackupId, ContainerId, IdRange, Name, NetworkId, NodeId, RunId, Size, StoreId, Subnet, TemplateId};

/// Says how an init is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitSignal {
    /// As the template's init wants it.
    Of(InitKind),
    /// A command under the built-in init: SIGTERM.
    Terminate,
}

/// Is everything the host needs to know to run a container.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpecification {
    /// Which container.
    pub container: ContainerId,
    /// What the user wanted of it.
    pub configuration: Configuration,
    /// Its ids; none for a privileged container.
    pub ids: Option<IdRange>,
    /// Its place on the network.
    pub lease: Option<Lease>,
    /// The init of its template; none means that only a command can run.
    pub init: Option<InitKind>,
    /// Whether it never ran: what no two machines may share is made anew.
    pub first: bool,
}

/// Is what a backup's manifest says about the container.
#[derive(Debug, Clone, PartialEq)]
pub struct SealSpecification {
    /// Which run.
    pub run: RunId,
    /// The id of the backup.
    pub backup: BackupId,
    /// Of which container.
    pub container: ContainerId,
    /// Its name at that time.
    pub container_name: Name,
    /// What it was at that time.
    pub configuration: Configuration,
    /// The digest of its template.
    pub template_digest: String,
    /// Into which store.
    pub store: StoreId,
    /// How much was read again.
    pub mode: BackupMode,
    /// What it was compared with.
    pub base: Option<BackupId>,
    /// The schedule behind it.
    pub schedule: Option<Name>,
}

/// Is one piece of work for the host, done between two commits.
#[derive(Debug, Clone, PartialEq)]
pub enum HostEffect {
    /// The template's tree is there, sealed.
    EnsureTemplate {
        /// Which template.
        template: TemplateId,
        /// Where it comes from.
        source: TemplateSource,
    },
    /// Nothing is left of the template's tree.
    EnsureTemplateGone {
        /// Which template.
        template: TemplateId,
    },
    /// Compares the template's tree with its digest.
    VerifyTemplate {
        /// Which template.
        template: TemplateId,
        /// The digest it was sealed with.
        digest: String,
    },
    /// The container's own disk is there.
    EnsureDisk {
        /// Whose.
        container: ContainerId,
        /// What holds it.
        kind: DiskKind,
        /// How large it is at most.
        size: Size,
    },
    /// The disk has at least that size.
    EnsureDiskSize {
        /// Whose.
        container: ContainerId,
        /// What holds it.
        kind: DiskKind,
        /// The new size.
        size: Size,
    },
    /// Nothing is left of the container on disk.
    EnsureDiskGone {
        /// Whose.
        container: ContainerId,
    },
    /// The container's init runs.
    EnsureRunning(Box<RunSpecification>),
    /// Tells init to end.
    SignalInit {
        /// Whose.
        container: ContainerId,
        /// How.
        signal: InitSignal,
    },
    /// Nothing of the container is left in the kernel: no process, mount, control group, link.
    EnsureStopped {
        /// Which.
        container: ContainerId,
    },
    /// The container stands still.
    EnsurePaused {
        /// Which.
        container: ContainerId,
    },
    /// The container goes on.
    EnsureResumed {
        /// Which.
        container: ContainerId,
    },
    /// The kernel holds the running container to these limits.
    EnsureLimits {
        /// Whose.
        container: ContainerId,
        /// Which.
        limits: Limits,
    },
    /// The network's bridge, addresses and filter rules are there.
    EnsureNetwork {
        /// Which.
        network: NetworkId,
        /// The bridge that carries it.
        bridge: String,
        /// Its addresses.
        subnet: Subnet,
    },
    /// Nothing is left of the network on the host.
    EnsureNetworkGone {
        /// Which.
        network: NetworkId,
        /// The bridge that carried it.
        bridge: String,
    },
    /// The store's repository is there and opens.
    EnsureStore {
        /// Which.
        store: StoreId,
        /// The absolute path of its directory.
        path: String,
        /// Who owns it.
        node: NodeId,
    },
    /// Reads the container into the store while it may run.
    LivePass {
        /// Which run.
        run: RunId,
        /// Whose files.
        container: ContainerId,
        /// Into which store.
        store: StoreId,
        /// How much is to be read.
        mode: BackupMode,
        /// What it is compared with.
        base: Option<BackupId>,
    },
    /// Freezes the container, reads what changed since, and lets it go on.
    FrozenPass {
        /// Which run.
        run: RunId,
        /// Which container.
        container: ContainerId,
    },
    /// Makes what was read a backup.
    SealBackup(Box<SealSpecification>),
    /// Forgets a run that does not become a backup.
    DiscardBackup {
        /// Which run.
        run: RunId,
        /// Which container, which must not stay frozen.
        container: ContainerId,
    },
    /// Writes a backup's files beside the container's own.
    RestoreFiles {
        /// Which run.
        run: RunId,
        /// Which backup.
        backup: BackupId,
        /// In which store.
        store: StoreId,
        /// Into which container.
        container: ContainerId,
    },
    /// The restored files are the container's files; the old ones lie beside.
    ExchangeRoot {
        /// Which run.
        run: RunId,
        /// Which container.
        container: ContainerId,
    },
    /// The container's files are what they were before the run, and nothing of the run is left.
    RevertRoot {
        /// Which run.
        run: RunId,
        /// Which container.
        container: ContainerId,
    },
    /// The files from before the run are gone.
    DiscardOldRoot {
        /// Which run.
        run: RunId,
        /// Which container.
        container: ContainerId,
    },
    /// Writes some paths of a backup into a directory of the node.
    ExtractFiles {
        /// Which run.
        run: RunId,
        /// Which backup.
        backup: BackupId,
        /// In which store.
        store: StoreId,
        /// Which paths.
        paths: Vec<String>,
        /// Where to.
        into: String,
        /// To whom the files belong there; the numbers from inside, if nobody is named.
        owner: Option<(u32, u32)>,
        /// Whether what the host would obey goes along.
        privileges: bool,
    },
    /// Puts the container's disk in order.
    Defragment {
        /// Whose disk.
        container: ContainerId,
    },
    /// Asks the package manager inside.
    UpdateCheck {
        /// In which container.
        container: ContainerId,
    },
    /// Reads a backup again, to the last byte.
    VerifyBackup {
        /// In which store.
        store: StoreId,
        /// Which backup.
        backup: BackupId,
    },
}

impl HostEffect {
    /// Returns the effect's name for logs and progress.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureTemplate { .. } => "ensure template",
            Self::EnsureTemplateGone { .. } => "ensure template gone",
            Self::VerifyTemplate { .. } => "verify template",
            Self::EnsureDisk { .. } => "ensure disk",
            Self::EnsureDiskSize { .. } => "ensure disk size",
            Self::EnsureDiskGone { .. } => "ensure disk gone",
            Self::EnsureRunning(_) => "ensure running",
            Self::SignalInit { .. } => "signal init",
            Self::EnsureStopped { .. } => "ensure stopped",
            Self::EnsurePaused { .. } => "ensure paused",
            Self::EnsureResumed { .. } => "ensure resumed",
            Self::EnsureLimits { .. } => "ensure limits",
            Self::EnsureNetwork { .. } => "ensure network",
            Self::EnsureNetworkGone { .. } => "ensure network gone",
            Self::EnsureStore { .. } => "ensure store",
            Self::LivePass { .. } => "live pass",
            Self::FrozenPass { .. } => "frozen pass",
            Self::SealBackup(_) => "seal backup",
            Self::DiscardBackup { .. } => "discard backup",
            Self::RestoreFiles { .. } => "restore files",
            Self::ExchangeRoot { .. } => "exchange root",
            Self::RevertRoot { .. } => "revert root",
            Self::DiscardOldRoot { .. } => "discard old root",
            Self::ExtractFiles { .. } => "extract files",
            Self::Defragment { .. } => "defragment",
            Self::UpdateCheck { .. } => "update check",
            Self::VerifyBackup { .. } => "verify backup",
        }
    }
}
