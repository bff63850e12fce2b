//! Rows of the table `events` and the envelopes they stand for.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, Params, Row};
use serde_json::Value;

use super::error::ReadError;
use super::leaf::SALT_LENGTH;
use super::reader::Session;
use super::segment;
use crate::events::{Context, Envelope, EventReference};
use crate::types::{NodeId, OperationId, Position, Principal, StreamName, Timestamp, Version};

/// Is the list of columns that [`envelope`] reads, in its order.
const COLUMNS: &str = "position, stream, version, kind, schema, recorded_at, wall_clock, boot, principal, operation, \
                       cause_stream, cause_version, node, body, annex, leaf, segment";
const WORDS_HELD: usize = 200_000;

/// Holds the words behind the numbers that a connection has seen; they never change.
#[derive(Default)]
pub(super) struct Words {
    streams: HashMap<i64, StreamName>,
    kinds: HashMap<i64, String>,
    boots: HashMap<i64, String>,
    nodes: HashMap<i64, NodeId>,
    principals: HashMap<i64, Principal>,
    segment: Option<(i64, segment::Bodies)>,
}

impl Words {
    pub(super) fn stream(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<StreamName> {
        lookup(&mut self.streams, id, || {
            let sql = "SELECT name FROM streams WHERE id = ?1";
            let name: String = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
            name.parse().map_err(|error| undecodable(1, Type::Text, error))
        })
    }

    pub(super) fn kind(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<String> {
        lookup(&mut self.kinds, id, || {
            connection.prepare_cached("SELECT name FROM kinds WHERE id = ?1")?.query_row([id], |row| row.get(0))
        })
    }

    pub(super) fn boot(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<String> {
        lookup(&mut self.boots, id, || {
            connection.prepare_cached("SELECT name FROM boots WHERE id = ?1")?.query_row([id], |row| row.get(0))
        })
    }

    pub(super) fn node(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<NodeId> {
        lookup(&mut self.nodes, id, || {
            let sql = "SELECT node FROM nodes WHERE id = ?1";
            connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).map(NodeId::from_bytes)
        })
    }

    pub(super) fn principal(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<Principal> {
        lookup(&mut self.principals, id, || {
            let sql = "SELECT who, how FROM principals WHERE id = ?1";
            let principal = |row: &Row<'_>| Ok(Principal { who: row.get(0)?, how: row.get(1)? });
            connection.prepare_cached(sql)?.query_row([id], principal)
        })
    }

    /// Returns the archived body of an event; the last segment is kept unpacked.
    pub(super) fn archived(
        &mut self,
        connection: &Connection,
        id: i64,
        position: Position,
    ) -> rusqlite::Result<Vec<u8>> {
        if self.segment.as_ref().is_none_or(|(held, _)| *held != id) {
            self.segment = Some((id, segment::load(connection, id)?));
        }
        let body = self.segment.as_ref().and_then(|(_, bodies)| bodies.get(&position.get()));
        body.cloned().ok_or_else(|| undecodable(13, Type::Blob, segment::Missing { segment: id, position }))
    }
}

fn lookup<T: Clone>(
    known: &mut HashMap<i64, T>,
    id: i64,
    load: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    if let Some(word) = known.get(&id) {
        return Ok(word.clone());
    }
    let word = load()?;
    if known.len() >= WORDS_HELD {
        known.clear();
    }
    known.insert(id, word.clone());
    Ok(word)
}

fn undecodable(column: usize, kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}

/// Reads a column of JSON text.
pub(super) fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| undecodable(column, Type::Text, error))
}

/// Sorts what went wrong while reading `path`: what does not decode is damage, too.
pub(super) fn read_error(path: &Path, source: rusqlite::Error) -> ReadError {
    match source {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows => {
            ReadError::Damaged { path: path.to_owned(), reason: source.to_string() }
        }
        source => ReadError::of(path, source),
    }
}

/// Reads the envelopes that `filter` (what follows WHERE) finds.
pub(super) fn select(session: &mut Session, filter: &str, values: impl Params) -> rusqlite::Result<Vec<Envelope>> {
    let Session { connection, words } = session;
    read(connection, words, filter, values)
}

/// Hands over, one by one, the envelopes that `filter` finds: nothing is gathered, so memory is used again.
pub(super) fn each(
    session: &mut Session,
    filter: &str,
    values: impl Params,
    mut each: impl FnMut(Envelope) -> ControlFlow<()>,
) -> rusqlite::Result<ControlFlow<()>> {
    let Session { connection, words } = session;
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM events WHERE {filter}"))?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        if each(envelope(connection, words, row)?).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Reads the envelopes that `filter` finds on a connection.
pub(super) fn read(
    connection: &Connection,
    words: &mut Words,
    filter: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<Envelope>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM events WHERE {filter}"))?;
    let mut rows = statement.query(values)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(envelope(connection, words, row)?);
    }
    Ok(events)
}

fn envelope(connection: &Connection, words: &mut Words, row: &Row<'_>) -> rusqlite::Result<Envelope> {
    let position = Position::new(row.get::<_, i64>(0)? as u64);
    let body = match row.get::<_, Option<Vec<u8>>>(13)? {
        Some(body) => body,
        None => words.archived(connection, row.get(16)?, position)?,
    };
    let context = Context {
        wall_clock: Timestamp::from_micros(row.get(6)?),
        boot: words.boot(connection, row.get(7)?)?,
        principal: words.principal(connection, row.get(8)?)?,
        operation: OperationId::from_bytes(row.get(9)?),
        causation: causation(connection, words, row)?,
        node: words.node(connection, row.get(12)?)?,
    };
    Ok(Envelope {
        position,
        stream: words.stream(connection, row.get(1)?)?,
        version: Version::new(row.get::<_, i64>(2)? as u64),
        kind: words.kind(connection, row.get(3)?)?,
        schema: row.get(4)?,
        recorded_at: Timestamp::from_micros(row.get(5)?),
        context,
        body,
        annex: row.get_ref(14)?.as_blob_or_null()?.map(|blob| blob.get(SALT_LENGTH..).unwrap_or_default().to_vec()),
        leaf: row.get(15)?,
    })
}

fn causation(connection: &Connection, words: &mut Words, row: &Row<'_>) -> rusqlite::Result<Option<EventReference>> {
    let Some(stream) = row.get::<_, Option<i64>>(10)? else { return Ok(None) };
    let version = Version::new(row.get::<_, i64>(11)? as u64);
    Ok(Some(EventReference { stream: words.stream(connection, stream)?, version }))
}
