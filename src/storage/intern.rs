//! Words that repeat in every event, as small numbers: the writer's side.
//!
//! The maps only mirror the database. When a transaction is undone they are cleared and fill again from the tables.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::types::{NodeId, Principal, StreamName, Version};

/// Is how many streams are held; beyond it the map starts anew.
const STREAMS_HELD: usize = 200_000;

/// Is a stream as the writer knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) version: Version,
}

/// Maps words to their numbers, and streams to their versions.
#[derive(Default)]
pub(super) struct Interner {
    streams: HashMap<StreamName, Known>,
    kinds: HashMap<String, i64>,
    boots: HashMap<String, i64>,
    nodes: HashMap<NodeId, i64>,
    principals: HashMap<Principal, i64>,
}

impl Interner {
    /// Returns what is known of a stream; nothing if no event names it yet.
    pub(super) fn find(&mut self, connection: &Connection, name: &StreamName) -> rusqlite::Result<Option<Known>> {
        if let Some(known) = self.streams.get(name) {
            return Ok(Some(*known));
        }
        let sql = "SELECT id, (SELECT coalesce(max(version), 0) FROM events WHERE stream = streams.id)
                   FROM streams WHERE name = ?1";
        let found = connection.prepare_cached(sql)?.query_row([name.to_string()], |row| {
            Ok(Known { id: row.get(0)?, version: Version::new(row.get::<_, i64>(1)? as u64) })
        });
        let found = found.optional()?;
        if let Some(known) = found {
            self.remember(name, known);
        }
        Ok(found)
    }

    /// Returns what is known of a stream, and gives it a number if it has none.
    pub(super) fn stream(&mut self, connection: &Connection, name: &StreamName) -> rusqlite::Result<Known> {
        if let Some(known) = self.find(connection, name)? {
            return Ok(known);
        }
        connection.prepare_cached("INSERT INTO streams (name) VALUES (?1)")?.execute([name.to_string()])?;
        let known = Known { id: connection.last_insert_rowid(), version: Version::default() };
        self.remember(name, known);
        Ok(known)
    }

    /// Takes note of a stream's new version.
    pub(super) fn remember(&mut self, name: &StreamName, known: Known) {
        if let Some(held) = self.streams.get_mut(name) {
            *held = known;
            return;
        }
        if self.streams.len() >= STREAMS_HELD {
            self.streams.clear();
        }
        self.streams.insert(name.clone(), known);
    }

    pub(super) fn kind(&mut self, connection: &Connection, kind: &str) -> rusqlite::Result<i64> {
        word(
            &mut self.kinds,
            connection,
            kind,
            ["SELECT id FROM kinds WHERE name = ?1", "INSERT INTO kinds (name) VALUES (?1)"],
        )
    }

    pub(super) fn boot(&mut self, connection: &Connection, boot: &str) -> rusqlite::Result<i64> {
        word(
            &mut self.boots,
            connection,
            boot,
            ["SELECT id FROM boots WHERE name = ?1", "INSERT INTO boots (name) VALUES (?1)"],
        )
    }

    pub(super) fn node(&mut self, connection: &Connection, node: &NodeId) -> rusqlite::Result<i64> {
        if let Some(id) = self.nodes.get(node) {
            return Ok(*id);
        }
        let sql = "SELECT id FROM nodes WHERE node = ?1";
        let found = connection.prepare_cached(sql)?.query_row([node.as_bytes()], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => insert(connection, "INSERT INTO nodes (node) VALUES (?1)", params![node.as_bytes()])?,
        };
        self.nodes.insert(*node, id);
        Ok(id)
    }

    pub(super) fn principal(&mut self, connection: &Connection, principal: &Principal) -> rusqlite::Result<i64> {
        if let Some(id) = self.principals.get(principal) {
            return Ok(*id);
        }
        let pair = params![principal.who, principal.how];
        let sql = "SELECT id FROM principals WHERE who = ?1 AND how = ?2";
        let found = connection.prepare_cached(sql)?.query_row(pair, |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => insert(connection, "INSERT INTO principals (who, how) VALUES (?1, ?2)", pair)?,
        };
        self.principals.insert(principal.clone(), id);
        Ok(id)
    }
}

fn insert(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(connection.last_insert_rowid())
}

fn word(
    known: &mut HashMap<String, i64>,
    connection: &Connection,
    word: &str,
    [select, put]: [&str; 2],
) -> rusqlite::Result<i64> {
    if let Some(id) = known.get(word) {
        return Ok(*id);
    }
    let found = connection.prepare_cached(select)?.query_row([word], |row| row.get(0)).optional()?;
    let id = match found {
        Some(id) => id,
        None => insert(connection, put, params![word])?,
    };
    known.insert(word.to_owned(), id);
    Ok(id)
}
