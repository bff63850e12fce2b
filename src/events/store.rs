//! Facts about backup stores.

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{Category, Name, NodeId, OperationId, StoreId};

/// Is a fact about a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StoreEvent {
    /// Somebody asked for a store in that directory.
    StoreRequested {
        /// Its id.
        id: StoreId,
        /// Its name.
        name: Name,
        /// The absolute path of its directory.
        path: String,
        /// The node that owns it.
        node: NodeId,
    },
    /// The name is reserved.
    StoreNameClaimed,
    /// The repository is there and opens with the node's key.
    StoreCreated {
        /// The repository's own id.
        repository: String,
        /// Enough of the recovery key's hash to recognise it by.
        recovery_fingerprint: String,
    },
    /// It cannot be made: its name goes.
    StoreCreateFailing {
        /// Why.
        reason: String,
    },
    /// It could not be made.
    StoreCreateFailed {
        /// Why.
        reason: String,
    },
    /// An operation writes to the store.
    WriterAdmitted {
        /// Which operation.
        operation: OperationId,
    },
    /// That operation no longer writes.
    WriterReleased {
        /// Which operation.
        operation: OperationId,
    },
    /// Somebody says that the recovery key is in a safe place.
    RecoveryKeyConfirmed,
    /// Somebody may see the recovery key; it is told before it is shown.
    RecoveryKeyShown,
}

impl DomainEvent for StoreEvent {
    const CATEGORY: Category = Category::Store;
    const KINDS: &'static [&'static str] = kinds!(StoreEvent: StoreRequested, StoreNameClaimed, StoreCreated,
        StoreCreateFailing, StoreCreateFailed, WriterAdmitted, WriterReleased, RecoveryKeyConfirmed,
        RecoveryKeyShown);

    fn mark(&self) -> Mark {
        match self {
            Self::StoreRequested { .. } => Mark::Opened { verb: "store create" },
            Self::StoreNameClaimed => Mark::Phase { name: "making the repository" },
            Self::StoreCreateFailing { .. } => Mark::Phase { name: "undoing" },
            Self::StoreCreated { .. } => Mark::Closed { outcome: Closing::Done },
            Self::StoreCreateFailed { reason } => Mark::Closed { outcome: Closing::Failed { reason: reason.clone() } },
            Self::WriterAdmitted { .. }
            | Self::WriterReleased { .. }
            | Self::RecoveryKeyConfirmed
            | Self::RecoveryKeyShown => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::StoreRequested { name, path, .. } => format!("store {name} in {path} requested"),
            Self::StoreNameClaimed => "name claimed".to_owned(),
            Self::StoreCreated { repository, .. } => format!("store created with repository {repository}"),
            Self::StoreCreateFailing { reason } => format!("store cannot be made: {reason}"),
            Self::StoreCreateFailed { reason } => format!("store could not be made: {reason}"),
            Self::WriterAdmitted { operation } => format!("written by {}", operation.short()),
            Self::WriterReleased { operation } => format!("no longer written by {}", operation.short()),
            Self::RecoveryKeyShown => "recovery key shown".to_owned(),
            Self::RecoveryKeyConfirmed => "recovery key confirmed as exported".to_owned(),
        }
    }
}
