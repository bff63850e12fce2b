//! Facts about networks: what they are, and who has which address.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{Category, MacAddress, Name, NetworkId, Subnet};

/// Is a fact about a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NetworkEvent {
    /// Somebody asked for a NAT network.
    NetworkRequested {
        /// Its id.
        id: NetworkId,
        /// Its name.
        name: Name,
        /// Its addresses.
        subnet: Subnet,
        /// The bridge that carries it on the host.
        bridge: String,
    },
    /// The name is reserved.
    NetworkNameClaimed,
    /// The network is there.
    NetworkCreated,
    /// It cannot be made: what is there goes.
    NetworkCreateFailing {
        /// Why.
        reason: String,
    },
    /// Bridge, addresses and rules are gone from the host, the name follows.
    NetworkRemoved,
    /// It could not be made.
    NetworkCreateFailed {
        /// Why.
        reason: String,
    },
    /// What was begun could not be removed.
    NetworkCreateStuck {
        /// Why.
        reason: String,
    },
    /// The network is not there any more, as after a boot of the host, and is to be made again.
    NetworkRestoreRequested {
        /// The boot that is known to have lost it; nothing if somebody just found it missing.
        boot: Option<String>,
        /// What was found missing.
        missing: Vec<String>,
    },
    /// What the host lacks for it, or what of the host stands in its way; nothing once all is well.
    ShortcomingsFound {
        /// Each in words, with what helps.
        shortcomings: Vec<String>,
    },
    /// It is there again.
    NetworkRestored,
    /// It could not be made again.
    NetworkRestoreFailed {
        /// Why.
        reason: String,
    },
    /// The address belongs to the holder until it lets go.
    AddressLeased {
        /// The stream of the holder.
        holder: String,
        /// The address.
        address: IpAddr,
        /// The link address that goes with it.
        mac: MacAddress,
    },
    /// The holder let go of its address.
    AddressReleased {
        /// The stream of the holder.
        holder: String,
    },
    /// Somebody asked to delete the network.
    NetworkDeleteRequested,
    /// It is gone.
    NetworkDeleted,
    /// It could not be removed.
    NetworkDeleteStuck {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for NetworkEvent {
    const CATEGORY: Category = Category::Network;
    const KINDS: &'static [&'static str] = kinds!(NetworkEvent: NetworkRequested, NetworkNameClaimed, NetworkCreated,
        NetworkCreateFailing, NetworkRemoved, NetworkCreateFailed, NetworkCreateStuck, NetworkRestoreRequested,
        NetworkRestored, NetworkRestoreFailed, AddressLeased, AddressReleased, NetworkDeleteRequested, NetworkDeleted, NetworkDeleteStuck,
        ShortcomingsFound);

    fn mark(&self) -> Mark {
        let closed = |outcome| Mark::Closed { outcome };
        match self {
            Self::NetworkRequested { .. } => Mark::Opened { verb: "network create" },
            Self::NetworkDeleteRequested => Mark::Opened { verb: "network delete" },
            Self::NetworkRestoreRequested { .. } => Mark::Opened { verb: "network restore" },
            Self::NetworkNameClaimed => Mark::Phase { name: "making the bridge" },
            Self::NetworkCreateFailing { .. } => Mark::Phase { name: "undoing" },
            Self::NetworkCreated | Self::NetworkRestored | Self::NetworkDeleted => closed(Closing::Done),
            Self::NetworkCreateFailed { reason } | Self::NetworkRestoreFailed { reason } => {
                closed(Closing::Failed { reason: reason.clone() })
            }
            Self::NetworkCreateStuck { reason } | Self::NetworkDeleteStuck { reason } => {
                closed(Closing::Stuck { reason: reason.clone() })
            }
            Self::NetworkRemoved
            | Self::ShortcomingsFound { .. }
            | Self::AddressLeased { .. }
            | Self::AddressReleased { .. } => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::NetworkRequested { name, subnet, .. } => format!("network {name} on {subnet} requested"),
            Self::NetworkNameClaimed => "name claimed".to_owned(),
            Self::NetworkCreated => "network created".to_owned(),
            Self::NetworkCreateFailing { reason } => format!("network cannot be made: {reason}"),
            Self::NetworkRemoved => "bridge and rules removed".to_owned(),
            Self::NetworkCreateFailed { reason } => format!("network could not be made: {reason}"),
            Self::NetworkCreateStuck { reason } => format!("unfinished network could not be removed: {reason}"),
            Self::NetworkRestoreRequested { boot: Some(_), .. } => {
                "to be made again after a boot of the host".to_owned()
            }
            Self::NetworkRestoreRequested { missing, .. } => {
                format!("missing: {}; to be made again", missing.join(", "))
            }
            Self::ShortcomingsFound { shortcomings } if shortcomings.is_empty() => "nothing falls short".to_owned(),
            Self::ShortcomingsFound { shortcomings } => format!("falls short: {}", shortcomings.join("; ")),
            Self::NetworkRestored => "network is there again".to_owned(),
            Self::NetworkRestoreFailed { reason } => format!("network could not be made again: {reason}"),
            Self::AddressLeased { holder, address, .. } => format!("address {address} leased to {holder}"),
            Self::AddressReleased { holder } => format!("address of {holder} released"),
            Self::NetworkDeleteRequested => "deletion requested".to_owned(),
            Self::NetworkDeleted => "network deleted".to_owned(),
            Self::NetworkDeleteStuck { reason } => format!("deletion stuck: {reason}"),
        }
    }
}
