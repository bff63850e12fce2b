//! How well a container is covered by backups, and what to worry about.

use serde::{Deserialize, Serialize};

use super::{ContainerState, LastBackup};
use crate::types::{ContainerId, Name, Span, StoreId, Timestamp};

/// Is something to worry about in a container's backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageWarning {
    /// A stable word: `none`, `no-schedule`, `missed`, `failed`, `unverified`, `damaged`, `exceptions`,
    /// `clock-ahead`, `recovery-key`, `store-not-usable`.
    pub code: String,
    /// What it means here.
    pub text: String,
}

/// Is how many backups of a container a store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which store.
    pub store: StoreId,
    /// Its name.
    pub name: Name,
    /// How many.
    pub backups: u64,
}

/// Is how well one container is covered by backups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverageRow {
    /// Which container.
    pub container: ContainerId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ContainerState,
    /// Its newest whole backup.
    pub last_backup: Option<LastBackup>,
    /// The name of the store that has it.
    pub store_name: Option<Name>,
    /// How old that backup is; nothing if it bears a time to come.
    pub age: Option<Span>,
    /// How many backups there are.
    pub backups: u64,
    /// Where they are, by the stores' names.
    #[serde(default)]
    pub stores: Vec<Kept>,
    /// The schedules that back it up.
    pub schedules: Vec<Name>,
    /// When the first of them fires next. *Joined*, by the API alone.
    pub next_run: Option<Timestamp>,
    /// What to worry about.
    pub warnings: Vec<CoverageWarning>,
}
