//! Finished backups, one row each, from the groups that hold them.

use crate::events::{BackupGroupEvent, BackupSummary, Envelope};
use crate::types::{Category, StreamName};

use super::model::{self, Model, table};
use super::rows::BackupRow;

/// Is the read model.
pub struct Backups;

impl Model for Backups {
    const NAME: &'static str = "backups";
    const VERSION: u32 = 3;
    const CATEGORY: Category = Category::BackupGroup;
    const TABLE: &'static str = table!(
        "container TEXT" => "$.container", "store TEXT" => "$.store", "committed INTEGER" => "$.committed",
        "stored INTEGER" => "$.stored",
    );
    const INDEXES: &'static str = "CREATE INDEX {table}_container ON {table} (container, committed);
         CREATE INDEX {table}_store ON {table} (store, committed, stored); CREATE INDEX {table}_committed ON {table} (committed)";
    type Row = BackupRow;

    fn keys(event: &Envelope) -> Vec<String> {
        if event.stream.category() != Self::CATEGORY {
            return vec![];
        }
        let backup = match model::decoded::<BackupGroupEvent>(event) {
            Some(BackupGroupEvent::BackupCommitted(summary)) => summary.backup,
            Some(
                BackupGroupEvent::BackupPinned { backup, .. }
                | BackupGroupEvent::BackupUnpinned { backup, .. }
                | BackupGroupEvent::BackupVerified { backup }
                | BackupGroupEvent::BackupDamageFound { backup, .. },
            ) => backup,
            Some(BackupGroupEvent::BackupAdmitted { .. } | BackupGroupEvent::BackupWithdrawn { .. }) | None => {
                return vec![];
            }
        };
        vec![backup.to_string()]
    }

    fn fold(key: &str, row: Option<BackupRow>, event: &Envelope) -> Option<BackupRow> {
        let _ = key;
        let mut row = match (model::decoded::<BackupGroupEvent>(event), row) {
            (Some(BackupGroupEvent::BackupCommitted(summary)), _) => begin(summary, event),
            (Some(BackupGroupEvent::BackupPinned { operation, .. }), Some(mut row)) => {
                row.pins.push(operation);
                row
            }
            (Some(BackupGroupEvent::BackupUnpinned { operation, .. }), Some(mut row)) => {
                row.pins.retain(|pin| *pin != operation);
                row
            }
            (Some(BackupGroupEvent::BackupVerified { .. }), Some(row)) => {
                BackupRow { verified_at: Some(event.recorded_at), damage: None, ..row }
            }
            (Some(BackupGroupEvent::BackupDamageFound { reason, .. }), Some(row)) => {
                BackupRow { damage: Some(reason), ..row }
            }
            (_, row) => return row,
        };
        row.position = event.position;
        Some(row)
    }

    /// A backup's id does not tell its group, so its past is looked for in the whole log.
    fn streams(_: &str) -> Option<Vec<StreamName>> {
        None
    }
}

fn begin(summary: BackupSummary, event: &Envelope) -> BackupRow {
    BackupRow {
        id: summary.backup,
        run: summary.run,
        container: summary.container,
        container_name: summary.container_name,
        store: summary.store,
        taken_at: summary.taken_at,
        mode: summary.mode,
        base: summary.base,
        outcome: summary.outcome,
        entries: summary.entries,
        read: summary.read,
        new: summary.new,
        stored: summary.stored,
        frozen: summary.frozen,
        unreadable: summary.unreadable,
        schedule: summary.schedule,
        by: event.context.principal.who.clone(),
        verified_at: None,
        damage: None,
        pins: vec![],
        operation: event.context.operation,
        note: None,
        committed_at: event.recorded_at,
        committed: event.position,
        position: event.position,
        store_name: None,
    }
}
