//! Runs of maintenance and what came of them.

use crate::events::{DomainEvent, Envelope, MaintenanceEvent, Mark};
use crate::types::Category;

use super::model::{self, Model, table};
use super::rows::{MaintenanceRow, OperationState};

/// Is the read model.
pub struct Maintenance;

impl Model for Maintenance {
    const NAME: &'static str = "maintenance";
    const VERSION: u32 = 1;
    const CATEGORY: Category = Category::Maintenance;
    const TABLE: &'static str = table!("container TEXT" => "$.container", "action TEXT" => "$.action.action");
    const INDEXES: &'static str = "CREATE INDEX {table}_container ON {table} (container)";
    type Row = MaintenanceRow;

    fn fold(_: &str, row: Option<MaintenanceRow>, event: &Envelope) -> Option<MaintenanceRow> {
        let Some(fact) = model::decoded::<MaintenanceEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        match fact.mark() {
            Mark::Phase { name } => row.phase = Some(name.to_owned()),
            Mark::Closed { outcome } => {
                (row.state, row.reason) = OperationState::of(&outcome);
                row.ended_at = Some(event.recorded_at);
            }
            Mark::Opened { .. } | Mark::Done { .. } | Mark::Fact => {}
        }
        if let MaintenanceEvent::WorkDone(result) = fact {
            row.result = Some(result);
        }
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &MaintenanceEvent, event: &Envelope) -> Option<MaintenanceRow> {
    let MaintenanceEvent::MaintenanceRequested { id, action, parent } = fact else { return None };
    Some(MaintenanceRow {
        id: *id,
        container: action.container(),
        action: action.clone(),
        state: OperationState::Running,
        phase: None,
        reason: None,
        result: None,
        parent: parent.clone(),
        by: event.context.principal.who.clone(),
        requested_at: event.recorded_at,
        ended_at: None,
        operation: event.context.operation,
        position: event.position,
        container_name: None,
    })
}
