//! Idempotency keys: which commit was made under which key.
//!
//! The table is written in commit order: one warm page takes a whole batch. To find a key there must be an index, and an
//! index over keys without an order dirties a page for every key: kept with each commit it costs more than all the rest
//! of it. So the newest keys are indexed in memory, and go into the file's index many at a time when nobody waits. The
//! index holds fingerprints; whether the key is the same is told by the row.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::database;
use super::merkle::sha256;
use super::report::Finding;
use crate::types::Position;

/// How many keys are held in memory before they go into the file.
const RECENT: usize = 16_384;
const SCHEMA: &str = include_str!("schema/keys.sql");

/// Is what the log knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) request_hash: [u8; 32],
    pub(super) first: i64,
    pub(super) last: i64,
}

/// Is the part of the index that is in memory: fingerprints with the first positions of their commits.
#[derive(Default)]
pub(super) struct Keys {
    recent: BTreeSet<(i64, i64)>,
}

/// Returns the first eight bytes of the key's SHA-256.
fn fingerprint(key: &str) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&sha256(key.as_bytes())[..8]);
    i64::from_be_bytes(first)
}

/// Makes the index where there is none.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)
}

impl Keys {
    /// Reads the keys that are not in the file's index, and makes the index where there is none.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        create_tables(connection)?;
        let sql = "SELECT key, first FROM commits WHERE first > (SELECT coalesce(max(position), 0) FROM keys_indexed)";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut keys = Self::default();
        while let Some(row) = rows.next()? {
            keys.note(row.get_ref(0)?.as_str()?, row.get(1)?);
        }
        Ok(keys)
    }

    /// Takes note of a commit under a key.
    pub(super) fn note(&mut self, key: &str, first: i64) {
        self.recent.insert((fingerprint(key), first));
    }

    /// Returns the commits in memory that may be the key's.
    pub(super) fn recent(&self, key: &str) -> Vec<i64> {
        let fingerprint = fingerprint(key);
        self.recent.range((fingerprint, i64::MIN)..=(fingerprint, i64::MAX)).map(|(_, first)| *first).collect()
    }

    /// Says whether enough have gathered to be moved into the file.
    pub(super) fn are_many(&self) -> bool {
        self.recent.len() >= RECENT
    }

    /// Moves what is in memory into the file's index, in its order, unsynced: it follows from the rows at any time.
    pub(super) fn settle(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(last) = self.recent.iter().map(|(_, first)| *first).max() else { return Ok(()) };
        database::unsynced(connection, |connection| {
            let mut put = connection.prepare_cached("INSERT OR IGNORE INTO key_index VALUES (?1, ?2)")?;
            for (fingerprint, first) in &self.recent {
                put.execute([fingerprint, first])?;
            }
            connection.execute("INSERT OR REPLACE INTO keys_indexed VALUES (1, ?1)", [last]).map(drop)
        })?;
        self.recent.clear();
        Ok(())
    }
}

/// Returns what was committed under a key: among those in memory, else by the index.
pub(super) fn find(connection: &Connection, key: &str, recent: &[i64]) -> rusqlite::Result<Option<Known>> {
    for first in recent {
        if let Some(known) = known(connection, key, *first)? {
            return Ok(Some(known));
        }
    }
    let mut statement = connection.prepare_cached("SELECT first FROM key_index WHERE fingerprint = ?1")?;
    let mut rows = statement.query([fingerprint(key)])?;
    while let Some(row) = rows.next()? {
        if let Some(known) = known(connection, key, row.get(0)?)? {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

fn known(connection: &Connection, key: &str, first: i64) -> rusqlite::Result<Option<Known>> {
    let sql = "SELECT request_hash, last FROM commits WHERE first = ?1 AND key = ?2";
    let known = connection
        .prepare_cached(sql)?
        .query_row(params![first, key], |row| Ok(Known { request_hash: row.get(0)?, first, last: row.get(1)? }));
    known.optional()
}

/// Says what is wrong with the keys: each stands for whole commits of one stream, and is found by its index.
pub(super) fn audit(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let indexed = indexed(connection)?;
    let sql = "SELECT commits.first, commits.last, key, one.stream, other.stream, one.version, other.version
        FROM commits LEFT JOIN events AS one ON one.position = commits.first
        LEFT JOIN events AS other ON other.position = commits.last ORDER BY commits.first";
    let mut statement = connection.prepare(sql)?;
    let mut found = connection.prepare("SELECT count(*) FROM key_index WHERE fingerprint = ?1 AND first = ?2")?;
    let (mut rows, mut findings, mut before) = (statement.query([])?, Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        let at = Position::new(first as u64);
        let streams: [Option<i64>; 2] = [row.get(3)?, row.get(4)?];
        let versions: [Option<i64>; 2] = [row.get(5)?, row.get(6)?];
        let whole = matches!((streams, versions), ([Some(one), Some(other)], [Some(from), Some(to)])
            if one == other && to - from == last - first && first > before);
        before = last.max(before);
        if !whole {
            let reason = format!("stands for no commit: events {first} to {last} are none");
            findings.push(Finding::Key { first: at, reason, disposable: false });
        } else if first <= indexed {
            let key = fingerprint(row.get_ref(2)?.as_str()?);
            if found.query_row([key, first], |row| row.get::<_, i64>(0))? == 0 {
                let reason = "is not in the index: the same request would be carried out again".to_owned();
                findings.push(Finding::Key { first: at, reason, disposable: true });
            }
        }
    }
    Ok(findings)
}

/// Makes the index over the keys anew.
pub(super) fn rebuild(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM key_index; DELETE FROM keys_indexed")?;
    let mut statement = connection.prepare("SELECT key, first FROM commits ORDER BY first")?;
    let mut put = connection.prepare("INSERT OR IGNORE INTO key_index VALUES (?1, ?2)")?;
    let (mut rows, mut last) = (statement.query([])?, None);
    while let Some(row) = rows.next()? {
        let first: i64 = row.get(1)?;
        put.execute([fingerprint(row.get_ref(0)?.as_str()?), first])?;
        last = Some(first);
    }
    let sql = "INSERT INTO keys_indexed SELECT 1, ?1 WHERE ?1 IS NOT NULL";
    connection.execute(sql, [last]).map(drop)
}

/// Returns up to which position the file's index goes.
fn indexed(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(position), 0) FROM keys_indexed", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/log.sql")).unwrap();
        connection
    }

    fn commit(connection: &Connection, keys: &mut Keys, first: i64) {
        let sql = "INSERT INTO commits (first, last, request_hash, key) VALUES (?1, ?1, zeroblob(32), ?2)";
        let key = format!("key {first}");
        connection.execute(sql, params![first, key]).unwrap();
        keys.note(&key, first);
    }

    fn found(connection: &Connection, keys: &Keys, number: i64) -> Option<i64> {
        let key = format!("key {number}");
        find(connection, &key, &keys.recent(&key)).unwrap().map(|known| known.first)
    }

    #[test]
    fn a_key_is_found_in_memory_in_the_file_and_after_a_crash_between_them() {
        let connection = log();
        let mut keys = Keys::load(&connection).unwrap();
        (1..=50).for_each(|first| commit(&connection, &mut keys, first));
        keys.settle(&connection).unwrap();
        assert!(keys.recent.is_empty());
        (51..=80).for_each(|first| commit(&connection, &mut keys, first));
        let reread = Keys::load(&connection).unwrap();
        assert_eq!(reread.recent, keys.recent, "what is not in the file's index is read again");
        for keys in [keys, reread] {
            assert!((1..=80).all(|number| found(&connection, &keys, number) == Some(number)));
            assert_eq!(found(&connection, &keys, 81), None);
        }
    }

    #[test]
    fn a_fingerprint_is_only_a_hint() {
        let connection = log();
        let mut keys = Keys::load(&connection).unwrap();
        commit(&connection, &mut keys, 1);
        let other = fingerprint("key 2");
        connection.execute("INSERT INTO key_index VALUES (?1, 1)", [other]).unwrap();
        assert_eq!(find(&connection, "key 2", &[1]).unwrap(), None);
        commit(&connection, &mut keys, 2);
        assert_eq!(found(&connection, &keys, 2), Some(2));
    }
}
