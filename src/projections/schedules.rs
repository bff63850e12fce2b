//! Schedules: what each does and when, and what became of its newest slots.

use crate::events::{DomainEvent, Envelope, ScheduleEvent};
use crate::types::{Category, Gaps, Timestamp};

use super::model::{self, Model, table};
use super::rows::{ScheduleRow, ScheduleState, SlotFate, SlotRow};

/// How many slots a row keeps; the log has them all.
const SLOTS_HELD: usize = 32;

/// Is the read model.
pub struct Schedules;

impl Model for Schedules {
    const NAME: &'static str = "schedules";
    const VERSION: u32 = 8;
    const CATEGORY: Category = Category::Schedule;
    const TABLE: &'static str = table!("name TEXT" => "$.name", "state TEXT" => "$.state");
    type Row = ScheduleRow;

    fn fold(_: &str, row: Option<ScheduleRow>, event: &Envelope) -> Option<ScheduleRow> {
        let Some(fact) = model::decoded::<ScheduleEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        life(&mut row, &fact, event);
        slots(&mut row, &fact, event);
        model::track(&mut row.operation, &fact.mark(), event);
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &ScheduleEvent, event: &Envelope) -> Option<ScheduleRow> {
    let ScheduleEvent::ScheduleRequested { id, name, definition, from } = fact else { return None };
    Some(ScheduleRow {
        id: *id,
        name: name.clone(),
        state: ScheduleState::Creating,
        change: model::change(event, fact.sentence()),
        reason: None,
        definition: (**definition).clone(),
        revision: 1,
        from: *from,
        last_slot: None,
        deferred: None,
        gaps: Gaps::default(),
        slots: vec![],
        forgotten: None,
        fired: 0,
        skipped: 0,
        missed: 0,
        operation: None,
        created_at: event.recorded_at,
        created_by: event.context.principal.who.clone(),
        position: event.position,
        by_hand: None,
        next: None,
        store_name: None,
    })
}

fn life(row: &mut ScheduleRow, fact: &ScheduleEvent, event: &Envelope) {
    let state = match fact {
        ScheduleEvent::ScheduleCreated => ScheduleState::Enabled,
        ScheduleEvent::ScheduleCreateFailed { reason } => {
            row.reason = Some(reason.clone());
            ScheduleState::Failed
        }
        ScheduleEvent::ScheduleEnabled { from } => {
            row.from = *from;
            row.revision += 1;
            ScheduleState::Enabled
        }
        ScheduleEvent::ScheduleDisabled => ScheduleState::Disabled,
        ScheduleEvent::ScheduleDeleteRequested => ScheduleState::Deleting,
        ScheduleEvent::ScheduleDeleted => ScheduleState::Deleted,
        _ => row.state,
    };
    if state != row.state {
        row.state = state;
        row.change = model::change(event, fact.sentence());
    }
}

fn slots(row: &mut ScheduleRow, fact: &ScheduleEvent, event: &Envelope) {
    match fact {
        ScheduleEvent::SlotFired { slot, batch, operation, .. } => {
            let fired = SlotRow {
                slot: *slot,
                fate: SlotFate::Fired,
                count: 1,
                reason: None,
                batch: Some(*batch),
                operation: Some(*operation),
                started: false,
                outcome: None,
                recorded_at: event.recorded_at,
            };
            row.fired += 1;
            settle(row, fired);
        }
        ScheduleEvent::SlotSkipped { slot, reason } => {
            row.skipped += 1;
            settle(row, passed(SlotRow::skipped(*slot, reason), event));
        }
        ScheduleEvent::SlotDeferred { slot, count, reason } => {
            row.deferred = Some(*slot);
            add(row, passed(SlotRow::waiting(*slot, *count, reason), event));
        }
        ScheduleEvent::SlotMissed { slot, count, reason } => {
            row.missed += count;
            settle(row, passed(SlotRow::missed(*slot, *count, reason), event));
        }
        ScheduleEvent::SlotsSetAside { after, slot, count, reason } => {
            row.gaps.open(*after, *slot);
            row.last_slot = Some(*slot);
            forget_waiting(row, |held| *after < held && held <= *slot);
            add(row, passed(SlotRow::waiting(*slot, *count, reason), event));
        }
        ScheduleEvent::SlotsReopened { after } => {
            // They are other slots than those of the same time that were settled.
            row.revision += 1;
            row.from = row.from.min(*after);
            (row.last_slot, row.deferred) = (Some(*after), None);
            row.forgotten = row.forgotten.min(Some(*after));
            row.gaps.cut(*after);
            forget_waiting(row, |held| held > *after);
        }
        ScheduleEvent::BatchStarted { batch } => {
            row.slots.iter_mut().filter(|slot| slot.batch == Some(*batch)).for_each(|slot| slot.started = true);
        }
        ScheduleEvent::BatchFinished { batch, outcome } => {
            for slot in row.slots.iter_mut().filter(|slot| slot.batch == Some(*batch)) {
                slot.started = true;
                slot.outcome = Some(outcome.clone());
            }
        }
        _ => {}
    }
}

fn passed(slot: SlotRow, event: &Envelope) -> SlotRow {
    SlotRow { recorded_at: event.recorded_at, ..slot }
}

fn settle(row: &mut ScheduleRow, slot: SlotRow) {
    row.gaps.settle(slot.slot);
    row.last_slot = row.last_slot.max(Some(slot.slot));
    let (gaps, last) = (row.gaps.clone(), row.last_slot);
    forget_waiting(row, |held| Some(held) <= last && !gaps.holds(held));
    add(row, slot);
}

/// Forgets that slots wait which do not any more, or of which something else is told.
fn forget_waiting(row: &mut ScheduleRow, is_over: impl Fn(Timestamp) -> bool) {
    row.slots.retain(|held| held.fate != SlotFate::Waiting || !is_over(held.slot));
}

/// Adds a slot and, if there are too many, forgets the oldest that is over.
fn add(row: &mut ScheduleRow, slot: SlotRow) {
    row.slots.push(slot);
    if row.slots.len() <= SLOTS_HELD {
        return;
    }
    let over =
        |slot: &SlotRow| slot.fate != SlotFate::Waiting && (slot.fate != SlotFate::Fired || slot.outcome.is_some());
    let Some(oldest) = row.slots.iter().position(over) else { return join_waiting(row) };
    let gone = Some(row.slots.remove(oldest).slot);
    if gone <= row.last_slot {
        row.forgotten = row.forgotten.max(gone);
    }
}

/// Has the two oldest that wait stand in one place: none of them is over, and they may become any number.
fn join_waiting(row: &mut ScheduleRow) {
    let waits = |slot: &SlotRow| slot.fate == SlotFate::Waiting;
    let Some(oldest) = row.slots.iter().position(waits) else { return };
    if let Some(next) = row.slots.iter().skip(oldest + 1).position(waits) {
        let joined = row.slots.remove(oldest);
        let next = &mut row.slots[oldest + next];
        next.slot = next.slot.max(joined.slot);
        next.count += joined.count;
    }
}
