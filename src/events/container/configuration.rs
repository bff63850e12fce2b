//! What the user wanted of a container, and the place on a network that it got.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Exit, Limits};
use crate::types::{Fingerprint, HostName, MacAddress, Managed, NetworkId, Subnet, TemplateId};

/// Is what the user wanted of a container, with every default filled in at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The host name inside.
    pub hostname: HostName,
    /// Which files of its `/etc` are written at each start.
    #[serde(default)]
    pub managed: Managed,
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
    /// When it starts again by itself.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Whether root inside is root outside: explicit and dangerous.
    pub privileged: bool,
    /// Whether every user inside may make user namespaces, not its root alone.
    pub nesting: bool,
    /// The fingerprint of a command to run under the built-in init instead of the template's own init. What it says is kept
    /// apart and in the annex, for it may carry secrets.
    pub command: Option<Fingerprint>,
}

/// Says when a container whose init ended starts again by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never: a reboot from inside stops it.
    Never,
    /// After a reboot from inside.
    #[default]
    OnReboot,
    /// After a reboot from inside, and when its init failed: an exit code, a signal, an end that nobody saw.
    OnFailure,
}

impl RestartPolicy {
    /// Says whether it starts again after this end.
    pub const fn wants(self, exit: Exit) -> bool {
        match (self, exit) {
            (Self::Never, _) | (_, Exit::PowerOff | Exit::Code(0)) => false,
            (_, Exit::Reboot) => true,
            // Whoever had Berth kill it wants it down.
            (_, Exit::Killed) => false,
            (policy, _) => matches!(policy, Self::OnFailure),
        }
    }

    /// Returns its word, as the command line has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnReboot => "on-reboot",
            Self::OnFailure => "on-failure",
        }
    }
}

impl std::str::FromStr for RestartPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Never, Self::OnReboot, Self::OnFailure]
            .into_iter()
            .find(|policy| policy.word() == text)
            .ok_or_else(|| format!("{text:?} is none of never, on-reboot, on-failure"))
    }
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
