//! The audit of what follows from the log: read models, keys, triggers. It is made again and compared, row by row.
//!
//! Read models are folded into a database of its own, by the very fold that made them, page by page beside a writer at work.
//! Only the end happens in one read transaction: the last events, and a look at every row.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::database;
use super::error::ReadError;
use super::keys;
use super::projection::{self, InlineProjection, Slot};
use super::reader::{PAGE, Reader, Session};
use super::report::Finding;
use super::row;
use crate::types::Position;

/// How many rows of one read model are told one by one.
const ROWS_TOLD: usize = 50;
/// How many fields of a row that differ are told.
const FIELDS_TOLD: usize = 3;
/// How much of a value is told, in characters.
const VALUE_TOLD: usize = 60;
const SCRATCH: &str = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;";

/// Compares read models, idempotency keys, tables, indexes and triggers with what follows from the log.
///
/// # Errors
///
/// The log cannot be read, or there is no room for the read models that are made for comparison.
pub fn compare(reader: &Reader, projections: Vec<Box<dyn InlineProjection>>) -> Result<Vec<Finding>, ReadError> {
    let failed = |source| row::read_error(reader.path(), source);
    let mut refold = Refold::begin(projections).map_err(failed)?;
    while reader.with(|session| refold.page(session))? {}
    reader.with(|session| {
        session.connection.execute_batch("BEGIN")?;
        let compared = refold.finish(session).and_then(|()| refold.findings(&session.connection));
        session.connection.execute_batch("ROLLBACK")?;
        compared
    })
}

/// Is a database in which everything that follows from the log is made anew.
struct Refold {
    scratch: Connection,
    slots: Vec<Slot>,
    last: Position,
}

impl Refold {
    /// Makes the database: in memory as far as its cache reaches, then in a file without a name.
    fn begin(projections: Vec<Box<dyn InlineProjection>>) -> rusqlite::Result<Self> {
        let scratch = Connection::open("")?;
        scratch.execute_batch(SCRATCH)?;
        database::create_tables(&scratch)?;
        keys::create_tables(&scratch)?;
        scratch.execute_batch("BEGIN")?;
        let mut slots: Vec<Slot> = projections.into_iter().map(Slot::new).collect();
        for slot in &mut slots {
            slot.announce(&scratch)?;
            slot.begin_rebuild(&scratch)?;
        }
        Ok(Self { scratch, slots, last: Position::default() })
    }

    /// Folds the next page of events; false once there is none.
    fn page(&mut self, session: &mut Session) -> rusqlite::Result<bool> {
        let filter = "position > ?1 ORDER BY position LIMIT ?2";
        let page = row::select(session, filter, params![self.last.stored(), PAGE as i64])?;
        for event in &page {
            projection::fold_all(&mut self.slots, &self.scratch, event)?;
        }
        self.last = page.last().map_or(self.last, |event| event.position);
        projection::flush_all(&mut self.slots, &self.scratch, self.last)?;
        Ok(page.len() == PAGE)
    }

    /// Folds what came meanwhile, and gives the tables their names.
    fn finish(&mut self, session: &mut Session) -> rusqlite::Result<()> {
        while self.page(session)? {}
        for slot in &mut self.slots {
            slot.reached(&self.scratch)?;
            slot.end_rebuild(&self.scratch)?;
        }
        Ok(())
    }

    fn findings(&self, stored: &Connection) -> rusqlite::Result<Vec<Finding>> {
        let (present, wanted) = (objects(stored)?, objects(&self.scratch)?);
        let mut findings = compare_schema(&present, &wanted);
        // What is in a table of another shape cannot be asked for; that it has another one is told.
        let has = |table: &str| {
            let table = ("table".to_owned(), table.to_owned());
            present.get(&table) == wanted.get(&table)
        };
        let fitting = self.slots.iter().filter(|slot| has("projections") && has(slot.table()) && !slot.is_parked());
        for slot in fitting {
            match self.standing(stored, slot)? {
                None => findings.extend(compare_rows(stored, &self.scratch, slot)?),
                Some(reason) => findings.push(Finding::Model { model: slot.name().to_owned(), reason }),
            }
        }
        if ["events", "commits", "key_index", "keys_indexed"].into_iter().all(has) {
            findings.extend(keys::audit(stored)?);
        }
        Ok(findings)
    }

    /// Says why the rows of a read model are not those of the last event; nothing if they should be.
    fn standing(&self, stored: &Connection, slot: &Slot) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT version, position, error, rows FROM projections WHERE name = ?1";
        let status = stored.query_row(sql, [slot.name()], |row| {
            let position = Position::new(row.get::<_, i64>(1)? as u64);
            Ok((row.get::<_, u32>(0)?, position, row.get::<_, Option<String>>(2)?, row.get::<_, i64>(3)?))
        });
        Ok(match status.optional()? {
            None => Some("is not there".to_owned()),
            Some((version, ..)) if version != slot.version() => {
                Some(format!("is of version {version}; this berth makes version {}", slot.version()))
            }
            Some((_, position, Some(error), _)) => Some(format!("is parked since event {position}: {error}")),
            Some((_, position, None, _)) if position != self.last => {
                Some(format!("stands at event {position}, the log at {}", self.last))
            }
            Some((.., rows)) if rows != slot.count() => Some(format!("counts {rows} rows instead of {}", slot.count())),
            Some(_) => None,
        })
    }
}

/// Maps the type and the name of everything in a database to the SQL that made it.
pub(super) type Objects = BTreeMap<(String, String), Option<String>>;

/// Lists what a database consists of, beside what SQLite makes by itself.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Objects> {
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.collect()
}

/// Says whether everything in a table can be made again from the log.
pub(super) fn is_disposable((kind, name): &(String, String)) -> bool {
    let derived = ["snapshots", "projections", "key_index", "keys_indexed"];
    kind != "table"
        || derived.contains(&name.as_str())
        || name.starts_with("projection_")
        || name.starts_with("shadow_")
}

fn compare_schema(stored: &Objects, wanted: &Objects) -> Vec<Finding> {
    let finding = |object: &(String, String), reason: &str, disposable| Finding::Schema {
        object: format!("{} {}", object.0, object.1),
        reason: reason.to_owned(),
        disposable,
    };
    let lacking = wanted.iter().filter_map(|(object, sql)| match stored.get(object) {
        None => Some(finding(object, "is missing", is_disposable(object))),
        Some(present) if present != sql => {
            Some(finding(object, "is not the one that berth makes", is_disposable(object)))
        }
        Some(_) => None,
    });
    let foreign = stored.keys().filter(|object| !wanted.contains_key(*object));
    lacking.chain(foreign.map(|object| finding(object, "is not berth's", is_disposable(object)))).collect()
}

/// Compares the rows of a read model with those that were folded anew. The stored ones are read past their index.
fn compare_rows(stored: &Connection, scratch: &Connection, slot: &Slot) -> rusqlite::Result<Vec<Finding>> {
    let mut told = Rows { model: slot.name(), findings: Vec::new(), untold: 0 };
    let mut matched: HashSet<i64> = HashSet::new();
    let mut all = stored.prepare(&format!("SELECT key, row, position FROM {} NOT INDEXED", slot.table()))?;
    let mut wanted = scratch.prepare(&format!("SELECT rowid, row, position FROM {} WHERE key = ?1", slot.table()))?;
    let mut rows = all.query([])?;
    while let Some(found) = rows.next()? {
        let (key, text, position): (String, String, i64) = (found.get(0)?, found.get(1)?, found.get(2)?);
        let made = wanted.query_row([&key], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)));
        match made.optional()? {
            Some((id, made, at)) if matched.insert(id) => {
                if (&made, at) != (&text, position) {
                    told.differ(&key, &text, &made, (position, at));
                }
            }
            _ => told.tell(&key, &text, "stands for nothing in the log".to_owned()),
        }
    }
    let mut made = scratch.prepare(&format!("SELECT rowid, key, row FROM {}", slot.table()))?;
    let mut rows = made.query([])?;
    while let Some(row) = rows.next()? {
        if !matched.contains(&row.get(0)?) {
            told.tell(&row.get::<_, String>(1)?, &row.get::<_, String>(2)?, "is missing".to_owned());
        }
    }
    Ok(told.finish())
}

/// Is what is wrong with the rows of one read model.
struct Rows {
    model: &'static str,
    findings: Vec<Finding>,
    untold: usize,
}

impl Rows {
    fn tell(&mut self, key: &str, row: &str, reason: String) {
        if self.findings.len() >= ROWS_TOLD {
            self.untold += 1;
            return;
        }
        let row = serde_json::from_str::<Value>(row).unwrap_or_default();
        let what = match row["name"].as_str() {
            Some(name) => format!("the row of {name} ({key})"),
            None => format!("the row {key}"),
        };
        self.findings.push(Finding::Row { model: self.model.to_owned(), what, reason });
    }

    fn differ(&mut self, key: &str, stored: &str, made: &str, (position, at): (i64, i64)) {
        let reason = match (serde_json::from_str(stored), serde_json::from_str(made)) {
            (Err(_), _) => Some("cannot be read".to_owned()),
            (Ok(Value::Object(stored)), Ok(Value::Object(made))) => differences(&stored, &made),
            (Ok(stored), Ok(made)) if stored != made => Some("is another one".to_owned()),
            _ => None,
        };
        let moved = || (position != at).then(|| format!("says event {position} instead of {at}"));
        if let Some(reason) = reason.or_else(moved) {
            self.tell(key, made, reason);
        }
    }

    fn finish(mut self) -> Vec<Finding> {
        if self.untold > 0 {
            let reason = format!("has {} more rows that are not what the log makes of them", self.untold);
            self.findings.push(Finding::Model { model: self.model.to_owned(), reason });
        }
        self.findings
    }
}

type Fields = serde_json::Map<String, Value>;

/// Names the fields that differ; nothing if none does.
fn differences(stored: &Fields, made: &Fields) -> Option<String> {
    let names: std::collections::BTreeSet<&String> = stored.keys().chain(made.keys()).collect();
    let differing: Vec<&String> = names.into_iter().filter(|name| stored.get(*name) != made.get(*name)).collect();
    let say = |name: &&String| format!("{name} is {} instead of {}", value(stored.get(*name)), value(made.get(*name)));
    let mut said: Vec<String> = differing.iter().take(FIELDS_TOLD).map(say).collect();
    if differing.len() > FIELDS_TOLD {
        said.push(format!("and {} more", differing.len() - FIELDS_TOLD));
    }
    (!said.is_empty()).then(|| format!("is forged or damaged: {}", said.join(", ")))
}

fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string().chars().take(VALUE_TOLD).collect())
}
