//! How events look.

use super::look::{local, with_note};
use super::{Cell, Column, Look, Tabular};
use crate::projections::rows::{EventDetail, EventRow};
use crate::types::{ID_LENGTH, StreamName};

/// How many characters of an id a table shows.
const SHORT_LENGTH: usize = 8;

impl Tabular for EventRow {
    const COLUMNS: &'static [Column] = &[
        Column::right("POSITION"),
        Column::left("TIME").whole(),
        Column::left("WHO").spare(1),
        Column::left("ABOUT"),
        Column::left("WHAT").prose(),
        Column::left("KIND").wide(),
        Column::left("OPERATION").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.position.to_string()),
            Cell::from(look.full(self.recorded_at)),
            Cell::from(&self.who),
            Cell::from(about(self)),
            Cell::from(with_note(local(&self.sentence), self.note.as_deref())),
            Cell::from(&self.kind),
            Cell::from(self.operation.short()),
        ]
    }
}

fn about(row: &EventRow) -> String {
    match &row.name {
        Some(name) => format!("{} {name}", row.stream.category()),
        None => short(&row.stream),
    }
}

/// Returns a stream in the words of a table: an id by its first characters, a name as it is.
pub fn short(stream: &StreamName) -> String {
    let key = stream.key();
    let told = if key.len() == ID_LENGTH { key.chars().take(SHORT_LENGTH).collect() } else { key.to_owned() };
    format!("{} {told}", stream.category())
}

/// Tells whether an annex has nothing but the reason, which has a line of its own.
fn is_reason_alone(annex: &serde_json::Value) -> bool {
    annex.as_object().is_some_and(|annex| annex.len() == 1 && annex.contains_key("reason"))
}

/// Returns an event as one line, for following.
pub fn line(row: &EventRow, look: Look) -> String {
    let told = with_note(local(&row.sentence), row.note.as_deref());
    format!("{}  {}  {}  {}  {told}", row.position, look.full(row.recorded_at), row.who, about(row))
}

/// Returns the heading and the details of an event.
pub fn describe(event: &EventDetail, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let row = &event.row;
    let heading = format!("{}  {}: {}", row.position, about(row), local(&row.sentence));
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
    if let Some(annex) = event.annex.as_ref().filter(|annex| !is_reason_alone(annex)) {
        pairs.push(("annex", Cell::from(super::json::line(annex).trim_end())));
    }
    pairs.push(("leaf", Cell::from(&event.leaf)));
    (heading, pairs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Timestamp;

    fn detail(annex: &serde_json::Value) -> Vec<(&'static str, Cell)> {
        let event = json!({
            "position": 7, "stream": "session/fovsxdk66243zgztbmdmxphftk", "version": 1, "kind": "SessionOpened",
            "schema": 1, "recorded_at": "2026-11-23T12:00:00Z", "who": "root", "how": "local", "sentence": "opened",
            "operation": "cizpnxknqxrhi5rfh72kmtj5z7", "name": null, "body": {}, "annex": annex, "leaf": "ab",
            "wall_clock": "2026-11-23T12:00:00Z", "boot": "b", "node": "cizpnxknqxrhi5rfh72kmtj5z7", "causation": null,
        });
        describe(&serde_json::from_value(event).unwrap(), Look::at(Timestamp::from_micros(0))).1
    }

    #[test]
    fn an_event_shows_its_reason_and_what_else_is_beside_it() {
        let words = |annex: serde_json::Value| format!("{:?}", detail(&annex));
        let both = words(json!({"reason": "to look", "argv": ["ls", "/"]}));
        assert!(both.contains("to look") && both.contains("argv"), "{both}");
        let alone = words(json!({"reason": "to look"}));
        assert!(alone.contains("to look") && !alone.contains("annex"), "{alone}");
    }

    #[test]
    fn an_id_is_shortened_and_a_name_is_not() {
        let told = |stream: &str| short(&stream.parse().unwrap());
        assert_eq!(told("batch/fovsxdk66243zgztbmdmxphftk"), "batch fovsxdk6");
        assert_eq!(told("directory/container"), "directory container");
    }
}
