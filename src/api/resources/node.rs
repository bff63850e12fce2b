//! What the node tells of itself: its log, its read models, and what it lacks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::projections::rows::{AsOf, NodeRow, StepRow};
use crate::storage::ProjectionStatus;

/// Is the answer of `GET /v1/node`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node as recorded.
    pub node: Option<NodeRow>,
    /// The version of the daemon that answers; nothing in a read with the daemon down.
    pub version: Option<String>,
    /// The id of the log.
    pub log: String,
    /// Where the log ends.
    pub head: AsOf,
    /// The Merkle root over everything, in hexadecimal.
    pub root: String,
    /// `ok`, `warn`, `tight` or `critical`.
    pub space: Option<String>,
    /// What is to be known of the clock.
    pub clock: ClockStatus,
    /// Why the log cannot be written, if so.
    pub read_only: Option<String>,
    /// What is wrong with the keys of the log, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_trouble: Option<String>,
    /// The room for disks; nothing in a read with the daemon down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<DiskRoom>,
    /// How far the read models are.
    pub projections: Vec<ProjectionStatus>,
    /// Containers by state.
    pub containers: BTreeMap<String, u64>,
    /// How many templates, networks, stores, backups and schedules there are.
    pub counts: BTreeMap<String, u64>,
    /// How many operations are under way.
    pub open_operations: u64,
}

/// Is what is to be known of the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// `sure`, `settling` or `doubted`: what the present time is good for. While it is not sure nothing is deleted or caught
    /// up.
    pub trust: String,
    /// Whether a time service keeps it; nothing in a read with the daemon down.
    pub synchronised: Option<bool>,
    /// Its last step.
    pub stepped: Option<StepRow>,
}

/// Is what the disks of containers were promised, and what there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRoom {
    /// The sizes of all disks together.
    pub promised: u64,
    /// What they take already.
    pub allocated: u64,
    /// What they may still take.
    pub to_come: u64,
    /// What is free on their file system.
    pub free: u64,
}

/// Is one thing that was looked at on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorFinding {
    /// What.
    pub feature: String,
    /// Whether containers cannot start without it.
    #[serde(default)]
    pub required: bool,
    /// Whether something was lost or spoilt where it is not as it should be, rather than missing.
    #[serde(default)]
    pub spoilt: bool,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is missing, or what is there.
    pub reason: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// Is the answer of `GET /v1/doctor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// Everything that was looked at.
    pub findings: Vec<DoctorFinding>,
}

/// Is the answer of `POST /v1/audit/checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointNote {
    /// The signed note, as a file that anybody can check.
    pub note: String,
}

/// Is one thing that an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFinding {
    /// What is wrong.
    pub finding: String,
    /// The command that mends it; nothing where only a copy of the log helps.
    pub mended_by: Option<String>,
}

/// Is the answer of `POST /v1/node/rebuild`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// From how many events everything was made anew.
    pub events: u64,
    /// What was wrong and is not any more.
    pub mended: Vec<String>,
    /// What is still wrong.
    pub left: Vec<AuditFinding>,
}

/// Is the answer of `POST /v1/node/accept-history`: a history that was, or would be, accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedHistory {
    /// What does not fit what was signed.
    pub reason: String,
    /// How many events had been signed.
    pub signed: u64,
    /// How many the log has.
    pub events: u64,
    /// The Merkle root over them, in hexadecimal.
    pub root: String,
    /// Where what was signed is kept; nothing if nothing was changed.
    pub kept: Option<String>,
}
