//! The bodies of requests and answers, shared by the server and the CLI.
//!
//! What users type travels as text (`512M`, `1h30m`, `0.5`) and is read at the server's edge by the types' own parsers,
//! so that the words of an error are the same everywhere. What the server answers with is typed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::domain::RefusalClass;
pub use crate::effects::access::{BackupFile, SessionRequest, SessionTicket};
pub use crate::events::{BackupMode, DiskKind, MaintenanceAction, ScheduledAction, Selection, TemplateSource};
pub use crate::events::{BackupOutcome, MaintenanceResult, RestoreTarget};
pub use crate::projections::rows::AsOf;
use crate::projections::rows::{NodeRow, OperationState};
use crate::types::{OperationId, Position, StreamName, Timestamp};

/// Is the body of `POST /v1/containers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateContainer {
    /// Its name.
    pub name: String,
    /// The template, by name, id or prefix.
    pub template: String,
    /// Most memory; as much as there is if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Most processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Most processes and threads, or `none`; 4096 if nothing is said and the host can limit them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<String>,
    /// Size of the disk; 10G if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What holds its files; an image where the host can, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_kind: Option<DiskKind>,
    /// The network; `none` for no network; the one named `default`, if there is one, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The address there; the next free one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The host name inside; its name if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it starts with the node.
    #[serde(default)]
    pub autostart: bool,
    /// Whether root inside is root outside.
    #[serde(default)]
    pub privileged: bool,
    /// Whether it may make user namespaces of its own.
    #[serde(default)]
    pub nesting: bool,
    /// A command to run instead of the template's init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// Is the body of `POST /v1/containers/{ref}/stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// How long its init may take; 30s if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// Whether it is killed at once.
    #[serde(default)]
    pub kill: bool,
}

/// Is the body of `POST /v1/containers/{ref}/restart`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRequest {
    /// How long its init may take; 30s if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
}

/// Is the body of `POST /v1/containers/{ref}/delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// How long it can be taken back; 7d if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grave: Option<String>,
}

/// Is the body of `POST /v1/containers/{ref}/undelete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndeleteRequest {
    /// Under which name; its old one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Is the body of `POST /v1/containers/{ref}/rename`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// The new name.
    pub name: String,
}

/// Is the body of `POST /v1/containers/{ref}/set`. Limits, then autostart, then labels are carried out one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimits {
    /// Most memory; `none` lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Most processor time; `none` lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Most processes and threads; `none` lifts the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<String>,
    /// Size of the disk; it only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Whether it starts with the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    /// Labels to put on it.
    #[serde(default)]
    pub labels_set: BTreeMap<String, String>,
    /// Labels to take off.
    #[serde(default)]
    pub labels_remove: Vec<String>,
}

/// Is the body of `POST /v1/containers/{ref}/sessions/{id}/close`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseSession {
    /// The exit code that the caller saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
}

/// Is the body of `POST /v1/templates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportTemplate {
    /// Its name.
    pub name: String,
    /// Where from: `{"from":"directory","path":…}`, `{"from":"archive","path":…}`, `{"from":"host"}`.
    pub source: TemplateSource,
}

/// Is the body of `POST /v1/networks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// Its addresses; a free range is chosen if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
}

/// Is the body of `POST /v1/stores`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateStore {
    /// Its name.
    pub name: String,
    /// The absolute path of its directory.
    pub path: String,
}

/// Is the answer of `GET /v1/stores/{ref}/recovery-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryKey {
    /// The name of the store.
    pub store: String,
    /// The key: keep it in a safe place, not on this machine.
    pub key: String,
    /// What it can be recognised by.
    pub fingerprint: Option<String>,
}

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
    /// Whether the container is to run afterwards; in place, whether it ran before if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<bool>,
}

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

/// Is the body of `POST /v1/maintenance`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunMaintenance {
    /// `defragment` or `update-check`.
    pub action: String,
    /// Which containers.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Whether all there are.
    #[serde(default)]
    pub all: bool,
    /// How many at the same time, where there are several; one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

/// Is one fact of an accepted command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedFact {
    /// Its name.
    pub kind: String,
    /// The fact in words.
    pub sentence: String,
    /// The fact; only in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Its place in the log; not in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// Is the answer 202 to an accepted command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The operation.
    pub operation: OperationId,
    /// The stream of the thing.
    pub stream: StreamName,
    /// The id of the thing.
    pub id: String,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was recorded; nothing if it was so already.
    pub events: Vec<RecordedFact>,
    /// Whether nothing is left to wait for.
    pub done: bool,
    /// Whether this very request was carried out before.
    #[serde(default)]
    pub repeated: bool,
}

/// Is the answer 200 to a dry run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// Always true.
    pub dry_run: bool,
    /// What would be recorded first, exactly.
    pub events: Vec<RecordedFact>,
    /// The later steps, as the plan expects them.
    pub expected: Vec<String>,
}

/// Is a list with the moment it stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListEnvelope<T> {
    /// `berth.container.list/v1` and its like.
    pub schema: String,
    /// Up to where it goes.
    pub as_of: AsOf,
    /// The rows.
    pub items: Vec<T>,
}

/// Is an error by RFC 9457, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable code such as `container.not-found`.
    pub code: String,
    /// What stands against it.
    pub detail: String,
    /// The next command to type, if one helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What kind of refusal it is; nothing for a fault of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<RefusalClass>,
}

/// Says how far a read model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionState {
    /// Its name.
    pub name: String,
    /// The version of its rows.
    pub version: u32,
    /// The last event in its rows.
    pub position: Position,
    /// Why it was parked, if it was.
    pub error: Option<String>,
}

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
    /// Why the log cannot be written, if so.
    pub read_only: Option<String>,
    /// How far the read models are.
    pub projections: Vec<ProjectionState>,
    /// Containers by state.
    pub containers: BTreeMap<String, u64>,
    /// How many templates, networks, stores, backups and schedules there are.
    pub counts: BTreeMap<String, u64>,
    /// How many operations are under way.
    pub open_operations: u64,
}

/// Is one thing that was looked at on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorFinding {
    /// What.
    pub feature: String,
    /// Whether containers cannot start without it.
    #[serde(default)]
    pub required: bool,
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

/// Is the event `outcome` of `GET /v1/operations/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitOutcome {
    /// Which operation.
    pub operation: OperationId,
    /// How it ended.
    pub state: OperationState,
    /// Why it did not end as asked, if so.
    pub reason: Option<String>,
    /// When.
    pub closed_at: Option<Timestamp>,
}

/// Is the event `phase` of `GET /v1/operations/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitPhase {
    /// Which operation.
    pub operation: OperationId,
    /// Which stream it happened on.
    pub stream: StreamName,
    /// The name of the phase, where the fact begins one.
    pub phase: Option<String>,
    /// The fact in words.
    pub sentence: String,
    /// Its place in the log.
    pub position: Position,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Is the event `progress` of `GET /v1/operations/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitProgress {
    /// Which operation.
    pub operation: OperationId,
    /// What is being done.
    pub phase: String,
    /// Entries or bytes done.
    pub done: u64,
    /// Of how many, if known.
    pub total: Option<u64>,
}
