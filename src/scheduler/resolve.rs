//! Turns what is due into the command that records it: the selection becomes members, the fire key becomes ids.
//!
//! Every id is derived from the fire key, so that the same slot is the same batch however often it is tried.

use super::due::{Due, Verdict};
use crate::domain::schedule::Command;
use crate::events::{BatchAction, BatchMember, ScheduledAction};
use crate::projections::query::{Query, QueryError};
use crate::projections::rows::{ContainerRow, ScheduleRow};
use crate::types::{BackupId, OperationId, RunId};

/// Why a slot that selects nobody is let go.
const NOBODY: &str = "the schedule selects no container at this moment";

/// Returns the command that records what is due.
///
/// # Errors
/// The selection cannot be looked up.
pub(super) fn command(query: &Query, row: &ScheduleRow, due: &Due) -> Result<Command, QueryError> {
    match &due.verdict {
        Verdict::Fire { slot, .. } => {
            let selected = query.selected(&row.definition.selection)?;
            if selected.is_empty() {
                return Ok(Command::Skip { slot: *slot, reason: NOBODY.to_owned() });
            }
            Ok(Command::Fire {
                slot: *slot,
                batch: RunId::derived(&format!("{}/batch", due.key())),
                operation: operation(due),
                action: action(&row.definition.action),
                members: selected.iter().map(|container| member(due, container)).collect(),
            })
        }
        Verdict::Skip { slots, why } => {
            let reason = if slots.count == 1 { why.to_string() } else { format!("{} slots: {why}", slots.count) };
            Ok(Command::Skip { slot: slots.last, reason })
        }
        Verdict::Defer { slots, why } => {
            Ok(Command::Defer { slot: slots.last, count: slots.count, reason: why.to_string() })
        }
        Verdict::SetAside { slots, why } => {
            Ok(Command::SetAside { slot: slots.last, count: slots.count, reason: why.to_string() })
        }
        Verdict::Reopen { after } => Ok(Command::Reopen { after: *after }),
        Verdict::Miss { slots, why } => {
            Ok(Command::Miss { slot: slots.last, count: slots.count, reason: why.to_string() })
        }
    }
}

/// Returns the operation under which a slot is recorded and carried out.
pub(super) fn operation(due: &Due) -> OperationId {
    OperationId::derived(&format!("{}/operation", due.key()))
}

fn member(due: &Due, container: &ContainerRow) -> BatchMember {
    let seed = |what: &str| format!("{}/{}/{what}", due.key(), container.id);
    BatchMember {
        container: container.id,
        run: RunId::derived(&seed("run")),
        operation: OperationId::derived(&seed("operation")),
        backup: BackupId::derived(&seed("backup")),
    }
}

fn action(action: &ScheduledAction) -> BatchAction {
    match action {
        ScheduledAction::Backup { store, mode } => BatchAction::Backup { store: *store, mode: *mode },
        ScheduledAction::Defragment => BatchAction::Defragment,
        ScheduledAction::UpdateCheck => BatchAction::UpdateCheck,
    }
}
