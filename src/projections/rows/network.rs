//! A network and the addresses that it has given out.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Change, OpenOperation, ThingState};
use crate::types::{MacAddress, Name, NetworkId, Position, Subnet, Timestamp};

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
