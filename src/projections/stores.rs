//! Backup stores: where each is, who writes to it, and whether its recovery key is in a safe place.

use crate::events::{DomainEvent, Envelope, StoreEvent};
use crate::types::{Category, Size};

use super::model::{self, Model, table};
use super::rows::{StoreRow, ThingState};

/// Is the read model.
pub struct Stores;

impl Model for Stores {
    const NAME: &'static str = "stores";
    const VERSION: u32 = 2;
    const CATEGORY: Category = Category::Store;
    const TABLE: &'static str = table!("name TEXT" => "$.name", "state TEXT" => "$.state");
    type Row = StoreRow;

    fn fold(_: &str, row: Option<StoreRow>, event: &Envelope) -> Option<StoreRow> {
        let Some(fact) = model::decoded::<StoreEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        apply(&mut row, &fact, event);
        model::track(&mut row.operation, &fact.mark(), event);
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &StoreEvent, event: &Envelope) -> Option<StoreRow> {
    let StoreEvent::StoreRequested { id, name, path, .. } = fact else { return None };
    Some(StoreRow {
        id: *id,
        name: name.clone(),
        state: ThingState::Creating,
        change: model::change(event, fact.sentence()),
        reason: None,
        path: path.clone(),
        repository: None,
        recovery_fingerprint: None,
        recovery_key_confirmed: false,
        writers: vec![],
        operation: None,
        created_at: event.recorded_at,
        created_by: event.context.principal.who.clone(),
        position: event.position,
        backups: 0,
        stored: Size::default(),
        trouble: None,
    })
}

fn apply(row: &mut StoreRow, fact: &StoreEvent, event: &Envelope) {
    let state = match fact {
        StoreEvent::StoreCreated { repository, recovery_fingerprint } => {
            row.repository = Some(repository.clone());
            row.recovery_fingerprint = Some(recovery_fingerprint.clone());
            ThingState::Ready
        }
        StoreEvent::StoreCreateFailed { reason } => {
            row.reason = Some(reason.clone());
            ThingState::Failed
        }
        StoreEvent::WriterAdmitted { operation } => {
            row.writers.retain(|writer| writer != operation);
            row.writers.push(*operation);
            row.state
        }
        StoreEvent::WriterReleased { operation } => {
            row.writers.retain(|writer| writer != operation);
            row.state
        }
        StoreEvent::RecoveryKeyConfirmed => {
            row.recovery_key_confirmed = true;
            row.state
        }
        StoreEvent::StoreRequested { .. }
        | StoreEvent::StoreNameClaimed
        | StoreEvent::StoreCreateFailing { .. }
        | StoreEvent::RecoveryKeyShown => row.state,
    };
    if state != row.state {
        row.state = state;
        row.change = model::change(event, fact.sentence());
    }
}
