//! How backups and their files look.

use super::look::with_note;
use super::{Cell, Column, Look, Tabular, Tone};
use crate::api::resources::{BackupFile, BackupMode, BackupOutcome};
use crate::projections::rows::BackupRow;
use crate::types::Size;

impl Tabular for BackupRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("ID"),
        Column::left("CONTAINER"),
        Column::left("TAKEN").whole(),
        Column::right("READ").spare(5),
        Column::right("NEW").spare(4),
        Column::right("STORED").spare(3),
        Column::left("STORE").spare(2),
        Column::left("OUTCOME"),
        Column::left("VERIFIED").spare(1),
        Column::left("MODE").wide(),
        Column::right("ENTRIES").wide(),
        Column::right("FROZEN").wide(),
        Column::left("SCHEDULE").wide(),
        Column::left("BY").wide(),
        Column::left("NOTE").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.id.short()),
            Cell::from(self.container_name.to_string()),
            Cell::from(look.time(self.taken_at)),
            Cell::from(self.read.to_string()),
            Cell::from(self.new.to_string()),
            Cell::from(self.stored.to_string()),
            Cell::maybe(self.store_name.as_ref()),
            outcome(self),
            verified(self, look),
            Cell::from(mode(self)),
            Cell::from(self.entries.to_string()),
            Cell::from(self.frozen.to_string()),
            Cell::maybe(self.schedule.as_ref()),
            Cell::from(&self.by),
            Cell::maybe(self.note.as_ref()),
        ]
    }
}

/// One that was to build on another and found none is full all the same.
fn mode(row: &BackupRow) -> &'static str {
    match row.mode {
        BackupMode::Incremental if row.base.is_some() => "incremental",
        BackupMode::Incremental | BackupMode::Full => "full",
    }
}

fn outcome(row: &BackupRow) -> Cell {
    match row.outcome {
        BackupOutcome::Complete => Cell::toned("complete", Tone::Good),
        BackupOutcome::CompleteWithExceptions => Cell::toned(format!("{} unreadable", row.unreadable), Tone::Warn),
    }
}

fn verified(row: &BackupRow, look: Look) -> Cell {
    match (&row.damage, row.verified_at) {
        (Some(_), _) => Cell::toned("DAMAGED", Tone::Bad),
        (None, Some(moment)) => Cell::toned(look.ago(moment), Tone::Good),
        (None, None) => Cell::toned("no", Tone::Faint),
    }
}

/// Returns the heading and the details of a backup.
pub fn describe(row: &BackupRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let heading = format!("{} of {}  taken {}", row.id, row.container_name, look.full(row.taken_at));
    let mut pairs = vec![
        ("outcome", outcome(row)),
        ("verified", verified(row, look)),
        ("mode", Cell::from(mode(row))),
        ("store", Cell::maybe(row.store_name.as_ref())),
        ("entries", Cell::from(row.entries.to_string())),
        ("read", Cell::from(row.read.to_string())),
        ("new", Cell::from(row.new.to_string())),
        ("stored", Cell::from(row.stored.to_string())),
        ("stood still", Cell::from(row.frozen.to_string())),
        ("base", Cell::maybe(row.base.map(|base| base.short()))),
        ("asked by", Cell::from(with_note(row.by.clone(), row.note.as_deref()))),
        ("schedule", Cell::maybe(row.schedule.as_ref())),
    ];
    pairs.extend(row.damage.as_ref().map(|damage| ("damage", Cell::toned(damage, Tone::Bad))));
    (heading, pairs)
}

/// Returns the line below a list of backups.
pub fn summary(rows: &[BackupRow]) -> String {
    let stored: u64 = rows.iter().map(|row| row.stored.as_bytes()).sum();
    match rows.len() {
        0 => "No backups. Make one:  berth backup run NAME".to_owned(),
        1 => format!("1 backup, {} stored.", Size::from_bytes(stored)),
        count => format!("{count} backups, {} stored.", Size::from_bytes(stored)),
    }
}

impl Tabular for BackupFile {
    const COLUMNS: &'static [Column] = &[
        Column::left("MODE"),
        Column::right("OWNER").spare(2),
        Column::right("SIZE"),
        Column::left("MODIFIED").whole().spare(1),
        Column::left("PATH"),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        let target = self.target.as_ref().map_or(String::new(), |target| format!(" -> {target}"));
        vec![
            Cell::from(format!("{}{}", kind_letter(&self.kind), permissions(self.mode))),
            Cell::from(format!("{}:{}", self.owner.0, self.owner.1)),
            Cell::from(Size::from_bytes(self.size).to_string()),
            Cell::from(look.full(self.modified)),
            Cell::from(format!("{}{target}", self.path)),
        ]
    }
}

/// As ls(1) shows it.
fn kind_letter(kind: &str) -> char {
    match kind {
        "file" => '-',
        "symlink" => 'l',
        "fifo" => 'p',
        other => other.chars().next().unwrap_or('?'),
    }
}

fn permissions(mode: u32) -> String {
    let letter = |bit: u32, letter: char| if mode & (1 << bit) == 0 { '-' } else { letter };
    let mut text: Vec<char> = (0..9).rev().map(|bit| letter(bit, ['x', 'w', 'r'][bit as usize % 3])).collect();
    for (bit, place, letter) in [(11, 2, 's'), (10, 5, 's'), (9, 8, 't')] {
        if mode & (1 << bit) != 0 {
            text[place] = if text[place] == 'x' { letter } else { letter.to_ascii_uppercase() };
        }
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_letters_of_ls() {
        let kinds = ["file", "directory", "symlink", "character device", "block device", "fifo", "socket"];
        assert_eq!(kinds.map(kind_letter), ['-', 'd', 'l', 'c', 'b', 'p', 's']);
    }

    #[test]
    fn permissions_are_shown_as_by_ls() {
        for (mode, text) in [(0o755, "rwxr-xr-x"), (0o4755, "rwsr-xr-x"), (0o1777, "rwxrwxrwt"), (0o2644, "rw-r-Sr--")]
        {
            assert_eq!(permissions(mode), text);
        }
    }
}
