//! Batches: one request for many containers, and how it went with each.

use crate::events::{BatchEvent, DomainEvent, Envelope, Mark};
use crate::types::{Category, RunId};

use super::model::{self, Model, table};
use super::rows::{BatchMemberRow, BatchRow, OperationState};

/// Is the read model.
pub struct Batches;

impl Model for Batches {
    const NAME: &'static str = "batches";
    const VERSION: u32 = 2;
    const CATEGORY: Category = Category::Batch;
    const TABLE: &'static str = table!("by_hand INTEGER" => "$.by_hand");
    const INDEXES: &'static str = "CREATE INDEX {table}_by_hand ON {table} (by_hand)";
    type Row = BatchRow;

    fn fold(_: &str, row: Option<BatchRow>, event: &Envelope) -> Option<BatchRow> {
        let Some(fact) = model::decoded::<BatchEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        if let Mark::Closed { outcome } = fact.mark() {
            (row.state, row.reason) = OperationState::of(&outcome);
            row.ended_at = Some(event.recorded_at);
        }
        match fact {
            BatchEvent::ChildStarted { run } => {
                if let Some(member) = member(&mut row, run) {
                    member.state = OperationState::Running;
                    member.started_at = Some(event.recorded_at);
                }
            }
            BatchEvent::ChildFinished { run, outcome } => {
                if let Some(member) = member(&mut row, run) {
                    (member.state, member.reason) = OperationState::of(&outcome);
                    member.ended_at = Some(event.recorded_at);
                }
            }
            BatchEvent::BatchCancelled { .. } => {
                let waiting = row.members.iter_mut().filter(|member| member.state == OperationState::Waiting);
                waiting.for_each(|member| member.state = OperationState::Cancelled);
            }
            _ => {}
        }
        row.position = event.position;
        Some(row)
    }
}

fn member(row: &mut BatchRow, run: RunId) -> Option<&mut BatchMemberRow> {
    row.members.iter_mut().find(|member| member.run == run)
}

fn begin(fact: &BatchEvent, event: &Envelope) -> Option<BatchRow> {
    let BatchEvent::BatchRequested { id, action, members, schedule, parallel, parent } = fact else { return None };
    let members = members.iter().map(|member| BatchMemberRow {
        container: member.container,
        run: member.run,
        operation: member.operation,
        backup: member.backup,
        state: OperationState::Waiting,
        reason: None,
        started_at: None,
        ended_at: None,
        container_name: None,
    });
    Some(BatchRow {
        id: *id,
        action: action.clone(),
        members: members.collect(),
        schedule: schedule.clone(),
        by_hand: schedule.is_some() && parent.is_none(),
        parallel: *parallel,
        state: OperationState::Running,
        reason: None,
        by: event.context.principal.who.clone(),
        requested_at: event.recorded_at,
        ended_at: None,
        operation: event.context.operation,
        position: event.position,
    })
}
