//! Why a network refuses: facts about its state, with the next command to type.

use std::net::IpAddr;

use super::BRIDGE_LENGTH_MAX;
use crate::domain::refusal::{Refusal, RefusalClass};
use crate::types::{OperationId, Subnet, counted};

/// How many holders a refusal names.
const NAMED_MAX: usize = 3;

/// Is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is none, or not any more.
    #[error("there is no such network")]
    Unknown,
    /// The id is taken.
    #[error("a network with this id exists already")]
    Exists,
    /// It is still being made.
    #[error("the network is not made yet")]
    NotMade,
    /// A person has to look first.
    #[error("the network is stuck: {reason}")]
    Stuck {
        /// What does not work.
        reason: String,
    },
    /// Another operation is at work.
    #[error("the network is busy: {verb} (operation {operation}) is under way", operation = operation.short())]
    Busy {
        /// What it does.
        verb: &'static str,
        /// Which.
        operation: OperationId,
    },
    /// No link can be called that.
    #[error("{bridge:?} is no name of a bridge: it takes 1 to {BRIDGE_LENGTH_MAX} bytes")]
    BridgeName {
        /// What was asked.
        bridge: String,
    },
    /// A gateway and one container need two addresses.
    #[error("{subnet} has no room for a gateway and a container; /30 is the smallest")]
    SubnetTooSmall {
        /// What was asked.
        subnet: Subnet,
    },
    /// These addresses mean something to every host (RFC 6890).
    #[error("the addresses of {subnet} cannot be given to containers: they have a meaning of their own")]
    SubnetReserved {
        /// What was asked.
        subnet: Subnet,
    },
    /// Every address is leased.
    #[error("every address of {subnet} is leased")]
    Full {
        /// The network's addresses.
        subnet: Subnet,
    },
    /// The address is another network's.
    #[error("the address {address} is not in {subnet}")]
    Outside {
        /// What was asked.
        address: IpAddr,
        /// The network's addresses.
        subnet: Subnet,
    },
    /// The network needs the address itself.
    #[error("the address {address} belongs to the network itself")]
    Reserved {
        /// What was asked.
        address: IpAddr,
    },
    /// Somebody else has it.
    #[error("the address {address} is leased to {holder}")]
    Taken {
        /// What was asked.
        address: IpAddr,
        /// Who has it.
        holder: String,
    },
    /// The holder has one already.
    #[error("{holder} has the address {address} already")]
    HasOther {
        /// Who.
        holder: String,
        /// Which.
        address: IpAddr,
    },
    /// Somebody has an address.
    #[error("{}: {}", leased(*count), first.join(", "))]
    Used {
        /// How many.
        count: usize,
        /// The first few holders.
        first: Vec<String>,
    },
    /// The operation is over, or was never one of this network.
    #[error("operation {operation} is not under way here", operation = operation.short())]
    NoSuchOperation {
        /// Which.
        operation: OperationId,
    },
    /// The operation is past the point where it could be called off.
    #[error("{verb} cannot be called off any more")]
    TooLate {
        /// What it does.
        verb: &'static str,
    },
}

impl Rejection {
    pub(super) fn used_by<'a>(holders: impl ExactSizeIterator<Item = &'a String>) -> Self {
        Self::Used { count: holders.len(), first: holders.take(NAMED_MAX).cloned().collect() }
    }
}

fn leased(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb} leased", counted(count as u64, "address", "addresses"))
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        use RefusalClass::{Conflict, Invalid, Limit, NotFound};
        let message = rejection.to_string();
        let shown = Some("berth network show NAME".to_owned());
        let (class, code, hint) = match &rejection {
            Rejection::Unknown => (NotFound, "network.not-found", Some("berth network list".to_owned())),
            Rejection::Exists => (Conflict, "network.exists", None),
            Rejection::NotMade => (Conflict, "network.not-made", Some("berth operation list".to_owned())),
            Rejection::Stuck { .. } => (Conflict, "network.stuck", Some("berth network delete NAME".to_owned())),
            Rejection::Busy { operation, .. } => {
                (Conflict, "network.busy", Some(format!("berth operation wait {}", operation.short())))
            }
            Rejection::BridgeName { .. } => (Invalid, "network.bridge-name", None),
            Rejection::SubnetTooSmall { .. } => (Invalid, "network.subnet-too-small", None),
            Rejection::SubnetReserved { .. } => (Invalid, "network.subnet-reserved", None),
            Rejection::Full { .. } => (Limit, "network.full", shown),
            Rejection::Outside { .. } => (Invalid, "address.outside", shown),
            Rejection::Reserved { .. } => (Invalid, "address.reserved", shown),
            Rejection::Taken { .. } => (Conflict, "address.taken", shown),
            Rejection::HasOther { .. } => (Conflict, "address.second", None),
            Rejection::Used { .. } => (Conflict, "network.used", Some("berth container list".to_owned())),
            Rejection::NoSuchOperation { .. } => {
                (NotFound, "operation.not-found", Some("berth operation list".to_owned()))
            }
            Rejection::TooLate { .. } => (Conflict, "operation.too-late", None),
        };
        Self { code: code.to_owned(), class, message, hint }
    }
}
