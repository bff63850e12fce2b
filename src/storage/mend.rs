//! What mends everything that follows from the log: indexes, read models, keys, snapshots, triggers. The log is not touched.

use std::io::ErrorKind;
use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::database::{self, LOG_FILE};
use super::derived::{Objects, is_disposable, objects};
use super::error::{OpenError, ReadError};
use super::intern::Interner;
use super::keys::{self, Keys};
use super::ledger::Ledger;
use super::projection::{InlineProjection, Slot};
use super::reserve::Reserve;
use super::row::{self, Words};
use super::{file, format, log};
use crate::types::Position;

/// The tables that hold the log; whatever else there is is made from them.
const OF_THE_LOG: [&str; 6] = ["streams", "kinds", "boots", "nodes", "principals", "events"];

/// Everything that cannot be made anew, in an order in which each refers only to what is there.
const COPIED: [&str; 10] =
    ["log", "streams", "kinds", "boots", "nodes", "principals", "segments", "events", "commits", "checkpoints"];

/// Makes anew, with no daemon at work, everything that follows from the log of a state directory.
///
/// # Errors
///
/// A daemon is at work there; the log itself is damaged, and then nothing was changed.
pub fn rebuild(
    state: &Path,
    projections: Vec<Box<dyn InlineProjection>>,
    condemned: &[i64],
) -> Result<Position, OpenError> {
    let _lock = log::lock(state)?;
    format::read(state)?;
    let path = state.join(LOG_FILE);
    let mut slots: Vec<Slot> = projections.into_iter().map(Slot::new).collect();
    let open = |slots| {
        let mut ledger = Ledger::open(path.clone(), false, Reserve::new(&path, 0))?;
        ledger.adopt(slots).map(|()| ledger)
    };
    let mended = open(std::mem::take(&mut slots)).and_then(|mut ledger| {
        let mended = ledger.mend(condemned);
        slots = std::mem::take(&mut ledger.slots);
        mended.map_err(|source| OpenError::Read(row::read_error(&path, source)))?;
        Ok(ledger)
    });
    let ledger = match mended {
        Err(OpenError::Read(error)) if error.is_damage() && !slots.is_empty() => {
            salvage(&path)?;
            let mut ledger = open(slots)?;
            ledger.mend(condemned).map_err(|source| OpenError::Read(row::read_error(&path, source)))?;
            ledger
        }
        mended => mended?,
    };
    let _ = database::settle(&ledger.connection); // what waits in the write-ahead log is mended there as well
    Ok(ledger.head().position)
}

/// Copies the log row by row into a new file, past every index, and puts that in the place of the old one, which is kept
/// beside it: an index may be damaged in such a way that it cannot even be deleted.
fn salvage(path: &Path) -> Result<(), OpenError> {
    let (new, kept) = (path.with_extension("db.new"), path.with_extension("db.damaged"));
    for stale in [&new, &kept] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(OpenError::file(stale)(error)),
            _ => {}
        }
    }
    copy_log(path, &new).map_err(|source| OpenError::Read(row::read_error(path, source)))?;
    file::restrict(&new).map_err(OpenError::file(&new))?;
    std::fs::hard_link(path, &kept).map_err(OpenError::file(&kept))?;
    std::fs::rename(&new, path).map_err(OpenError::file(path))?;
    file::sync_parent(path).map_err(OpenError::file(path))
}

fn copy_log(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let (damaged, log) = (Connection::open(from)?, Connection::open(to)?);
    // Whatever is only in the write-ahead log goes into the file first: that log must not be taken for the new file's.
    database::settle(&damaged)?;
    damaged.pragma_update(None, "journal_mode", "DELETE")?;
    drop(damaged);
    database::prepare_file(&log)?;
    database::create_tables(&log)?;
    let triggers: Objects = objects(&log)?.into_iter().filter(|((kind, _), _)| kind == "trigger").collect();
    triggers.keys().try_for_each(|(_, name)| log.execute_batch(&format!("DROP TRIGGER {name}")))?;
    log.execute("ATTACH ?1 AS damaged", [from.to_string_lossy()])?;
    log.execute_batch("PRAGMA foreign_keys = OFF; BEGIN")?;
    for table in COPIED {
        let sql = format!("INSERT INTO main.{table} SELECT * FROM damaged.{table} NOT INDEXED ORDER BY rowid");
        log.execute(&sql, [])?;
    }
    triggers.values().flatten().try_for_each(|sql| log.execute_batch(sql))?;
    log.execute_batch("COMMIT; DETACH damaged")
}

impl Ledger {
    /// Makes indexes, triggers, keys and read models anew in one transaction, and drops the snapshots of these streams
    /// and those that are of no stream.
    pub(super) fn mend(&mut self, condemned: &[i64]) -> rusqlite::Result<()> {
        self.begin()?;
        for table in OF_THE_LOG {
            self.connection.execute_batch(&format!("REINDEX {table}"))?;
        }
        mend_schema(&self.connection, &self.slots)?;
        drop_snapshots(&self.connection, condemned)?;
        keys::rebuild(&self.connection)?;
        // Numbers and versions may have been read by way of a damaged index.
        (self.interner, self.words) = (Interner::default(), Words::default());
        let all: Vec<usize> = (0..self.slots.len()).collect();
        self.fold_anew(&all, Position::new(self.tree.size()))?;
        self.connection.execute_batch("COMMIT")?;
        *super::ledger::lock(&self.keys) = Keys::load(&self.connection)?;
        Ok(())
    }

    /// Puts back triggers, indexes and disposable tables that are not as they were made, if there are any.
    pub(super) fn check_schema(&mut self) -> Result<(), ReadError> {
        self.put_back().map_err(|source| row::read_error(&self.path, source))
    }

    fn put_back(&mut self) -> rusqlite::Result<()> {
        let (stray, missing) = differing(&self.connection, &self.slots)?;
        if stray.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let named = stray.iter().chain(missing.keys()).map(|(kind, name)| format!("{kind} {name}"));
        let objects = named.collect::<Vec<_>>().join(", ");
        tracing::error!(
            objects,
            "the log's file has other triggers, indexes or tables than berth made; they are put right"
        );
        mend_schema(&self.connection, &self.slots)?;
        *super::ledger::lock(&self.keys) = Keys::load(&self.connection)?;
        Ok(())
    }
}

fn wanted() -> rusqlite::Result<Objects> {
    let made = Connection::open_in_memory()?;
    database::create_tables(&made)?;
    keys::create_tables(&made)?;
    objects(&made)
}

/// Lists what is not berth's or not as it was made, and what is missing. Tables of the log itself are left alone, and the
/// indexes of read models come and go with their tables.
fn differing(connection: &Connection, slots: &[Slot]) -> rusqlite::Result<(Vec<(String, String)>, Objects)> {
    let (stored, wanted) = (objects(connection)?, wanted()?);
    let is_stray = |object: &(String, String), sql: &Option<String>| match wanted.get(object) {
        Some(made) => made != sql && is_disposable(object),
        None if object.0 == "table" => is_left_over(&object.1, slots),
        None => !is_of_a_model(object, slots),
    };
    let stray: Vec<_> =
        stored.iter().filter(|(object, sql)| is_stray(object, sql)).map(|(object, _)| object.clone()).collect();
    let is_missing = |object: &(String, String)| !stored.contains_key(object) || stray.contains(object);
    let missing = wanted.iter().filter(|(object, _)| is_disposable(object) && is_missing(object));
    let missing = missing.map(|(object, sql)| (object.clone(), sql.clone())).collect();
    Ok((stray, missing))
}

fn is_of_a_model((kind, name): &(String, String), slots: &[Slot]) -> bool {
    kind == "index" && slots.iter().any(|slot| name.starts_with(slot.table()))
}

fn mend_schema(connection: &Connection, slots: &[Slot]) -> rusqlite::Result<()> {
    let (stray, missing) = differing(connection, slots)?;
    for (kind, name) in stray {
        connection.execute_batch(&format!("DROP {kind} IF EXISTS \"{}\"", name.replace('"', "\"\"")))?;
    }
    missing.values().flatten().try_for_each(|sql| connection.execute_batch(sql))
}

/// Says whether a table is that of a read model which is none, or of one that was being made.
fn is_left_over(table: &str, slots: &[Slot]) -> bool {
    let of_a_model = table.starts_with("projection_") && !slots.is_empty();
    table.starts_with("shadow_") || of_a_model && !slots.iter().any(|slot| slot.table() == table)
}

fn drop_snapshots(connection: &Connection, condemned: &[i64]) -> rusqlite::Result<()> {
    let places = vec!["?"; condemned.len()].join(", ");
    let sql = format!("DELETE FROM snapshots WHERE stream IN ({places}) OR stream NOT IN (SELECT id FROM streams)");
    connection.execute(&sql, params_from_iter(condemned)).map(drop)
}
