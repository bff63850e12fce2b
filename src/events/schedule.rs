//! Facts about one schedule: what it is, and what became of each of its slots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BackupMode, Closing, DomainEvent, Mark, kinds};
use crate::types::{
    CatchUp, Category, CronExpression, Name, OperationId, RunId, ScheduleId, Span, StoreId, Timestamp, Window, Zone,
    counted,
};

/// Says what a schedule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum ScheduledAction {
    /// Back the selected containers up.
    Backup {
        /// Into which store.
        store: StoreId,
        /// How much is to be read.
        mode: BackupMode,
    },
    /// Put their disks in order.
    Defragment,
    /// Ask their package managers.
    UpdateCheck,
}

/// Says which containers are meant; it is resolved when a slot fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// All there are.
    All,
    /// Those whose name fits one of the patterns (`*` and `?`).
    Names(Vec<String>),
    /// Those that carry all of the labels.
    Labels(BTreeMap<String, String>),
}

/// Is a schedule as its user defined it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleDefinition {
    /// When, in Unix cron's words.
    pub cron: CronExpression,
    /// In which zone.
    pub zone: Zone,
    /// What.
    pub action: ScheduledAction,
    /// For which containers.
    pub selection: Selection,
    /// What becomes of slots that were missed.
    pub catch_up: CatchUp,
    /// By how much slots are spread, always the same for the same slot.
    pub jitter: Span,
    /// The hours in which it may fire.
    pub window: Option<Window>,
    /// How many containers at the same time.
    pub parallel: u32,
}

/// Is a fact about a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ScheduleEvent {
    /// Somebody asked for it.
    ScheduleRequested {
        /// Its id.
        id: ScheduleId,
        /// Its name.
        name: Name,
        /// What it is to do.
        definition: Box<ScheduleDefinition>,
        /// From when on its slots count.
        from: Timestamp,
    },
    /// The name is reserved, the schedule counts.
    ScheduleCreated,
    /// The name was not to be had.
    ScheduleCreateFailed {
        /// Why.
        reason: String,
    },
    /// It fires from now on.
    ScheduleEnabled {
        /// From when on its slots count.
        from: Timestamp,
    },
    /// It does not fire until enabled.
    ScheduleDisabled,
    /// A slot is being carried out by a batch.
    SlotFired {
        /// The planned moment.
        slot: Timestamp,
        /// The batch.
        batch: RunId,
        /// The batch's operation.
        operation: OperationId,
        /// What the batch does.
        action: super::BatchAction,
        /// For whom, as selected at this moment.
        members: Vec<super::BatchMember>,
    },
    /// The batch knows.
    BatchStarted {
        /// Which batch.
        batch: RunId,
    },
    /// The batch is over.
    BatchFinished {
        /// Which batch.
        batch: RunId,
        /// How.
        outcome: Closing,
    },
    /// A slot came and was let go.
    SlotSkipped {
        /// The planned moment.
        slot: Timestamp,
        /// Why.
        reason: String,
    },
    /// Slots came and could not be fired; what becomes of them is decided when they can be.
    SlotDeferred {
        /// The last of them.
        slot: Timestamp,
        /// How many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// Slots passed while nobody was there to fire them.
    SlotMissed {
        /// The last of them.
        slot: Timestamp,
        /// How many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// Slots that are to be caught up wait until the clock is trusted, while later ones run.
    SlotsSetAside {
        /// The moment before the first of them.
        after: Timestamp,
        /// The last of them.
        slot: Timestamp,
        /// How many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// What was recorded of slots after that moment settles nothing: the clock was ahead. They come when it is time.
    SlotsReopened {
        /// Up to when every slot is settled.
        after: Timestamp,
    },
    /// Somebody asked to delete it.
    ScheduleDeleteRequested,
    /// It is gone.
    ScheduleDeleted,
}

impl DomainEvent for ScheduleEvent {
    const CATEGORY: Category = Category::Schedule;
    const KINDS: &'static [&'static str] = kinds!(ScheduleEvent: ScheduleRequested, ScheduleCreated,
        ScheduleCreateFailed, ScheduleEnabled, ScheduleDisabled, SlotFired, BatchStarted, BatchFinished, SlotSkipped,
        SlotDeferred, SlotMissed, SlotsSetAside, SlotsReopened, ScheduleDeleteRequested, ScheduleDeleted);

    fn mark(&self) -> Mark {
        match self {
            Self::ScheduleRequested { .. } => Mark::Opened { verb: "schedule create" },
            Self::ScheduleDeleteRequested => Mark::Opened { verb: "schedule delete" },
            Self::ScheduleCreated | Self::ScheduleDeleted => Mark::Closed { outcome: Closing::Done },
            Self::ScheduleCreateFailed { reason } => {
                Mark::Closed { outcome: Closing::Failed { reason: reason.clone() } }
            }
            Self::ScheduleEnabled { .. }
            | Self::ScheduleDisabled
            | Self::SlotFired { .. }
            | Self::BatchStarted { .. }
            | Self::BatchFinished { .. }
            | Self::SlotSkipped { .. }
            | Self::SlotDeferred { .. }
            | Self::SlotMissed { .. }
            | Self::SlotsSetAside { .. }
            | Self::SlotsReopened { .. } => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::ScheduleRequested { name, .. } => format!("schedule {name} requested"),
            Self::ScheduleCreated => "schedule created".to_owned(),
            Self::ScheduleCreateFailed { reason } => format!("schedule could not be made: {reason}"),
            Self::ScheduleEnabled { .. } => "enabled".to_owned(),
            Self::ScheduleDisabled => "disabled".to_owned(),
            Self::SlotFired { slot, members, .. } => {
                format!("slot {slot} fired for {}", counted(members.len() as u64, "container", "containers"))
            }
            Self::BatchStarted { batch } => format!("batch {} started", batch.short()),
            Self::BatchFinished { batch, outcome } => format!("batch {} finished: {}", batch.short(), outcome.words()),
            Self::SlotSkipped { slot, reason } => format!("slot {slot} skipped: {reason}"),
            Self::SlotDeferred { slot, count: 1, reason } => format!("slot {slot} waits: {reason}"),
            Self::SlotDeferred { slot, count, reason } => {
                format!("{count} slots up to {slot} wait: {reason}")
            }
            Self::SlotMissed { slot, count: 1, reason } => format!("slot {slot} missed: {reason}"),
            Self::SlotMissed { slot, count, reason } => format!("{count} slots up to {slot} missed: {reason}"),
            Self::SlotsSetAside { slot, count, reason, .. } => format!("{count} slots up to {slot} wait: {reason}"),
            Self::SlotsReopened { after } => format!("slots after {after} come again: the clock was ahead"),
            Self::ScheduleDeleteRequested => "deletion requested".to_owned(),
            Self::ScheduleDeleted => "schedule deleted".to_owned(),
        }
    }
}
