//! A schedule and what became of its newest slots.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{Change, OpenOperation, OperationState};
use crate::events::{Closing, ScheduleDefinition};
use crate::types::{Gaps, Name, OperationId, Position, RunId, ScheduleId, Timestamp};

words! {
    /// Says what a schedule is.
    ScheduleState {
        /// Its name is being reserved.
        Creating = "creating",
        /// It could not be made.
        Failed = "failed",
        /// It fires.
        Enabled = "enabled",
        /// It does not fire until enabled.
        Disabled = "disabled",
        /// It is being removed.
        Deleting = "deleting",
        /// It is gone.
        Deleted = "deleted",
    }
}

words! {
    /// Says what became of a slot.
    SlotFate {
        /// A batch carries it out, or did.
        Fired = "fired",
        /// It has none yet: it waits for room or for the clock.
        Waiting = "waiting",
        /// It was let go.
        Skipped = "skipped",
        /// Nobody was there to fire it.
        Missed = "missed",
    }
}

/// Is one slot of a schedule, or a row of ones that were missed or wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRow {
    /// The planned moment; of several the last.
    pub slot: Timestamp,
    /// What became of it.
    pub fate: SlotFate,
    /// How many slots this stands for.
    pub count: u64,
    /// Why it was skipped or missed, or waits.
    pub reason: Option<String>,
    /// The batch, if it was fired.
    pub batch: Option<RunId>,
    /// The batch's operation.
    pub operation: Option<OperationId>,
    /// Whether the batch has been asked for.
    pub started: bool,
    /// How the batch ended, once it has.
    pub outcome: Option<Closing>,
    /// When this was recorded.
    pub recorded_at: Timestamp,
}

impl SlotRow {
    /// Returns a slot that was let go.
    pub(in crate::projections) fn skipped(slot: Timestamp, reason: &str) -> Self {
        Self { fate: SlotFate::Skipped, ..Self::missed(slot, 1, reason) }
    }

    /// Returns slots that wait.
    pub(in crate::projections) fn waiting(slot: Timestamp, count: u64, reason: &str) -> Self {
        Self { fate: SlotFate::Waiting, ..Self::missed(slot, count, reason) }
    }

    /// Returns slots that nobody fired.
    pub(in crate::projections) fn missed(slot: Timestamp, count: u64, reason: &str) -> Self {
        Self {
            slot,
            fate: SlotFate::Missed,
            count,
            reason: Some(reason.to_owned()),
            batch: None,
            operation: None,
            started: false,
            outcome: None,
            recorded_at: slot,
        }
    }
}

/// Is what a schedule does, done because somebody asked for it and no slot came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunByHand {
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// By whom.
    pub by: String,
    /// The operation.
    pub operation: OperationId,
    /// How it stands.
    pub state: OperationState,
    /// What did not work, if anything.
    pub reason: Option<String>,
    /// With how many containers it is how far: `2 backed up, 1 skipped`.
    pub told: String,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// Is one schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its id.
    pub id: ScheduleId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ScheduleState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed, if so.
    pub reason: Option<String>,
    /// What it does and when.
    pub definition: ScheduleDefinition,
    /// Counts how often its slots began anew (defined, enabled, reopened), from 1.
    pub revision: u64,
    /// From when on its slots count.
    pub from: Timestamp,
    /// The last slot that was fired, skipped or missed.
    pub last_slot: Option<Timestamp>,
    /// The last slot that was let wait, until it can be carried out or is missed.
    pub deferred: Option<Timestamp>,
    /// Earlier slots that wait until the clock is trusted.
    pub gaps: Gaps,
    /// Its newest slots in the order in which they were recorded, at most thirty-two; those not over are always among them, of
    /// many that wait the oldest as one.
    pub slots: Vec<SlotRow>,
    /// The last of those that were settled and are not among them any more.
    pub forgotten: Option<Timestamp>,
    /// How many slots were fired.
    pub fired: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// How many were missed.
    pub missed: u64,
    /// What is under way with the schedule itself.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
    /// What came of it when somebody last asked for it beside its slots. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<RunByHand>,
    /// When it fires next, jitter included. *Joined*, by the API alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// The name of the store it backs up into. *Joined.*
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_name: Option<Name>,
}

impl ScheduleRow {
    /// Returns the fired slots whose batch has not ended.
    pub fn running(&self) -> impl Iterator<Item = &SlotRow> {
        self.slots.iter().filter(|slot| slot.fate == SlotFate::Fired && slot.outcome.is_none())
    }
}
