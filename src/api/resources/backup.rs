//! What is asked of backups and restores.

use serde::{Deserialize, Serialize};

use crate::events::BackupMode;

/// Is the body of `POST /v1/backups`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunBackup {
    /// Which containers, by name, id or prefix.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Whether all there are.
    #[serde(default)]
    pub all: bool,
    /// Into which store; the only one, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// How much is read; incremental if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<BackupMode>,
    /// A word for later, kept beside the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How many at the same time, where there are several; one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

/// Says where a restore goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreTo {
    /// A new container.
    #[default]
    New,
    /// The container that was backed up.
    InPlace,
    /// Some paths, into a directory of the node.
    Directory,
}

/// Is the body of `POST /v1/backups/{ref}/restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Where to.
    pub to: RestoreTo,
    /// The name of the new container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which paths; everything if none is named.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The absolute path of the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Keeps the numeric owners and access lists from inside in a directory; else its files belong to whoever asks.
    #[serde(default)]
    pub keep_owners: bool,
    /// Keeps set-uid, set-gid, capabilities, devices and security attributes in a directory, and the owners.
    #[serde(default)]
    pub keep_privileges: bool,
    /// Whether the container is to run afterwards; in place, whether it ran before if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<bool>,
}
