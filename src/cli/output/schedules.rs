//! How schedules and their slots look.

use super::look::why;
use super::{Cell, Column, Look, Tabular, Tone, tones};
use crate::api::resources::{NextSlot, ScheduledAction, Selection};
use crate::projections::rows::{RunByHand, ScheduleRow, SlotFate, SlotRow};

impl Tabular for ScheduleRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("WHEN").whole(),
        Column::left("ZONE").spare(3),
        Column::left("ACTION"),
        Column::left("FOR").spare(2),
        Column::left("LAST").spare(1),
        Column::left("NEXT").whole(),
        Column::right("FIRED").wide(),
        Column::right("SKIPPED").wide(),
        Column::right("MISSED").wide(),
        Column::left("ID").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.name.to_string()),
            tones::schedule(self.state),
            Cell::from(self.definition.cron.to_string()),
            Cell::from(self.definition.zone.to_string()),
            Cell::from(action(self)),
            Cell::from(selection(&self.definition.selection)),
            last(self, look),
            Cell::maybe(self.next.map(|moment| look.time(moment))),
            Cell::from(self.fired.to_string()),
            Cell::from(self.skipped.to_string()),
            Cell::from(self.missed.to_string()),
            Cell::from(self.id.short()),
        ]
    }
}

fn action(row: &ScheduleRow) -> String {
    match &row.definition.action {
        ScheduledAction::Backup { .. } => {
            row.store_name.as_ref().map_or_else(|| "backup".to_owned(), |store| format!("backup to {store}"))
        }
        ScheduledAction::Defragment => "defragment".to_owned(),
        ScheduledAction::UpdateCheck => "update-check".to_owned(),
    }
}

fn selection(selection: &Selection) -> String {
    match selection {
        Selection::All => "all".to_owned(),
        Selection::Names(patterns) => patterns.join(","),
        Selection::Labels(labels) => {
            labels.iter().map(|(key, value)| format!("label:{key}={value}")).collect::<Vec<_>>().join(",")
        }
    }
}

/// Returns what came last, be it a slot or a run by hand.
fn last(row: &ScheduleRow, look: Look) -> Cell {
    let slot = row.slots.last();
    match &row.by_hand {
        Some(run) if slot.is_none_or(|slot| slot.recorded_at < run.requested_at) => by_hand(run, look),
        _ => slot.map_or_else(|| Cell::maybe(None::<String>), |slot| last_slot(slot, look)),
    }
}

fn by_hand(run: &RunByHand, look: Look) -> Cell {
    Cell::toned(format!("by hand: {} {}", run.state, look.ago(run.requested_at)), tones::of_operation(run.state))
}

fn last_slot(slot: &SlotRow, look: Look) -> Cell {
    let when = look.ago(slot.recorded_at);
    match (slot.fate, &slot.outcome) {
        (SlotFate::Fired, Some(outcome)) if outcome.is_success() => Cell::from(format!("{} {when}", outcome.words())),
        (SlotFate::Fired, Some(outcome)) => Cell::toned(format!("{} {when}", outcome.words()), Tone::Bad),
        (SlotFate::Fired, None) => Cell::toned(format!("running since {when}"), Tone::Warn),
        (fate, _) => Cell::toned(format!("{fate} {when}"), Tone::Warn),
    }
}

/// Returns the heading and the details of a schedule.
pub fn describe(row: &ScheduleRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let definition = &row.definition;
    let heading = format!("{}  {} since {}  id {}", row.name, row.state, look.time(row.change.since), row.id);
    let mut pairs = vec![
        ("when", Cell::from(format!("{}  {}", definition.cron, definition.zone))),
        ("action", Cell::from(action(row))),
        ("for", Cell::from(selection(&definition.selection))),
        ("next", Cell::maybe(row.next.map(|moment| format!("{} ({})", look.time(moment), look.ahead(moment))))),
        ("last", last(row, look)),
        ("last by hand", Cell::maybe(row.by_hand.as_ref().map(|run| described(run, look)))),
        ("catch-up", Cell::from(definition.catch_up.to_string())),
        ("jitter", Cell::from(definition.jitter.to_string())),
        ("window", Cell::maybe(definition.window)),
        ("parallel", Cell::from(definition.parallel.to_string())),
        ("slots", Cell::from(format!("{} fired, {} skipped, {} missed", row.fired, row.skipped, row.missed))),
    ];
    for slot in row.slots.iter().rev().take(5) {
        let reason = slot.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        pairs.push(("slot", Cell::from(format!("{}  {}{reason}", look.time(slot.slot), slot.fate))));
    }
    pairs.push(("last change", Cell::from(why(&row.change))));
    (heading, pairs)
}

fn described(run: &RunByHand, look: Look) -> String {
    let reason = run.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let (when, operation) = (look.time(run.requested_at), run.operation.short());
    format!("{}  {}{reason}; {}, by {}, operation {operation}", when, run.state, run.told, run.by)
}

impl Tabular for NextSlot {
    const COLUMNS: &'static [Column] = &[
        Column::left("RUNS AT"),
        Column::left("IN"),
        Column::left("SLOT").whole().spare(1),
        Column::left("NOTE").prose(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        vec![
            Cell::from(look.full(self.at)),
            Cell::from(look.ahead(self.at)),
            Cell::from(look.full(self.slot)),
            Cell::maybe(self.skipped.as_ref()),
        ]
    }
}
