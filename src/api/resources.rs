//! The bodies of requests and answers, shared by the server and the CLI.
//!
//! What users type travels as text (`512M`, `1h30m`, `0.5`) and is read at the server's edge by the types' own parsers,
//! so that the words of an error are the same everywhere. What the server answers with is typed.

mod answer;
mod backup;
mod container;
mod maintenance;
mod network;
mod node;
mod schedule;
mod store;
mod template;
mod wait;

pub use answer::{Accepted, DryRun, ListEnvelope, Problem, RecordedFact};
pub use backup::{RestoreRequest, RestoreTo, RunBackup};
pub use container::{
    CloseSession, CreateContainer, DeleteRequest, RenameRequest, RestartRequest, SetLimits, StopRequest,
    UndeleteRequest,
};
pub use maintenance::RunMaintenance;
pub use network::CreateNetwork;
pub use node::{
    AcceptedHistory, AuditFinding, CheckpointNote, ClockStatus, DiskRoom, DoctorFinding, DoctorReport, NodeStatus,
    Rebuilt,
};
pub use schedule::{CreateSchedule, NextSlot};
pub use store::{CreateStore, RecoveryKey};
pub use template::ImportTemplate;
pub use wait::{MemberOutcome, WaitOutcome, WaitPhase, WaitProgress};

pub use crate::effects::access::{BackupFile, SessionRequest, SessionTicket};
pub use crate::events::{
    BackupMode, BackupOutcome, DiskKind, MaintenanceAction, MaintenanceResult, ScheduledAction, Selection,
    TemplateSource,
};
