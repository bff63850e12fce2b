//! Templates: what each holds, who uses it, and whether its tree still is what was sealed.

use crate::events::{DomainEvent, Envelope, TemplateEvent};
use crate::types::Category;

use super::model::{self, Model, table};
use super::rows::{DriftRow, OpenOperation, TemplateRow, ThingState};

/// Is the read model.
pub struct Templates;

impl Model for Templates {
    const NAME: &'static str = "templates";
    const VERSION: u32 = 3;
    const CATEGORY: Category = Category::Template;
    const TABLE: &'static str = table!("name TEXT" => "$.name", "state TEXT" => "$.state");
    type Row = TemplateRow;

    fn fold(_: &str, row: Option<TemplateRow>, event: &Envelope) -> Option<TemplateRow> {
        let Some(fact) = model::decoded::<TemplateEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        apply(&mut row, &fact, event);
        super::model::track(&mut row.operation, &fact.mark(), event);
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &TemplateEvent, event: &Envelope) -> Option<TemplateRow> {
    let TemplateEvent::TemplateImportRequested { id, name, source } = fact else { return None };
    Some(TemplateRow {
        id: *id,
        name: name.clone(),
        state: ThingState::Creating,
        change: model::change(event, fact.sentence()),
        reason: None,
        source: source.clone(),
        summary: None,
        users: vec![],
        verified_at: None,
        drift: None,
        operation: None::<OpenOperation>,
        created_at: event.recorded_at,
        created_by: event.context.principal.who.clone(),
        position: event.position,
        needed_by: 0,
    })
}

fn apply(row: &mut TemplateRow, fact: &TemplateEvent, event: &Envelope) {
    let state = match fact {
        TemplateEvent::TemplateSealed(summary) => {
            row.summary = Some(summary.clone());
            ThingState::Ready
        }
        TemplateEvent::TemplateImportFailed { reason } => {
            row.reason = Some(reason.clone());
            ThingState::Failed
        }
        TemplateEvent::TemplateImportCancelled => {
            row.reason = Some("cancelled".to_owned());
            ThingState::Failed
        }
        TemplateEvent::TemplateDeleteRequested => ThingState::Deleting,
        TemplateEvent::TemplateDeleted => ThingState::Deleted,
        TemplateEvent::TemplateDeleteStuck { reason } | TemplateEvent::TemplateImportStuck { reason } => {
            row.reason = Some(reason.clone());
            ThingState::Stuck
        }
        TemplateEvent::TemplateClaimed { holder } => {
            row.users.retain(|user| user != holder);
            row.users.push(holder.clone());
            row.state
        }
        TemplateEvent::TemplateReleased { holder } => {
            row.users.retain(|user| user != holder);
            row.state
        }
        TemplateEvent::TemplateVerified => {
            row.verified_at = Some(event.recorded_at);
            row.drift = None;
            row.state
        }
        TemplateEvent::TemplateDriftFound { paths, count } => {
            row.drift = Some(DriftRow { paths: paths.clone(), count: *count, found_at: event.recorded_at });
            row.state
        }
        _ => row.state,
    };
    if state != row.state {
        row.state = state;
        row.change = model::change(event, fact.sentence());
    }
}
