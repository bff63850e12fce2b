//! How events look.

use super::{Cell, Column, Look, Tabular};
use crate::projections::rows::{EventDetail, EventRow};

impl Tabular for EventRow {
    const COLUMNS: &'static [Column] = &[
        Column::right("POSITION"),
        Column::left("TIME"),
        Column::left("WHO"),
        Column::left("ABOUT"),
        Column::left("WHAT"),
        Column::left("KIND").wide(),
        Column::left("OPERATION").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.position.to_string()),
            Cell::from(look.full(self.recorded_at)),
            Cell::from(&self.who),
            Cell::from(about(self)),
            Cell::from(&self.sentence),
            Cell::from(&self.kind),
            Cell::from(self.operation.short()),
        ]
    }
}

fn about(row: &EventRow) -> String {
    let key = || row.stream.key().chars().take(8).collect();
    format!("{} {}", row.stream.category(), row.name.clone().unwrap_or_else(key))
}

/// Returns an event as one line, for following.
pub fn line(row: &EventRow, look: Look) -> String {
    format!("{}  {}  {}  {}  {}", row.position, look.full(row.recorded_at), row.who, about(row), row.sentence)
}

/// Returns the heading and the details of an event.
pub fn describe(event: &EventDetail, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let row = &event.row;
    let heading = format!("{}  {}: {}", row.position, about(row), row.sentence);
    let reason = event.annex.as_ref().and_then(|annex| annex.get("reason")).and_then(|reason| reason.as_str());
    let mut pairs = vec![
        ("kind", Cell::from(format!("{} (schema {})", row.kind, event.schema))),
        ("recorded", Cell::from(look.full(row.recorded_at))),
        ("who", Cell::from(format!("{}, {}", row.who, row.how))),
    ];
    pairs.extend(reason.map(|reason| ("why", Cell::from(reason))));
    pairs.push(("stream", Cell::from(format!("{} version {}", row.stream, row.version))));
    pairs.push(("operation", Cell::from(row.operation.to_string())));
    pairs.push(("body", Cell::from(super::json::line(&event.body).trim_end())));
    if let (Some(annex), None) = (&event.annex, reason) {
        pairs.push(("annex", Cell::from(super::json::line(annex).trim_end())));
    }
    pairs.push(("leaf", Cell::from(&event.leaf)));
    (heading, pairs)
}
