//! What is asked of a schedule, and its slots to come.

use serde::{Deserialize, Serialize};

use crate::events::{BackupMode, Selection};
use crate::types::Timestamp;

/// Is the body of `POST /v1/schedules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// Its name.
    pub name: String,
    /// When, in Unix cron's words.
    pub cron: String,
    /// In which IANA zone; UTC if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `backup`, `defragment` or `update-check`.
    pub action: String,
    /// For a backup: into which store; the only one, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// For a backup: how much is read; incremental if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<BackupMode>,
    /// For which containers: `"all"`, `{"names":["web*"]}`, `{"labels":{"tier":"web"}}`.
    pub select: Selection,
    /// `none`, `once` or `all`; once if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// By how much slots are spread; not at all if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// The hours in which it may fire: `22:00-06:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How many containers at the same time; one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

/// Is one slot to come: `GET /v1/schedules/{ref}/next`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextSlot {
    /// The planned moment.
    pub slot: Timestamp,
    /// When it will run: the slot and its jitter.
    pub at: Timestamp,
    /// Why it will not run, where that is known.
    pub skipped: Option<String>,
}
