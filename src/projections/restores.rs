//! Runs of restores: where to, how far, and whether the files of before are still kept.

use crate::events::{DomainEvent, Envelope, Mark, RestoreEvent, RestoreTarget};
use crate::types::{Category, LeftOut};

use super::model::{self, Model, table};
use super::rows::{OperationState, RestoreRow};

/// Is the read model.
pub struct Restores;

impl Model for Restores {
    const NAME: &'static str = "restores";
    const VERSION: u32 = 4;
    const CATEGORY: Category = Category::RestoreJob;
    const TABLE: &'static str =
        table!("state TEXT" => "$.state", "source TEXT" => "$.source", "target TEXT" => "$.target.container");
    const INDEXES: &'static str = "CREATE INDEX {table}_target ON {table} (target)";
    type Row = RestoreRow;

    fn fold(_: &str, row: Option<RestoreRow>, event: &Envelope) -> Option<RestoreRow> {
        let Some(fact) = model::decoded::<RestoreEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        follow(&mut row, &fact.mark(), event);
        match &fact {
            RestoreEvent::FilesRestored { entries, written, left_out, .. } => {
                row.entries = Some(*entries);
                row.written = Some(*written);
                row.left_out = *left_out;
            }
            RestoreEvent::RootExchanged => row.old_files_kept = matches!(row.target, RestoreTarget::InPlace { .. }),
            RestoreEvent::FilesRemoved => row.old_files_kept = false,
            RestoreEvent::RestoreRolledBack | RestoreEvent::RestoreRolledBackWithExceptions { .. } => {
                row.old_files_kept = false;
                row.rolled_back = true;
            }
            RestoreEvent::RestoreConfirmed => {
                row.old_files_kept = false;
                row.confirmed = true;
            }
            _ => {}
        }
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &RestoreEvent, event: &Envelope) -> Option<RestoreRow> {
    let RestoreEvent::RestoreRequested { id, backup, source, store, target, start } = fact else { return None };
    Some(RestoreRow {
        id: *id,
        backup: *backup,
        source: *source,
        store: *store,
        target: target.clone(),
        start: *start,
        state: OperationState::Running,
        phase: None,
        reason: None,
        entries: None,
        written: None,
        left_out: LeftOut::default(),
        old_files_kept: false,
        confirmed: false,
        rolled_back: false,
        by: event.context.principal.who.clone(),
        requested_at: event.recorded_at,
        ended_at: None,
        operation: event.context.operation,
        position: event.position,
        source_name: None,
        purged_at: None,
    })
}

fn follow(row: &mut RestoreRow, mark: &Mark, event: &Envelope) {
    match mark {
        Mark::Opened { .. } => {
            row.state = OperationState::Running;
            row.operation = event.context.operation;
            row.ended_at = None;
        }
        Mark::Phase { name } => row.phase = Some((*name).to_owned()),
        Mark::Closed { outcome } => {
            (row.state, row.reason) = OperationState::of(outcome);
            row.ended_at = Some(event.recorded_at);
        }
        Mark::Done { .. } | Mark::Fact => {}
    }
}
