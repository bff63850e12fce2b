//! The rules of one schedule: what it is, and what became of each of its slots.
//!
//! ```text
//!             create               disable
//!   absent ──────────▶ enabled ◀────────────▶ disabled          either ── delete ──▶ gone
//!      ▲    refused │              enable
//!      └────────────┘
//!
//!   slot     fire ▸ start-batch ▸ the batch works ▸ its end is told        or: skip, miss        before any: defer, set aside
//!   under a clock that was ahead: reopen, and it comes again
//! ```
//!
//! A slot is handled once, in order: fired, skipped or missed. Those that were set aside have an order of their own. Which slots are due is decided in `scheduler::due`; here it
//! is only made sure that none is handled twice. A batch that was fired goes on when its schedule is disabled or deleted.

mod rejection;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::effect::{Ask, Asked, Effect, Outcome, Report, Step};
use super::{Aggregate, Given};
use crate::events::{BatchAction, BatchMember, Closing, ScheduleDefinition, ScheduleEvent};
use crate::types::{Category, Gap, Gaps, MissReason, Name, OperationId, RunId, ScheduleId, StreamName, Timestamp};

pub use rejection::Rejection;

const CLAIM_NAME: Step = "claim-name";
const RELEASE_NAME: Step = "release-name";
const START_BATCH: Step = "start-batch";

/// Is everything the log tells about one schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    life: Life,
    record: Option<Record>,
    /// The moment up to which every slot is settled.
    handled: Timestamp,
    /// The last slot that was let wait.
    deferred: Option<Timestamp>,
    /// Earlier slots that wait nevertheless.
    gaps: Gaps,
    batches: Vec<Batch>,
}

/// Says what a schedule is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Life {
    #[default]
    Absent,
    Making(OperationId),
    Enabled,
    Disabled,
    Deleting(OperationId),
    Gone,
}

/// Is what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: ScheduleId,
    name: Name,
    definition: Box<ScheduleDefinition>,
}

/// Is a fired slot whose batch has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Batch {
    id: RunId,
    operation: OperationId,
    action: BatchAction,
    members: Vec<BatchMember>,
    started: bool,
}

/// Is a wish, a report, a slot's fate, or the end of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make it.
    Create {
        /// Its id, drawn at the edge.
        id: ScheduleId,
        /// Its name.
        name: Name,
        /// What it is to do.
        definition: Box<ScheduleDefinition>,
        /// From when on its slots count.
        from: Timestamp,
    },
    /// Let it fire again.
    Enable {
        /// From when on its slots count.
        from: Timestamp,
    },
    /// Let it not fire.
    Disable,
    /// Remove it.
    Delete,
    /// Carry a slot out.
    Fire {
        /// The planned moment.
        slot: Timestamp,
        /// The batch, drawn at the edge.
        batch: RunId,
        /// Its operation.
        operation: OperationId,
        /// What it does.
        action: BatchAction,
        /// For whom, as selected at this moment.
        members: Vec<BatchMember>,
    },
    /// Let a slot go.
    Skip {
        /// The planned moment.
        slot: Timestamp,
        /// Why.
        reason: String,
    },
    /// Let slots wait until they can be carried out, and say so once.
    Defer {
        /// The last of them.
        slot: Timestamp,
        /// How many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// Say that slots passed by.
    Miss {
        /// The last of them.
        slot: Timestamp,
        /// How many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// Let slots wait while later ones are carried out.
    SetAside {
        /// The last of them.
        slot: Timestamp,
        /// How many.
        count: u64,
        /// Why.
        reason: String,
    },
    /// Let slots come again that were settled under a clock that was ahead.
    Reopen {
        /// Up to when every slot is settled.
        after: Timestamp,
    },
    /// A batch is over.
    FinishBatch {
        /// The batch's stream.
        child: StreamName,
        /// How it ended.
        outcome: Closing,
    },
    /// An effect's outcome.
    Report(Report),
}

impl From<Report> for Command {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl TryFrom<Asked> for Command {
    type Error = Asked;

    fn try_from(asked: Asked) -> Result<Self, Asked> {
        match asked.ask {
            Ask::ChildFinished { child, outcome, .. } => Ok(Self::FinishBatch { child, outcome }),
            _ => Err(asked),
        }
    }
}

type Decision = Result<Vec<ScheduleEvent>, Rejection>;

impl Schedule {
    /// Returns the definition, once there is one.
    pub fn definition(&self) -> Option<&ScheduleDefinition> {
        self.record.as_ref().map(|record| record.definition.as_ref())
    }

    /// Says whether a batch of it has not ended.
    pub fn is_running(&self) -> bool {
        !self.batches.is_empty()
    }

    fn create(&self, id: ScheduleId, name: &Name, definition: &ScheduleDefinition, from: Timestamp) -> Decision {
        if let Some(record) = &self.record {
            let same = record.id == id && *record.definition == *definition && self.life != Life::Gone;
            return if same { Ok(vec![]) } else { Err(Rejection::Exists) };
        }
        let (name, definition) = (name.clone(), Box::new(definition.clone()));
        Ok(vec![ScheduleEvent::ScheduleRequested { id, name, definition, from }])
    }

    fn made(&self) -> Result<(), Rejection> {
        match self.life {
            Life::Enabled | Life::Disabled => Ok(()),
            Life::Making(_) => Err(Rejection::NotMade),
            Life::Absent | Life::Deleting(_) | Life::Gone => Err(Rejection::Unknown),
        }
    }

    /// Records the fate of a slot unless it, or a later one, has one already.
    fn settle(&self, slot: Timestamp, fate: ScheduleEvent) -> Decision {
        self.made()?;
        match self.life {
            Life::Enabled if self.gaps.holds(slot) => Ok(vec![fate]),
            _ if slot == self.handled => Ok(vec![]),
            _ if slot < self.handled => Err(Rejection::SlotHandled { slot, handled: self.handled }),
            Life::Disabled => Err(Rejection::Disabled),
            _ => Ok(vec![fate]),
        }
    }

    /// A slot that waits has no fate yet: it is fired, skipped or missed later.
    fn defer(&self, slot: Timestamp, count: u64, reason: &str) -> Decision {
        let fate = ScheduleEvent::SlotDeferred { slot, count, reason: reason.to_owned() };
        let known = self.deferred.is_some_and(|deferred| slot <= deferred);
        if known { Ok(vec![]) } else { self.settle(slot, fate) }
    }

    /// What waits so is told once: a slot that waits already is not settled by waiting again.
    fn set_aside(&self, slot: Timestamp, count: u64, reason: &str) -> Decision {
        let fate = ScheduleEvent::SlotsSetAside { after: self.handled, slot, count, reason: reason.to_owned() };
        if self.gaps.holds(slot) { Ok(vec![]) } else { self.settle(slot, fate) }
    }

    fn reopen(&self, after: Timestamp) -> Decision {
        self.made()?;
        Ok(if after < self.handled { vec![ScheduleEvent::SlotsReopened { after }] } else { vec![] })
    }

    fn enable(&self, from: Timestamp) -> Decision {
        self.made()?;
        Ok(if self.life == Life::Enabled { vec![] } else { vec![ScheduleEvent::ScheduleEnabled { from }] })
    }

    fn disable(&self) -> Decision {
        self.made()?;
        if self.life == Life::Disabled {
            return Ok(vec![]);
        }
        Ok(self.let_go().chain([ScheduleEvent::ScheduleDisabled]).collect())
    }

    /// Tells of slots that wait that they are not caught up any more.
    fn let_go(&self) -> impl Iterator<Item = ScheduleEvent> {
        let deferred = self.deferred.filter(|slot| *slot > self.handled);
        let deferred = deferred.map(|until| Gap { after: self.handled, until });
        self.gaps.iter().copied().chain(deferred).map(|gap| {
            let (count, reason) = (self.slots_in(gap), MissReason::Disabled.to_string());
            ScheduleEvent::SlotMissed { slot: gap.until, count, reason }
        })
    }

    fn slots_in(&self, gap: Gap) -> u64 {
        let slots = self.definition().map(|of| of.cron.slots(of.zone, gap.after));
        slots.into_iter().flatten().take_while(|slot| *slot <= gap.until).count() as u64
    }

    fn delete(&self) -> Decision {
        if matches!(self.life, Life::Deleting(_) | Life::Gone) {
            return Ok(vec![]);
        }
        self.made()?;
        Ok(vec![ScheduleEvent::ScheduleDeleteRequested])
    }

    fn finish(&self, child: &StreamName, outcome: &Closing) -> Vec<ScheduleEvent> {
        let ended = self.batches.iter().find(|batch| stream(batch.id) == *child);
        let told = |batch: &Batch| ScheduleEvent::BatchFinished { batch: batch.id, outcome: outcome.clone() };
        ended.map(told).into_iter().collect()
    }

    fn decide_report(&self, report: &Report) -> Vec<ScheduleEvent> {
        if !self.next_effect().is_some_and(|owed| owed.is_reported_by(report)) {
            return vec![];
        }
        let reason = match &report.outcome {
            Outcome::Refused(refusal) => Some(refusal.message.clone()),
            Outcome::Failed(failure) => Some(failure.reason.clone()),
            Outcome::Answered(_) | Outcome::Done(_) | Outcome::Woken => None,
        };
        match (report.step, reason, self.unstarted()) {
            // A release that fails for good is left to the sweep of the directory.
            (RELEASE_NAME, ..) => vec![ScheduleEvent::ScheduleDeleted],
            (CLAIM_NAME, None, _) => vec![ScheduleEvent::ScheduleCreated],
            (CLAIM_NAME, Some(reason), _) => vec![ScheduleEvent::ScheduleCreateFailed { reason }],
            (_, None, Some(batch)) => vec![ScheduleEvent::BatchStarted { batch: batch.id }],
            (_, Some(reason), Some(batch)) => {
                vec![ScheduleEvent::BatchFinished { batch: batch.id, outcome: Closing::Failed { reason } }]
            }
            (_, _, None) => vec![],
        }
    }

    /// Takes note that a slot has its fate.
    fn settled(&mut self, slot: Timestamp) {
        if !self.gaps.settle(slot) {
            self.handled = slot;
        }
    }

    fn unstarted(&self) -> Option<&Batch> {
        self.batches.iter().find(|batch| !batch.started)
    }
}

fn start(record: &Record, batch: &Batch) -> Effect {
    let ask = Ask::RequestBatch {
        id: batch.id,
        action: batch.action.clone(),
        members: batch.members.clone(),
        schedule: record.name.clone(),
        parallel: record.definition.parallel,
    };
    Effect::ask(batch.operation, START_BATCH, stream(batch.id), ask)
}

fn stream(batch: RunId) -> StreamName {
    StreamName::new(Category::Batch, batch)
}

impl Aggregate for Schedule {
    const CATEGORY: Category = Category::Schedule;
    const STATE_SCHEMA: u32 = 2;
    type Command = Command;
    type Event = ScheduleEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _given: Given) -> Decision {
        match command {
            Command::Create { id, name, definition, from } => self.create(*id, name, definition, *from),
            Command::Enable { from } => self.enable(*from),
            Command::Disable => self.disable(),
            Command::Delete => self.delete(),
            Command::Fire { slot, batch, operation, action, members } => {
                let (action, members) = (action.clone(), members.clone());
                let (slot, batch, operation) = (*slot, *batch, *operation);
                self.settle(slot, ScheduleEvent::SlotFired { slot, batch, operation, action, members })
            }
            Command::Skip { slot, reason } => {
                self.settle(*slot, ScheduleEvent::SlotSkipped { slot: *slot, reason: reason.clone() })
            }
            Command::Defer { slot, count, reason } => self.defer(*slot, *count, reason),
            Command::Miss { slot, count, reason } => {
                let (count, reason) = (*count, reason.clone());
                self.settle(*slot, ScheduleEvent::SlotMissed { slot: *slot, count, reason })
            }
            Command::SetAside { slot, count, reason } => self.set_aside(*slot, *count, reason),
            Command::Reopen { after } => self.reopen(*after),
            Command::FinishBatch { child, outcome } => Ok(self.finish(child, outcome)),
            Command::Report(report) => Ok(self.decide_report(report)),
        }
    }

    fn evolve(&mut self, event: &ScheduleEvent, given: Given) {
        match event {
            ScheduleEvent::ScheduleRequested { id, name, definition, from } => {
                self.record = Some(Record { id: *id, name: name.clone(), definition: definition.clone() });
                self.handled = *from;
                self.life = Life::Making(given.operation);
            }
            ScheduleEvent::ScheduleCreated => self.life = Life::Enabled,
            ScheduleEvent::ScheduleCreateFailed { .. } | ScheduleEvent::ScheduleDeleted => self.life = Life::Gone,
            ScheduleEvent::ScheduleEnabled { from } => {
                self.handled = self.handled.max(*from);
                self.life = Life::Enabled;
            }
            ScheduleEvent::ScheduleDisabled => self.life = Life::Disabled,
            ScheduleEvent::SlotFired { slot, batch, operation, action, members } => {
                self.settled(*slot);
                let (action, members) = (action.clone(), members.clone());
                self.batches.push(Batch { id: *batch, operation: *operation, action, members, started: false });
            }
            ScheduleEvent::BatchStarted { batch } => {
                let started = self.batches.iter_mut().filter(|known| known.id == *batch);
                started.for_each(|known| known.started = true);
            }
            ScheduleEvent::BatchFinished { batch, .. } => self.batches.retain(|known| known.id != *batch),
            ScheduleEvent::SlotSkipped { slot, .. } | ScheduleEvent::SlotMissed { slot, .. } => self.settled(*slot),
            ScheduleEvent::SlotDeferred { slot, .. } => self.deferred = Some(*slot),
            ScheduleEvent::SlotsSetAside { after, slot, .. } => {
                self.gaps.open(*after, *slot);
                self.handled = *slot;
            }
            ScheduleEvent::SlotsReopened { after } => {
                (self.handled, self.deferred) = (*after, None);
                self.gaps.cut(*after);
            }
            ScheduleEvent::ScheduleDeleteRequested => self.life = Life::Deleting(given.operation),
        }
    }

    fn next_effect(&self) -> Option<Effect> {
        let record = self.record.as_ref()?;
        if let Some(batch) = self.unstarted() {
            return Some(start(record, batch));
        }
        let directory = StreamName::new(Category::Directory, Category::Schedule);
        match self.life {
            Life::Making(operation) => {
                Some(Effect::ask(operation, CLAIM_NAME, directory, Ask::ReserveName(record.name.clone())))
            }
            Life::Deleting(operation) => {
                Some(Effect::ask(operation, RELEASE_NAME, directory, Ask::ReleaseName).undoing())
            }
            Life::Absent | Life::Enabled | Life::Disabled | Life::Gone => None,
        }
    }
}
