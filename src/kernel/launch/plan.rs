//! What a container's first process is to be: the part of the shim's specification that the kernel needs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::kernel::etc::Names;
use crate::kernel::security::{Kind, Profile};
use crate::types::IdRange;

/// What runs as the first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Init {
    /// The container's own init (systemd, OpenRC, busybox …).
    Own {
        /// Program and arguments.
        argv: Vec<String>,
        /// The signal that asks it to shut down.
        stop_signal: i32,
    },
    /// One command below the built-in init.
    Builtin {
        /// Program and arguments.
        argv: Vec<String>,
    },
}

/// Which network the container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A namespace of its own with nothing but `lo`.
    Own,
    /// The host's; only without a user namespace.
    Host,
}

/// Everything the launch of a container needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its host name, and what else the files say that are written into its `/etc`.
    #[serde(flatten)]
    pub names: Names,
    /// The id range; none = privileged: root inside is root of the host.
    pub ids: Option<IdRange>,
    /// Read-only layers below the disk, topmost first.
    pub lowers: Vec<PathBuf>,
    /// The first process.
    pub init: Init,
    /// `NAME=value` of the first process beside the fixed ones.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Containers inside the container are allowed.
    #[serde(default)]
    pub nesting: bool,
    /// The network.
    pub network: Network,
    /// It never ran: what no two machines may share is made anew.
    #[serde(default)]
    pub renew: bool,
}

impl Container {
    /// Returns the security profile of everything that runs inside.
    pub fn profile(&self) -> Profile {
        let kind = match self.init {
            Init::Own { .. } => Kind::System,
            Init::Builtin { .. } => Kind::Command,
        };
        Profile { kind, nesting: self.nesting, host: self.is_host() }
    }

    /// Returns the id of its root on the host, of user and group alike.
    pub fn root(&self) -> u32 {
        self.ids.map_or(0, |range| range.base)
    }

    /// Tells whether it is a host of containers itself: root of the host, with nesting.
    pub fn is_host(&self) -> bool {
        self.nesting && self.ids.is_none()
    }
}
