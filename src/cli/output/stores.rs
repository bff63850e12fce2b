//! How backup stores look.

use super::look::why;
use super::{Cell, Column, Look, Tabular, Tone, tones};
use crate::projections::rows::StoreRow;

impl Tabular for StoreRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("PATH"),
        Column::right("BACKUPS").spare(2),
        Column::right("STORED").spare(1),
        Column::left("RECOVERY KEY"),
        Column::left("FINGERPRINT").wide(),
        Column::left("ID").wide(),
    ];

    fn cells(&self, _: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.name.to_string()),
            state(self),
            Cell::from(&self.path),
            Cell::from(self.backups.to_string()),
            Cell::from(self.stored.to_string()),
            key(self),
            Cell::maybe(self.recovery_fingerprint.as_ref()),
            Cell::from(self.id.short()),
        ]
    }
}

/// A store that is not there, or to which there is no key, is not ready, whatever was recorded of it.
fn state(row: &StoreRow) -> Cell {
    if row.trouble.is_some() { Cell::toned("NOT USABLE", Tone::Bad) } else { tones::thing(row.state) }
}

fn key(row: &StoreRow) -> Cell {
    if row.recovery_key_confirmed {
        Cell::toned("confirmed", Tone::Good)
    } else {
        Cell::toned("NOT CONFIRMED", Tone::Warn)
    }
}

/// Returns the heading and the details of a store.
pub fn describe(row: &StoreRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let since = look.time(row.change.since);
    let state = if row.trouble.is_some() { "not usable, made".to_owned() } else { format!("{} since", row.state) };
    let heading = format!("{}  {state} {since}  id {}", row.name, row.id);
    let mut pairs = vec![
        ("path", Cell::from(&row.path)),
        ("repository", Cell::maybe(row.repository.as_ref())),
        ("backups", Cell::from(format!("{}, {} stored", row.backups, row.stored))),
        ("recovery key", key(row)),
        ("fingerprint", Cell::maybe(row.recovery_fingerprint.as_ref())),
        ("writers", Cell::from(row.writers.len().to_string())),
    ];
    pairs.extend(row.trouble.as_ref().map(|trouble| ("not usable now", Cell::toned(trouble, Tone::Bad))));
    pairs.extend(row.reason.as_ref().map(|reason| ("reason", Cell::toned(reason, Tone::Bad))));
    pairs.push(("created", Cell::from(format!("{} by {}", look.time(row.created_at), row.created_by))));
    pairs.push(("last change", Cell::from(why(&row.change))));
    (heading, pairs)
}
