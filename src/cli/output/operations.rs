//! How operations look.

use super::look::{local, took, with_note};
use super::{Cell, Column, Look, Tabular, Tone, tones};
use crate::projections::rows::{Afterwards, OperationRow, OperationState};
use crate::types::Category;

impl Tabular for OperationRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("ID"),
        Column::left("WHAT"),
        Column::left("TARGET"),
        Column::left("STATE"),
        Column::left("PHASE").spare(3),
        Column::left("BY").spare(2),
        Column::left("BEGAN").whole().spare(1),
        Column::right("TOOK").spare(1),
        Column::left("REASON").wide(),
        Column::left("NOTE").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.id.short()),
            Cell::from(&self.verb),
            Cell::from(target(self)),
            tones::operation(self.state),
            Cell::maybe(phase(self)),
            Cell::from(&self.by),
            Cell::from(look.time(self.opened_at)),
            Cell::from(lasted(self, look)),
            Cell::maybe(self.reason.as_deref().map(local)),
            Cell::maybe(self.note.as_ref()),
        ]
    }
}

fn target(row: &OperationRow) -> String {
    row.target_name.as_ref().map_or_else(|| super::events::short(&row.target), ToString::to_string)
}

fn lasted(row: &OperationRow, look: Look) -> String {
    took(row.closed_at.unwrap_or_else(|| look.now()).since(row.opened_at))
}

/// Returns the commands that can be typed next for what goes on or waits, with what they do.
fn next(row: &OperationRow) -> Vec<(&'static str, Cell)> {
    let id = row.id.short();
    match row.state {
        _ if row.afterwards.is_some() => vec![],
        _ if row.unconfirmed => vec![
            ("not confirmed", Cell::toned("the files of before are kept", Tone::Warn)),
            ("to keep it", Cell::from(format!("berth backup confirm {id}"))),
            ("to take it back", Cell::from(format!("berth backup roll-back {id}"))),
        ],
        OperationState::Stuck if row.stream.category() == Category::RestoreJob => {
            vec![("to take it back", Cell::from(format!("berth backup roll-back {id}")))]
        }
        state if !state.is_over() => {
            let call_off = ("to call it off", Cell::from(format!("berth operation cancel {id}")));
            let wait = ("to wait for it", Cell::from(format!("berth operation wait {id}")));
            [wait].into_iter().chain(Some(call_off).filter(|_| can_be_called_off(row))).collect()
        }
        _ => vec![],
    }
}

/// What can be called off of what is done to a container.
const CAN_BE_CALLED_OFF: &[&str] = &["create", "start", "restart", "stop", "set"];

/// Says whether an operation under way may still be called off: what is being killed is not.
pub fn can_be_called_off(row: &OperationRow) -> bool {
    let is_of_container = row.stream.category() == Category::Container;
    row.phase.as_deref() != Some("killing") && (!is_of_container || CAN_BE_CALLED_OFF.contains(&row.verb.as_str()))
}

/// Says what became of a restore in place after it was done.
fn afterwards(afterwards: Afterwards, look: Look) -> (&'static str, Cell) {
    match afterwards {
        Afterwards::Confirmed { at } => ("confirmed", Cell::from(look.full(at))),
        Afterwards::RolledBack { at } => ("rolled back", Cell::from(look.full(at))),
        Afterwards::Purged { at } => {
            ("purged", Cell::from(format!("the container, the files of before with it, {}", look.full(at))))
        }
    }
}

/// Returns the phase that an operation is in, or did not get beyond.
fn phase(row: &OperationRow) -> Option<&String> {
    row.phase.as_ref().filter(|_| !row.is_success())
}

/// Returns the heading and the details of an operation.
pub fn describe(row: &OperationRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let heading = format!("{} {}  {}  id {}", row.verb, target(row), row.state, row.id);
    let mut pairs = vec![
        ("by", Cell::from(with_note(row.by.clone(), row.note.as_deref()))),
        ("began", Cell::from(look.full(row.opened_at))),
        ("phase", Cell::maybe(phase(row))),
        ("took", Cell::from(lasted(row, look))),
    ];
    pairs.extend(row.afterwards.map(|what| afterwards(what, look)));
    pairs.extend(row.reason.as_ref().map(|reason| ("reason", Cell::toned(local(reason), Tone::Bad))));
    pairs.extend(row.cause.as_ref().and_then(|cause| cause.code.as_ref()).map(|code| ("code", Cell::from(code))));
    pairs.extend(row.first_failure.as_ref().map(|words| ("first failure", Cell::toned(words, Tone::Warn))));
    pairs.extend(row.warnings.iter().map(|words| ("warning", Cell::toned(words, Tone::Warn))));
    pairs.extend(next(row));
    pairs.push(("stream", Cell::from(row.stream.to_string())));
    pairs.push(("events from", Cell::from(row.opened.to_string())));
    (heading, pairs)
}
