//! Read models that are folded inside the append transaction.
//!
//! A projection is a pure fold over rows: which rows an event touches, and what each becomes. The same fold serves
//! the live path, the rebuild and a look at the past, so the three cannot disagree. The log owns the tables; the
//! projections know no SQL but their table's shape. A projection that fails is parked and shown: it never stops the log.

use std::borrow::BorrowMut;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::row::{self, Words};
use crate::events::Envelope;
use crate::types::{Position, StreamName};

/// Is the table that fits every projection; `{table}` stands for its name.
pub const UNIFORM_SCHEMA: &str =
    "CREATE TABLE {table} (key TEXT PRIMARY KEY, row TEXT NOT NULL, position INTEGER NOT NULL) STRICT";
/// Is how many rows are held between two events.
const ROWS_HELD: usize = 16_384;

/// How many rows of each read model a start looks at from either place.
const SAMPLE: usize = 8;
/// The longest history of a row that a start folds again.
const HISTORY: i64 = 500;

/// Is a read model of the current state, kept in the same transaction as the events.
pub trait InlineProjection: Send {
    /// Returns the name, in the letters of an SQL identifier.
    fn name(&self) -> &'static str;
    /// Returns the number of this shape; another number than the stored one rebuilds the rows.
    fn version(&self) -> u32;
    /// Returns the SQL that creates the table `{table}` with at least the columns `key`, `row` and `position`.
    ///
    /// Further columns are generated ones, such as `state TEXT GENERATED ALWAYS AS (row ->> '$.state') VIRTUAL`.
    fn schema(&self) -> &'static str {
        UNIFORM_SCHEMA
    }
    /// Returns the SQL that creates the indexes of `{table}`; run again after every rebuild.
    fn indexes(&self) -> &'static str {
        ""
    }
    /// Lists the rows that an event touches.
    fn keys(&self, event: &Envelope) -> Vec<String>;
    /// Tells what the row becomes: nothing removes it. Pure.
    fn fold(&self, key: &str, row: Option<Value>, event: &Envelope) -> Option<Value>;
    /// Lists the streams whose events alone make up a row, so that its past can be folded without the whole log.
    fn streams(&self, _key: &str) -> Option<Vec<StreamName>> {
        None
    }
}

/// Returns the table of the projection of that name.
pub fn table_of(name: &str) -> String {
    format!("projection_{name}")
}

/// Says how a projection stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// The version of its rows.
    pub version: u32,
    /// The last event in its rows.
    pub position: Position,
    /// Why it was parked, if it was.
    pub error: Option<String>,
}

/// Folds one event into one row; a panic of the fold is an error like any other.
fn fold_row(
    projection: &dyn InlineProjection,
    key: &str,
    row: Option<Value>,
    event: &Envelope,
) -> Result<Option<Value>, String> {
    catch_unwind(AssertUnwindSafe(|| projection.fold(key, row, event))).map_err(|panic| panic_text(&*panic))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "the fold panicked".to_owned())
}

/// Folds what `events` make of the row `key`, from nothing: how a row looked at the last of them.
pub fn fold_events<'a>(
    projection: &dyn InlineProjection,
    key: &str,
    events: impl IntoIterator<Item = &'a Envelope>,
) -> Option<Value> {
    let touching = events.into_iter().filter(|event| projection.keys(event).iter().any(|touched| touched == key));
    touching.fold(None, |row, event| projection.fold(key, row, event))
}

/// Is one registered projection with the rows it holds in memory.
pub(super) struct Slot {
    projection: Box<dyn InlineProjection>,
    table: String,
    rows: HashMap<String, Held>,
    dirty: HashMap<String, Position>,
    flushed: Position,
    /// How many rows the table has, and how many it had when that was last recorded.
    count: [i64; 2],
    parked: bool,
}

/// Is a row in memory.
struct Held {
    row: Option<Value>,
    /// Whether the table has one under that key.
    stored: bool,
}

impl Slot {
    pub(super) fn new(projection: Box<dyn InlineProjection>) -> Self {
        let table = table_of(projection.name());
        let (rows, dirty) = (HashMap::new(), HashMap::new());
        Self { projection, table, rows, dirty, flushed: Position::default(), count: [0, 0], parked: false }
    }

    pub(super) fn name(&self) -> &'static str {
        self.projection.name()
    }

    pub(super) fn version(&self) -> u32 {
        self.projection.version()
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// Returns how many rows the table has.
    pub(super) const fn count(&self) -> i64 {
        self.count[0]
    }

    pub(super) const fn is_parked(&self) -> bool {
        self.parked
    }

    /// Folds an event into the rows in memory; they reach the table with [`Slot::flush`].
    fn fold(&mut self, connection: &Connection, event: &Envelope) -> Result<(), Failure> {
        let touched = catch_unwind(AssertUnwindSafe(|| self.projection.keys(event)));
        for key in touched.map_err(|panic| Failure::Projection(panic_text(&*panic)))? {
            let Held { row, stored } = match self.rows.remove(&key) {
                Some(held) => held,
                None => self.load(connection, &key)?,
            };
            let row = fold_row(&*self.projection, &key, row, event).map_err(Failure::Projection)?;
            self.dirty.insert(key.clone(), event.position);
            self.rows.insert(key, Held { row, stored });
        }
        Ok(())
    }

    fn load(&self, connection: &Connection, key: &str) -> Result<Held, Failure> {
        let sql = format!("SELECT row FROM {} WHERE key = ?1", self.table);
        let text: Option<String> = connection.prepare_cached(&sql)?.query_row([key], |row| row.get(0)).optional()?;
        let stored = text.is_some();
        let row = text.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Held { row: row.map_err(|error| Failure::Projection(error.to_string()))?, stored })
    }

    /// Writes the rows that changed: all of them, or none if the table refuses one.
    fn flush_whole(&mut self, connection: &Connection) -> Result<(), Failure> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        connection.prepare_cached("SAVEPOINT projection")?.execute([])?;
        let flushed = self.flush(connection);
        if flushed.is_err() {
            connection.execute_batch("ROLLBACK TO projection")?;
        }
        connection.prepare_cached("RELEASE projection")?.execute([])?;
        flushed
    }

    /// Writes the rows that changed.
    fn flush(&mut self, connection: &Connection) -> Result<(), Failure> {
        if !self.dirty.is_empty() {
            let mut put = connection.prepare_cached(&format!(
                "INSERT INTO {} (key, row, position) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET row = excluded.row, position = excluded.position",
                self.table
            ))?;
            let mut delete = connection.prepare_cached(&format!("DELETE FROM {} WHERE key = ?1", self.table))?;
            for (key, position) in self.dirty.drain() {
                let Some(held) = self.rows.get_mut(&key) else { continue };
                match &held.row {
                    Some(row) => put.execute(params![key, row.to_string(), position.stored()])?,
                    None => delete.execute([key])?,
                };
                self.count[0] += i64::from(held.row.is_some()) - i64::from(held.stored);
                held.stored = held.row.is_some();
            }
            drop((put, delete));
            self.record_count(connection)?;
        }
        if self.rows.len() > ROWS_HELD {
            self.rows.clear();
        }
        Ok(())
    }

    /// Records how many rows there are: a start compares that with the table.
    fn record_count(&mut self, connection: &Connection) -> Result<(), Failure> {
        let [count, recorded] = self.count;
        if count != recorded {
            let sql = "UPDATE projections SET rows = ?2 WHERE name = ?1";
            connection.prepare_cached(sql)?.execute(params![self.name(), count])?;
            self.count[1] = count;
        }
        Ok(())
    }

    /// Says what is wrong with the rows, as far as a count and a few of them show.
    pub(super) fn probe(&self, connection: &Connection, words: &mut Words) -> rusqlite::Result<Option<String>> {
        let sql = format!("SELECT count(*) FROM {}", self.table);
        let counted: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if counted != self.count[0] {
            return Ok(Some(format!("it has {counted} rows and should have {}", self.count[0])));
        }
        for (key, row, position) in self.sample(connection)? {
            let Some(streams) = self.projection.streams(&key) else { continue };
            let Some(events) = short_history(connection, words, &streams)? else { continue };
            let touched = |event: &&Envelope| self.projection.keys(event).contains(&key);
            let last = events.iter().rev().find(touched).map(|event| event.position.stored());
            let made = catch_unwind(AssertUnwindSafe(|| fold_events(&*self.projection, &key, &events)));
            let Ok(made) = made else { continue };
            if serde_json::from_str(&row).ok() != made || last != Some(position) {
                return Ok(Some(format!("the row {key} is not what the log makes of it")));
            }
        }
        Ok(None)
    }

    /// Takes rows from a place that differs from start to start, and the first ones.
    fn sample(&self, connection: &Connection) -> rusqlite::Result<Vec<(String, String, i64)>> {
        let sql = format!(
            "SELECT key, row, position FROM {table} WHERE key IN (
                 SELECT key FROM (SELECT key FROM {table} ORDER BY key LIMIT {SAMPLE})
                 UNION SELECT key FROM (SELECT key FROM {table} WHERE key >= char(97 + abs(random() % 26)) ORDER BY key LIMIT {SAMPLE}))",
            table = self.table
        );
        let mut statement = connection.prepare(&sql)?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }

    /// Forgets what is in memory, because the transaction it belongs to is gone.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.dirty.clear();
    }

    /// Parks the projection; its rows stay readable as of the last position that was written whole.
    fn park(&mut self, connection: &Connection, reason: &str) -> rusqlite::Result<()> {
        let position = self.flushed;
        tracing::error!(projection = self.name(), %position, reason, "a projection is parked");
        self.forget();
        self.parked = true;
        connection
            .prepare_cached("UPDATE projections SET error = ?2, position = ?3 WHERE name = ?1")?
            .execute(params![self.name(), reason, position.stored()])?;
        Ok(())
    }

    /// Records how far it has come, where others are elsewhere: in a rebuild.
    pub(super) fn reached(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.parked {
            return Ok(());
        }
        let sql = "UPDATE projections SET position = ?2 WHERE name = ?1";
        connection.prepare_cached(sql)?.execute(params![self.name(), self.flushed.stored()]).map(drop)
    }

    /// Goes on with `rows` rows that are whole up to `position`.
    pub(super) fn resume(&mut self, position: Position, rows: i64) {
        self.parked = false;
        self.flushed = position;
        self.count = [rows, rows];
    }

    /// Makes an empty table beside the one in use and folds into it from now on.
    pub(super) fn begin_rebuild(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.forget();
        self.parked = false;
        self.flushed = Position::default();
        self.count = [0, 0];
        let shadow = format!("shadow_{}", self.name());
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {shadow}"))?;
        match connection.execute_batch(&self.projection.schema().replace("{table}", &shadow)).map_err(Failure::from) {
            Ok(()) => self.table = shadow,
            Err(Failure::Sqlite(source)) => return Err(source),
            Err(Failure::Projection(reason)) => self.park(connection, &reason)?,
        }
        Ok(())
    }

    /// Puts the new table in the place of the old one; that of a projection that parked meanwhile as far as it came.
    pub(super) fn end_rebuild(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let shadow = std::mem::replace(&mut self.table, table_of(self.projection.name()));
        let table = &self.table;
        if shadow == *table {
            return Ok(()); // there is no new one
        }
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}; ALTER TABLE {shadow} RENAME TO {table};"))?;
        match connection.execute_batch(&self.projection.indexes().replace("{table}", table)).map_err(Failure::from) {
            Ok(()) => Ok(()),
            Err(Failure::Sqlite(source)) => Err(source),
            Err(Failure::Projection(reason)) => self.park(connection, &reason),
        }
    }

    /// Notes, before a rebuild, that the rows are of this version, so that parking in the midst of it can be recorded.
    pub(super) fn announce(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql =
            "INSERT OR REPLACE INTO projections (name, version, position, error, rows) VALUES (?1, ?2, 0, NULL, 0)";
        connection.execute(sql, params![self.name(), self.version()]).map(drop)
    }
}

/// Reads the events that make up a row, in order; nothing if they are too many for a start.
fn short_history(
    connection: &Connection,
    words: &mut Words,
    streams: &[StreamName],
) -> rusqlite::Result<Option<Vec<Envelope>>> {
    let mut events = Vec::new();
    for stream in streams {
        let filter = "stream = (SELECT id FROM streams WHERE name = ?1) ORDER BY version LIMIT ?2";
        events.extend(row::read(connection, words, filter, params![stream.to_string(), HISTORY])?);
        if events.len() as i64 >= HISTORY {
            return Ok(None);
        }
    }
    events.sort_by_key(|event| event.position);
    Ok(Some(events))
}

enum Failure {
    Projection(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    /// A row that the projection's own table refuses is its fault; everything else is the file's.
    fn from(source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::Unknown) => {
                Self::Projection(source.to_string())
            }
            _ => Self::Sqlite(source),
        }
    }
}

/// Folds an event into every projection that is not parked.
pub(super) fn fold_all<S: BorrowMut<Slot>>(
    slots: &mut [S],
    connection: &Connection,
    event: &Envelope,
) -> rusqlite::Result<()> {
    for slot in slots.iter_mut().map(BorrowMut::borrow_mut).filter(|slot| !slot.parked) {
        match slot.fold(connection, event) {
            Ok(()) => {}
            Err(Failure::Sqlite(source)) => return Err(source),
            Err(Failure::Projection(reason)) => {
                let reason = format!("event {}: {reason}", event.position);
                slot.park(connection, &reason)?;
            }
        }
    }
    Ok(())
}

/// Records that every projection that is not parked has come this far: the table holds those that are registered.
pub(super) fn all_reached(connection: &Connection, head: Position) -> rusqlite::Result<()> {
    let sql = "UPDATE projections SET position = ?1 WHERE error IS NULL";
    connection.prepare_cached(sql)?.execute([head.stored()]).map(drop)
}

/// Writes the rows of every projection; that they have come this far is to be recorded in the same transaction.
pub(super) fn flush_all<S: BorrowMut<Slot>>(
    slots: &mut [S],
    connection: &Connection,
    head: Position,
) -> rusqlite::Result<()> {
    for slot in slots.iter_mut().map(BorrowMut::borrow_mut).filter(|slot| !slot.parked) {
        match slot.flush_whole(connection) {
            Ok(()) => slot.flushed = head,
            Err(Failure::Sqlite(source)) => return Err(source),
            Err(Failure::Projection(reason)) => slot.park(connection, &reason)?,
        }
    }
    Ok(())
}
