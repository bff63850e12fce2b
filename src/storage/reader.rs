//! Reading the log: read-only connections, used beside the writer and with the daemon down alike.
//!
//! Reads are short and page by at most [`PAGE`] rows, because a long reader keeps the write-ahead log from being used
//! again. Nothing here can change the log.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::checkpoint::SignedCheckpoint;
use super::database::{self, LOG_FILE};
use super::error::{AppendError, OpenError, ReadError};
use super::merkle::{Frontier, Hash};
use super::projection::{InlineProjection, ProjectionStatus, fold_events, table_of};
use super::row::{self, Words};
use super::{Committed, Head, MerkleProof};
use super::{format, keys};
use crate::events::Envelope;
use crate::types::{LogId, Position, StreamName, Timestamp, Version};

/// Is the most rows that one read returns.
pub const PAGE: usize = 1_000;
const SESSIONS_HELD: usize = 8;

/// Reads a log; cheap to clone, and safe to share between threads.
#[derive(Clone)]
pub struct Reader {
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    log: LogId,
    idle: Mutex<Vec<Session>>,
}

/// Is one read-only connection with the words it has seen.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) words: Words,
}

impl Reader {
    /// Opens the log of a state directory.
    ///
    /// # Errors
    ///
    /// A file that is missing, damaged, or no log; a state directory of a newer Berth.
    pub fn open(state: &Path) -> Result<Self, ReadError> {
        if let Err(OpenError::Newer { path, found, known }) = format::read(state) {
            return Err(ReadError::Newer { path, found, known });
        }
        Self::open_file(&state.join(LOG_FILE))
    }

    /// Opens a log by its file, such as a copy that somebody was handed.
    pub fn open_file(path: &Path) -> Result<Self, ReadError> {
        let (connection, log) = database::open_reader(path)?;
        let idle = Mutex::new(vec![Session { connection, words: Words::default() }]);
        Ok(Self { pool: Arc::new(Pool { path: path.to_owned(), log, idle }) })
    }

    /// Returns the id of the log.
    pub fn log(&self) -> LogId {
        self.pool.log
    }

    /// Returns the file that is read.
    pub fn path(&self) -> &Path {
        &self.pool.path
    }

    /// Runs `read` with a connection; one that failed is not used again.
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut Session) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        let idle = || self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let held = idle().pop();
        let mut session = match held {
            Some(session) => session,
            None => Session { connection: database::open_reader(self.path())?.0, words: Words::default() },
        };
        let value = read(&mut session).map_err(|source| row::read_error(self.path(), source))?;
        let mut idle = idle();
        if idle.len() < SESSIONS_HELD {
            idle.push(session);
        }
        Ok(value)
    }

    /// Closes the connections that nobody uses: SQLite tidies up after the last one that may write, so it must be last.
    pub(super) fn close_idle(&self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs a query of its own on a read-only connection: the way of the read models to their tables.
    pub fn query<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        self.with(|session| read(&session.connection))
    }

    /// Reads at most `limit` (and [`PAGE`]) events of a stream after a version.
    ///
    /// # Errors
    /// What the file says; `Damaged` if one of them is not there: a state without it would be another one.
    pub fn read_stream(&self, stream: &StreamName, after: Version, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let filter = "stream = (SELECT id FROM streams WHERE name = ?3) AND version > ?1 ORDER BY version LIMIT ?2";
        let (name, page) = (stream.to_string(), limit.min(PAGE) as i64);
        let events = self.with(|session| row::select(session, filter, params![after.stored(), page, name]))?;
        let mut expected = after;
        for event in &events {
            expected = expected.next();
            if event.version != expected {
                let reason = format!("event {expected} of {stream} is missing");
                return Err(ReadError::Damaged { path: self.path().to_owned(), reason });
            }
        }
        Ok(events)
    }

    /// Reads at most `limit` (and [`PAGE`]) events after a position.
    pub fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let filter = "position > ?1 ORDER BY position LIMIT ?2";
        let page = limit.min(PAGE) as i64;
        self.with(|session| row::select(session, filter, params![after.stored(), page]))
    }

    /// Returns what the commit with an idempotency key appended: see [`super::EventLog::recall`].
    pub(super) fn recall(
        &self,
        key: &str,
        request_hash: [u8; 32],
        recent: &[i64],
    ) -> Result<Option<Committed>, AppendError> {
        let found = self.with(|session| {
            let Some(known) = keys::find(&session.connection, key, recent)? else { return Ok(None) };
            let filter = "position BETWEEN ?1 AND ?2 ORDER BY position";
            Ok(Some((known.request_hash, row::select(session, filter, params![known.first, known.last])?)))
        });
        match found.map_err(|error| AppendError::Unavailable { reason: error.to_string() })? {
            None => Ok(None),
            Some((hash, _)) if hash != request_hash => Err(AppendError::KeyReused { key: key.to_owned() }),
            Some((_, events)) => {
                Ok(Some(Committed { events: events.into_iter().map(Arc::new).collect(), repeated: true }))
            }
        }
    }

    /// Walks every event after one position up to another, page by page.
    pub fn for_each(
        &self,
        after: Position,
        until: Position,
        mut each: impl FnMut(Envelope) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let filter = "position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3";
        let (mut last, until) = (after.stored(), until.stored());
        loop {
            let (mut seen, from) = (0, last);
            let flow = self.with(|session| {
                row::each(session, filter, params![from, until, PAGE as i64], |event| {
                    (seen, last) = (seen + 1, event.position.stored());
                    each(event)
                })
            })?;
            if flow.is_break() || seen < PAGE {
                return Ok(());
            }
        }
    }

    /// Returns the version of a stream, 0 if there is none.
    pub fn version(&self, stream: &StreamName) -> Result<Version, ReadError> {
        let sql = "SELECT coalesce(max(version), 0) FROM events
                   WHERE stream = (SELECT id FROM streams WHERE name = ?1)";
        let version: i64 = self.query(|c| c.prepare_cached(sql)?.query_row([stream.to_string()], |row| row.get(0)))?;
        Ok(Version::new(version as u64))
    }

    /// Returns the last position.
    pub fn position(&self) -> Result<Position, ReadError> {
        let sql = "SELECT coalesce(max(position), 0) FROM events";
        let position: i64 = self.query(|c| c.prepare_cached(sql)?.query_row([], |row| row.get(0)))?;
        Ok(Position::new(position as u64))
    }

    /// Returns the last position and the root over everything, continued from the last checkpoint.
    pub fn head(&self) -> Result<Head, ReadError> {
        let (tree, _) = self.with(|session| load_tree(&session.connection))?;
        Ok(Head { log: self.log(), position: Position::new(tree.size()), root: tree.root() })
    }

    /// Returns the last position recorded at or before a moment, of those from `first` to `last`, over which the clock did
    /// not go back; the one before `first` if they all came later.
    pub fn position_at(&self, moment: Timestamp, first: Position, last: Position) -> Result<Position, ReadError> {
        let (mut low, mut high) = (first.get().saturating_sub(1), last.get());
        self.query(|connection| {
            let mut recorded_at = connection.prepare_cached("SELECT recorded_at FROM events WHERE position = ?1")?;
            while low < high {
                let middle = low + (high - low).div_ceil(2);
                let recorded: i64 = recorded_at.query_row([middle as i64], |row| row.get(0))?;
                if recorded <= moment.as_micros() {
                    low = middle;
                } else {
                    high = middle - 1;
                }
            }
            Ok(Position::new(low))
        })
    }

    /// Returns one row of a projection.
    pub fn row(&self, projection: &str, key: &str) -> Result<Option<Value>, ReadError> {
        let sql = format!("SELECT row FROM {} WHERE key = ?1", table_of(projection));
        self.query(|c| c.prepare_cached(&sql)?.query_row([key], |row| row::json(row, 0)).optional())
    }

    /// Lists rows of a projection in the order of their keys, after a key.
    pub fn rows(&self, projection: &str, after: &str, limit: usize) -> Result<Vec<(String, Value)>, ReadError> {
        let sql = format!("SELECT key, row FROM {} WHERE key > ?1 ORDER BY key LIMIT ?2", table_of(projection));
        self.query(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![after, limit.min(PAGE) as i64], |row| Ok((row.get(0)?, row::json(row, 1)?)))?;
            rows.collect()
        })
    }

    /// Returns a row as it was at a position, folded again from the log.
    pub fn row_at(
        &self,
        projection: &dyn InlineProjection,
        key: &str,
        at: Position,
    ) -> Result<Option<Value>, ReadError> {
        let mut events = Vec::new();
        match projection.streams(key) {
            Some(streams) => {
                for stream in streams {
                    self.stream_until(&stream, at, &mut events)?;
                }
                events.sort_by_key(|event| event.position);
            }
            None => self.for_each(Position::default(), at, |event| {
                if projection.keys(&event).iter().any(|touched| touched == key) {
                    events.push(event);
                }
                ControlFlow::Continue(())
            })?,
        }
        Ok(fold_events(projection, key, &events))
    }

    fn stream_until(&self, stream: &StreamName, at: Position, events: &mut Vec<Envelope>) -> Result<(), ReadError> {
        let mut after = Version::default();
        loop {
            let page = self.read_stream(stream, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.version;
            let ended = last.position > at;
            events.extend(page.into_iter().filter(|event| event.position <= at));
            if ended {
                return Ok(());
            }
        }
    }

    /// Returns every row of a projection as it was at a position, folded again from the log.
    pub fn rows_at(
        &self,
        projection: &dyn InlineProjection,
        at: Position,
    ) -> Result<std::collections::BTreeMap<String, Value>, ReadError> {
        let mut rows = std::collections::BTreeMap::new();
        self.for_each(Position::default(), at, |event| {
            for key in projection.keys(&event) {
                let row = rows.remove(&key);
                if let Some(row) = projection.fold(&key, row, &event) {
                    rows.insert(key, row);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// Tells how far each projection has come, and which are parked and why.
    pub fn projections(&self) -> Result<Vec<ProjectionStatus>, ReadError> {
        self.query(|connection| {
            let sql = "SELECT name, version, position, error FROM projections ORDER BY name";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let position = Position::new(row.get::<_, i64>(2)? as u64);
                Ok(ProjectionStatus { name: row.get(0)?, version: row.get(1)?, position, error: row.get(3)? })
            })?;
            rows.collect()
        })
    }

    /// Returns the notes of the checkpoints, oldest first.
    pub fn checkpoints(&self) -> Result<Vec<String>, ReadError> {
        self.query(|connection| {
            let mut statement = connection.prepare_cached("SELECT note FROM checkpoints ORDER BY size")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Returns the note of the newest checkpoint.
    pub fn latest_checkpoint(&self) -> Result<Option<String>, ReadError> {
        let sql = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
        self.query(|c| c.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional())
    }

    /// Returns the leaf hashes of the first `size` events.
    pub fn leaves(&self, size: Position) -> Result<Vec<Hash>, ReadError> {
        self.query(|connection| {
            let sql = "SELECT leaf FROM events WHERE position <= ?1 ORDER BY position";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([size.stored()], |row| row.get(0))?.collect()
        })
    }

    /// Proves that the event at a position is in the tree over the first `size` events; nothing if it is beyond.
    pub fn prove(&self, position: Position, size: Position) -> Result<Option<MerkleProof>, ReadError> {
        let leaves = self.leaves(size)?;
        let index = position.get().wrapping_sub(1);
        let hashes = super::merkle::inclusion_proof(&leaves, index as usize);
        let leaf = leaves.get(index as usize).copied();
        let size = leaves.len() as u64;
        Ok(hashes.zip(leaf).map(|(hashes, leaf)| MerkleProof {
            leaf,
            index,
            size,
            root: super::merkle::root(&leaves),
            hashes,
        }))
    }

    /// Copies the whole log, as it is at one moment, to a new file: for a backup or for a stranger.
    pub fn copy_to(&self, path: &Path) -> Result<(), ReadError> {
        self.query(|connection| {
            let mut copy = Connection::open(path)?;
            rusqlite::backup::Backup::new(connection, &mut copy)?.step(-1)?;
            copy.pragma_update(None, "journal_mode", "DELETE")
        })
    }
}

/// Continues the tree from the last checkpoint's frontier, and returns the moment of the last event.
///
/// A frontier that is not of the root in the checkpoint's note is not gone on from: each root that is signed after it would be
/// wrong.
pub(super) fn load_tree(connection: &Connection) -> rusqlite::Result<(Frontier, Timestamp)> {
    let sql = "SELECT size, frontier, note FROM checkpoints ORDER BY size DESC LIMIT 1";
    let sealed =
        |row: &Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?));
    let sealed = connection.query_row(sql, [], sealed).optional()?;
    let whole = |(size, bytes, note): (u64, Vec<u8>, String)| {
        let signed = SignedCheckpoint::parse(&note).ok()?.checkpoint;
        Frontier::from_bytes(size, &bytes).filter(|frontier| (signed.size, signed.root) == (size, frontier.root()))
    };
    let mut tree = sealed.and_then(whole).unwrap_or_default();
    let mut recorded_at = last_moment(connection, tree.size())?;
    let mut tail = connection.prepare("SELECT leaf, recorded_at FROM events WHERE position > ?1 ORDER BY position")?;
    let mut rows = tail.query([tree.size() as i64])?;
    while let Some(row) = rows.next()? {
        tree.push(row.get(0)?);
        recorded_at = row.get(1)?;
    }
    Ok((tree, Timestamp::from_micros(recorded_at)))
}

fn last_moment(connection: &Connection, position: u64) -> rusqlite::Result<i64> {
    let sql = "SELECT recorded_at FROM events WHERE position = ?1";
    Ok(connection.query_row(sql, [position as i64], |row| row.get(0)).optional()?.unwrap_or(i64::MIN))
}
