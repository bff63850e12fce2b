//! Snapshots: the state of a stream at a version, so that recovery reads only what came after.
//!
//! They are disposable, and nothing follows from them that does not follow from the log. Each carries a digest over its
//! state and over the leaf of the event it stands at: one that is damaged, or that tells of another history than this
//! log's, is as none. Whether the state is one that the reader understands is the reader's question: the bytes mean
//! nothing to the log.

use ring::digest::{Context, SHA256};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::database;
use super::error::ReadError;
use super::intern::Interner;
use super::merkle::{Hash, take};
use super::reader::Reader;
use crate::types::{StreamName, Version};

/// Length of the digest in front of the state.
const DIGEST_LENGTH: usize = 32;

/// Is the state of one stream at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamName,
    /// The last version in the state.
    pub version: Version,
    /// Which shape the state has; the owner raises it with every change.
    pub state_schema: u32,
    /// The state, in the owner's encoding.
    pub state: Vec<u8>,
}

/// Computes what ties a state to its place in the log: the leaf commits to log, stream and version.
fn digest(leaf: &Hash, state_schema: u32, state: &[u8]) -> Hash {
    let mut digest = Context::new(&SHA256);
    digest.update(leaf);
    digest.update(&state_schema.to_be_bytes());
    digest.update(state);
    take(digest.finish())
}

/// Is a snapshot as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The number of its stream in the file.
    pub id: i64,
    /// The name of the stream, if it has one.
    pub stream: Option<StreamName>,
    /// What it holds; nothing if its digest does not fit, or it stands at no event of its stream.
    pub snapshot: Option<Snapshot>,
}

const EVERY: &str =
    "SELECT events.version, snapshots.state_schema, snapshots.state, leaf, snapshots.stream, streams.name
    FROM snapshots LEFT JOIN streams ON streams.id = snapshots.stream
    LEFT JOIN events ON events.position = snapshots.position AND events.stream = snapshots.stream
        AND events.version = snapshots.version
    WHERE snapshots.stream > ?1 ORDER BY snapshots.stream LIMIT ?2";
/// How many snapshots are looked at at once.
const SNAPSHOTS_READ: usize = 100;

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let stream = row.get::<_, Option<String>>(5)?.and_then(|name| name.parse::<StreamName>().ok());
    let snapshot = match (&stream, row.get_ref(0)?) {
        (None, _) | (_, ValueRef::Null) => None,
        (Some(stream), _) => snapshot(stream, row)?,
    };
    Ok(Kept { id: row.get(4)?, stream, snapshot })
}

const SELECT: &str = "SELECT events.version, state_schema, state, leaf FROM streams
    JOIN snapshots ON snapshots.stream = streams.id
    JOIN events ON events.stream = snapshots.stream AND events.version = snapshots.version
    WHERE streams.name = ?1";

/// Reads a snapshot; nothing if its digest does not fit.
fn snapshot(stream: &StreamName, row: &Row<'_>) -> rusqlite::Result<Option<Snapshot>> {
    let (state_schema, leaf) = (row.get(1)?, row.get::<_, Hash>(3)?);
    let stored = row.get_ref(2)?.as_blob()?;
    let Some((stated, state)) = stored.split_at_checked(DIGEST_LENGTH) else { return Ok(None) };
    if *stated != digest(&leaf, state_schema, state) {
        return Ok(None);
    }
    let version = Version::new(row.get::<_, i64>(0)? as u64);
    Ok(Some(Snapshot { stream: stream.clone(), version, state_schema, state: state.to_vec() }))
}

impl Reader {
    /// Hands over every snapshot of the file, whole or not.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn each_snapshot(&self, mut each: impl FnMut(&Kept)) -> Result<(), ReadError> {
        let mut last = i64::MIN;
        loop {
            let page = self.query(|connection| {
                let mut statement = connection.prepare_cached(EVERY)?;
                let rows = statement.query_map(params![last, SNAPSHOTS_READ as i64], kept)?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })?;
            page.iter().for_each(&mut each);
            match page.last() {
                Some(end) if page.len() == SNAPSHOTS_READ => last = end.id,
                _ => return Ok(()),
            }
        }
    }

    /// Returns the snapshot of a stream, if it has one that is whole.
    pub fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, ReadError> {
        self.query(|connection| {
            let found = connection
                .prepare_cached(SELECT)?
                .query_row([stream.to_string()], |row| snapshot(stream, row))
                .optional()?;
            Ok(found.flatten())
        })
    }
}

/// Writes snapshots in one transaction, unsynced; one that stands at no event of its stream is left out.
pub(super) fn save(connection: &Connection, interner: &mut Interner, snapshots: &[Snapshot]) -> rusqlite::Result<()> {
    database::unsynced(connection, |connection| {
        snapshots.iter().try_for_each(|snapshot| save_one(connection, interner, snapshot))
    })
}

fn save_one(connection: &Connection, interner: &mut Interner, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let Snapshot { stream, version, state_schema, state } = snapshot;
    let Some(known) = interner.find(connection, stream)? else { return Ok(()) };
    let sql = "SELECT position, leaf FROM events WHERE stream = ?1 AND version = ?2";
    let place = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Hash>(1)?));
    let values = params![known.id, version.stored()];
    let found = connection.prepare_cached(sql)?.query_row(values, place).optional()?;
    let Some((position, leaf)) = found else { return Ok(()) };
    let stored = [&digest(&leaf, *state_schema, state)[..], state].concat();
    connection
        .prepare_cached("INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![known.id, version.stored(), position, state_schema, stored])
        .map(drop)
}
