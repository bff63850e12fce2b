//! What the user wanted of a container, and the place on a network that it got.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::types::{Fingerprint, MacAddress, Name, NetworkId, Subnet, TemplateId};

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
    /// The fingerprint of a command to run under the built-in init instead of the template's own init. What it says is kept
    /// apart and in the annex, for it may carry secrets.
    pub command: Option<Fingerprint>,
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

/// Says which address a container wants on its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressRequest {
    /// The next free one.
    Auto,
    /// This one and no other.
    Fixed(IpAddr),
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
