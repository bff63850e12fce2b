//! The rows of the read models, used unchanged by the API, the CLI and reads with the daemon down.
//!
//! A row is what the fold of the log makes of one thing. Fields marked *joined* are not in the stored row: the query
//! fills them in, because they belong to another thing or change with the time. Rows are data, no rules.

mod backup;
mod batch;
mod claim;
mod clock;
mod container;
mod coverage;
mod event;
mod maintenance;
mod network;
mod node;
mod operation;
mod restore;
mod schedule;
mod session;
mod store;
mod template;
mod words;

use serde::{Deserialize, Serialize};

pub use backup::{BackupRow, LastBackup};
pub use batch::{BatchMemberRow, BatchRow, counted};
pub use claim::{ClaimRow, ClaimedRow};
pub use clock::{ClockRow, StepRow};
pub use container::{ContainerRow, ContainerState, HoldRow, LimitHits};
pub use coverage::{CoverageRow, CoverageWarning, Kept};
pub use event::{EventDetail, EventRow};
pub use maintenance::MaintenanceRow;
pub use network::{LeaseRow, NetworkRow};
pub use node::NodeRow;
pub use operation::{Afterwards, Cause, OpenOperation, OperationRow, OperationState};
pub use restore::RestoreRow;
pub use schedule::{RunByHand, ScheduleRow, ScheduleState, SlotFate, SlotRow};
pub use session::SessionRow;
pub use store::StoreRow;
pub use template::{DriftRow, TemplateRow};

use crate::types::{OperationId, Position, Timestamp};
use words::words;

words! {
    /// Says what a template, network or store is.
    ThingState {
        /// It is being made.
        Creating = "creating",
        /// It could not be made.
        Failed = "failed",
        /// It can be used.
        Ready = "ready",
        /// It is being removed.
        Deleting = "deleting",
        /// It is gone.
        Deleted = "deleted",
        /// It could not be removed: a person has to look.
        Stuck = "stuck",
    }
}

/// Is the last thing that happened to a row's thing: since when it is so, by whom, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub since: Timestamp,
    /// Who caused it.
    pub by: String,
    /// The fact in words.
    pub why: String,
    /// The operation it belongs to.
    pub operation: OperationId,
    /// What the one who asked said about it. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Says up to where a list goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The last event in it.
    pub position: Position,
    /// When that was recorded; nothing for an empty log.
    pub time: Option<Timestamp>,
    /// What is to be known of the clock to read this rightly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
}
