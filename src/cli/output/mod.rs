//! Results in the form that `-o` asks for. One row is one thing; what it looks like stands with its noun.

pub mod backups;
pub mod containers;
pub mod csv;
pub mod events;
pub mod json;
pub mod look;
mod maintenance;
pub mod networks;
pub mod operations;
pub mod schedules;
pub mod stores;
pub mod table;
pub mod templates;
pub mod tones;
mod width;
mod yaml;

use clap::ValueEnum;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::failure::Failure;
use super::screen::Screen;
use crate::types::{BytePath, Timestamp, is_unsafe_for_terminal};
pub use look::Look;
pub use table::{Cell, Column, Tone};
pub use width::{display_width, wrapped};

/// Says in which form results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// One JSON document
    Json,
    /// A JSON object a line
    Jsonl,
    /// One YAML document
    Yaml,
    /// Comma-separated values, raw
    Csv,
    /// Names or ids alone, one a line
    Name,
}

impl Format {
    /// Says whether it is for people.
    pub const fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Says whether it is JSON.
    pub const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// Is a row that can be printed in a table.
pub trait Tabular: DeserializeOwned {
    /// Its columns.
    const COLUMNS: &'static [Column];

    /// Returns a cell for each column.
    fn cells(&self, look: Look) -> Vec<Cell>;
}

/// Is a list with all that stands around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The whole document as it came, so that a newer daemon's fields pass through.
    pub document: Value,
    /// That it was read without the daemon, if so.
    pub recorded: Option<Recorded>,
}

/// Says that something was read from the recorded state, since no daemon runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// When the daemon ended, if it ended in order. Of one that was killed nobody has written down when.
    pub stopped_at: Option<Timestamp>,
    /// The last sign of life.
    pub last_event: Option<Timestamp>,
}

impl Recorded {
    /// Returns it in words; `time` writes a moment.
    fn words(self, time: impl Fn(Timestamp) -> String) -> String {
        match (self.stopped_at, self.last_event) {
            (Some(moment), _) => format!("down since {}", time(moment)),
            (None, Some(moment)) => format!("down, did not end in order; its last event is of {}", time(moment)),
            (None, None) => "down".to_owned(),
        }
    }
}

impl Listing {
    /// Returns the rows as they came.
    pub fn items(&self) -> &[Value] {
        self.document.get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Reads the rows.
    ///
    /// # Errors
    /// They are not what this version knows.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        self.items().iter().map(|item| row(item.clone())).collect()
    }
}

/// Reads one row.
///
/// # Errors
/// It is not what this version knows.
pub fn row<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| {
        let message = format!("cannot understand what the daemon answered: {error}");
        Failure::new(super::exit::Exit::Failed, "daemon.foreign", message)
            .hinted("Are berth and its daemon of one version? -o json shows the answer as it is.")
    })
}

/// Prints a list.
///
/// # Errors
/// Nobody reads, or rows are not what this version knows.
pub fn list<T: Tabular>(
    screen: &mut Screen,
    format: Format,
    look: Look,
    listing: &Listing,
    summary: impl FnOnce(&[T]) -> String,
) -> Result<(), Failure> {
    if !format.is_for_people() {
        return machine(screen, format, listing);
    }
    let rows: Vec<T> = listing.rows()?;
    if !rows.is_empty() {
        let cells: Vec<Vec<Cell>> = rows.iter().map(|row| row.cells(look)).collect();
        let wide = format == Format::Wide;
        let room = screen.room.filter(|_| !wide);
        screen.write(&table::render(T::COLUMNS, &cells, wide, screen.colour, room))?;
    }
    for line in summary(&rows).lines() {
        screen.line(line)?;
    }
    if let Some(clock) = listing.document.pointer("/as_of/clock").and_then(Value::as_str) {
        screen.line(&look::local(clock))?;
    }
    note_recorded(screen, look, listing.recorded)
}

/// Says under a table that it shows what was recorded last.
///
/// # Errors
/// Nobody reads.
pub fn note_recorded(screen: &mut Screen, look: Look, recorded: Option<Recorded>) -> Result<(), Failure> {
    match recorded {
        Some(recorded) => {
            Ok(screen.line(&format!("as recorded; daemon {}", recorded.words(|moment| look.full(moment))))?)
        }
        None => Ok(()),
    }
}

/// Prints a list in a form for machines.
///
/// # Errors
/// Nobody reads.
pub fn machine(screen: &mut Screen, format: Format, listing: &Listing) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Yaml => {
            let mut document = listing.document.clone();
            add_daemon(&mut document, listing.recorded);
            screen.write(&structured(format, &document))?;
        }
        Format::Jsonl => listing.items().iter().try_for_each(|item| screen.write(&json::line(item)))?,
        Format::Csv => raw(screen, &csv::table(listing.items()))?,
        _ => listing.items().iter().try_for_each(|item| screen.line(&name_of(item)))?,
    }
    Ok(())
}

/// Prints one thing in a form for machines; says whether it did.
///
/// # Errors
/// Nobody reads.
pub fn one(screen: &mut Screen, format: Format, item: &Value, recorded: Option<Recorded>) -> Result<bool, Failure> {
    match format {
        Format::Table | Format::Wide => return Ok(false),
        Format::Json | Format::Yaml => {
            let mut item = item.clone();
            add_daemon(&mut item, recorded);
            screen.write(&structured(format, &item))?;
        }
        Format::Jsonl => screen.write(&json::line(item))?,
        Format::Csv => raw(screen, &csv::table(std::slice::from_ref(item)))?,
        Format::Name => screen.line(&name_of(item))?,
    }
    Ok(true)
}

/// Returns a document as JSON, or as YAML where that is wanted.
pub fn structured(format: Format, document: &Value) -> String {
    if format == Format::Yaml { yaml::document(document) } else { json::document(document) }
}

fn add_daemon(document: &mut Value, recorded: Option<Recorded>) {
    if let (Some(recorded), Some(object)) = (recorded, document.as_object_mut()) {
        object.insert("daemon".to_owned(), json!(recorded.words(|moment| moment.to_string())));
    }
}

/// Values go out as they are, except to a terminal.
fn raw(screen: &mut Screen, text: &str) -> Result<(), Failure> {
    if !screen.out_is_terminal {
        return Ok(screen.write(text)?);
    }
    let is_unsafe = |character: char| character != '\n' && is_unsafe_for_terminal(character);
    let safe: String = text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect();
    Ok(screen.write(&safe)?)
}

/// Returns the one word to call a row by: what the next command takes.
pub fn name_of(item: &Value) -> String {
    let is_about = item.get("container_name").is_some() || item.get("target").is_some();
    if is_about && item.get("id").is_some() {
        return word(item, &["id", "name"]);
    }
    let item = item.get("node").filter(|node| node.is_object()).unwrap_or(item);
    word(item, &["name", "id", "position", "operation", "path", "slot", "container", "feature", "hostname", "root"])
}

fn word(item: &Value, keys: &[&str]) -> String {
    let mut found = keys.iter().filter_map(|key| Some((*key, item.get(key).filter(|value| !value.is_null())?)));
    match found.next() {
        Some(("path", value)) => path_of(value).unwrap_or_else(|| value.to_string()),
        Some((_, Value::String(text))) => text.clone(),
        Some((_, other)) => other.to_string(),
        None => String::new(),
    }
}

/// A path is written as it is shown, on one line: so it can be named again whatever its bytes are.
fn path_of(value: &Value) -> Option<String> {
    BytePath::deserialize(value).ok().map(|path| path.to_string())
}

#[cfg(test)]
mod tests;
