//! Snapshots: the state of a stream at a version, so that recovery reads only what came after.
//!
//! They are disposable: one with another state schema is ignored by whoever reads it, and the log tells the same story.
//! The bytes mean nothing to the log.

use rusqlite::{Connection, Row, params};

use super::error::ReadError;
use super::intern::Interner;
use super::reader::Reader;
use crate::types::{Position, StreamName, Version};

/// Is the state of one stream at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamName,
    /// The last version in the state.
    pub version: Version,
    /// The last position that was looked at: every later event of the stream lies beyond.
    pub position: Position,
    /// Which shape the state has; the owner raises it with every change.
    pub state_schema: u32,
    /// The state, in the owner's encoding.
    pub state: Vec<u8>,
}

const SELECT: &str = "SELECT streams.name, version, position, state_schema, state
                      FROM snapshots JOIN streams ON streams.id = snapshots.stream";

fn snapshot(row: &Row<'_>) -> rusqlite::Result<Option<Snapshot>> {
    let name: String = row.get(0)?;
    let Ok(stream) = name.parse() else { return Ok(None) }; // written by a newer Berth
    let version = Version::new(row.get::<_, i64>(1)? as u64);
    let position = Position::new(row.get::<_, i64>(2)? as u64);
    Ok(Some(Snapshot { stream, version, position, state_schema: row.get(3)?, state: row.get(4)? }))
}

impl Reader {
    /// Returns the snapshot of a stream.
    pub fn snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, ReadError> {
        self.query(|connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE streams.name = ?1"))?;
            let mut rows = statement.query([stream.to_string()])?;
            rows.next()?.map_or(Ok(None), snapshot)
        })
    }

    /// Returns every snapshot: recovery takes these and one walk over the tail, never one read per stream.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, ReadError> {
        self.query(|connection| {
            let mut statement = connection.prepare_cached(SELECT)?;
            let rows = statement.query_map([], snapshot)?;
            rows.filter_map(Result::transpose).collect()
        })
    }
}

/// Writes snapshots in one transaction; a stream that has no event gets none.
pub(super) fn save(connection: &Connection, interner: &mut Interner, snapshots: &[Snapshot]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for snapshot in snapshots {
        let Some(known) = interner.find(connection, &snapshot.stream)? else { continue };
        let (version, position) = (snapshot.version.get() as i64, snapshot.position.get() as i64);
        put.execute(params![known.id, version, position, snapshot.state_schema, snapshot.state])?;
    }
    drop(put);
    transaction.commit()
}
