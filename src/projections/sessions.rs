//! Sessions: who entered which container, and how it ended. The arguments stand in the annex and in no row.

use crate::events::{Envelope, SessionEvent};
use crate::types::Category;

use super::model::{self, Model, table};
use super::rows::SessionRow;

/// Is the read model.
pub struct Sessions;

impl Model for Sessions {
    const NAME: &'static str = "sessions";
    const VERSION: u32 = 2;
    const CATEGORY: Category = Category::Session;
    const TABLE: &'static str = table!("container TEXT" => "$.container", "closed_at TEXT" => "$.closed_at");
    const INDEXES: &'static str = "CREATE INDEX {table}_container ON {table} (container)";
    type Row = SessionRow;

    fn fold(_: &str, row: Option<SessionRow>, event: &Envelope) -> Option<SessionRow> {
        match (model::decoded::<SessionEvent>(event), row) {
            (Some(SessionEvent::SessionOpened { id, container, user, terminal }), _) => Some(SessionRow {
                id,
                container,
                user,
                terminal,
                by: event.context.principal.who.clone(),
                opened_at: event.recorded_at,
                closed_at: None,
                code: None,
                reason: None,
                operation: event.context.operation,
                position: event.position,
                container_name: None,
            }),
            (Some(SessionEvent::SessionClosed { code, reason }), Some(row)) => {
                Some(SessionRow { closed_at: Some(event.recorded_at), code, reason, position: event.position, ..row })
            }
            (_, row) => row,
        }
    }
}
