//! What the API needs of the rest of the daemon; `main` puts it together.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::resources::{AcceptedHistory, DoctorReport, Rebuilt};
use crate::actors::Registry;
use crate::domain::Failure;
use crate::effects::access::Access;
use crate::projections::query::Query;
use crate::storage::{AppendError, Level};
use crate::types::{Clock, NetworkId, NodeId, OperationId, Position, Principal, Size, Subnet};

/// Is everything that the handlers use.
pub struct Ports {
    /// The actors; through their house the log and the progress.
    pub registry: Arc<Registry>,
    /// The read models.
    pub query: Query,
    /// Sessions, consoles, usage, files in backups.
    pub access: Arc<dyn Access>,
    /// Looks at the host; may take a while.
    pub doctor: Arc<dyn Fn() -> DoctorReport + Send + Sync>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What the log alone can tell.
    pub log: LogPorts,
    /// What is known of this host.
    pub node: NodeFacts,
    /// Becomes true when the daemon ends: streams end, the server drains.
    pub shutdown: watch::Receiver<bool>,
}

/// Will be the note of a checkpoint.
pub type Sealing = oneshot::Receiver<Result<Option<String>, AppendError>>;

/// Will be how many annexes are gone.
pub type Redacting = oneshot::Receiver<Result<usize, AppendError>>;

/// Goes on with a history at somebody's word; nothing where there was no question.
pub type Accept = Arc<dyn Fn(&Acceptance) -> Result<Option<AcceptedHistory>, String> + Send + Sync>;

/// Is what the embedded log tells beside its events.
#[derive(Clone)]
pub struct LogPorts {
    /// How much room is left.
    pub level: Arc<dyn Fn() -> Level + Send + Sync>,
    /// Why the log cannot be written, if so.
    pub read_only: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// What is wrong with the keys of the log, if anything.
    pub key_trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Removes the annexes of events for good; the tree stays as it is.
    pub redact: Arc<dyn Fn(Vec<Position>) -> Redacting + Send + Sync>,
    /// Signs the present root and returns the note; nothing for an empty log.
    pub checkpoint: Arc<dyn Fn() -> Sealing + Send + Sync>,
    /// Makes everything anew that follows from the log; may take a while.
    pub rebuild: Arc<dyn Fn() -> Result<Rebuilt, String> + Send + Sync>,
    /// Goes on with a log that is not the one that was signed; nothing where none other was. May take a while.
    pub accept: Accept,
}

/// Is somebody's word that a history is the true one.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Who says so.
    pub principal: Principal,
    /// The operation that it is.
    pub operation: OperationId,
    /// Why, as it stands beside the event.
    pub annex: Option<Vec<u8>>,
    /// Whether it is only to be shown what would be accepted.
    pub dry_run: bool,
}

/// Finds a range of addresses beside those that are taken.
pub type FreeSubnet = Arc<dyn Fn(&[Subnet]) -> Result<Subnet, Failure> + Send + Sync>;

/// Names what of the host a range of addresses overlaps.
pub type InTheWay = Arc<dyn Fn(Subnet) -> Result<Vec<String>, Failure> + Send + Sync>;

/// Is what the edge must know of the host to fill in defaults.
#[derive(Clone)]
pub struct NodeFacts {
    /// The id of the node.
    pub id: NodeId,
    /// The version of this program.
    pub version: String,
    /// The directories that the daemon keeps for itself.
    pub directories: Vec<PathBuf>,
    /// Whether disk images can be mounted here; else directories are the default.
    pub image_disks: bool,
    /// Whether the number of processes can be limited here.
    pub process_limits: bool,
    /// Whether containers can be started here, and so joined to the default network.
    pub can_start: bool,
    /// Whether disks may be promised no more than there is room for.
    pub refuse_overcommit: bool,
    /// Names the bridge of a network.
    pub bridge_name: Arc<dyn Fn(NetworkId) -> String + Send + Sync>,
    /// Finds a range of addresses that collides with none of these and with nothing on the host.
    pub free_subnet: FreeSubnet,
    /// Names what of the host a range of addresses would be in the way of.
    pub in_the_way: InTheWay,
    /// Tells what the machine has.
    pub capacity: Arc<dyn Fn() -> Capacity + Send + Sync>,
}

/// What the machine has for containers; nothing where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Its memory.
    pub memory: Option<Size>,
    /// Its processors.
    pub processors: Option<u32>,
    /// What is free where disks lie.
    pub disk_free: Option<Size>,
}
