//! What the writer thread holds: the connection, and in memory what mirrors the database.
//!
//! The mirror (versions, words, tree, rows of projections) changes only along with the open transaction. Whenever the
//! two might differ, the ledger is thrown away and read again from the file.

mod models;
mod salts;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, params};

use super::checkpoint::Signer;
use super::database;
use super::error::{AppendError, OpenError, ReadError};
use super::intern::{Interner, Known};
use super::keys::{self, Keys};
use super::leaf::{Header, annex_commitment, commitment};
use super::merkle::Frontier;
use super::projection::{self, Slot};
use super::reader::load_tree;
use super::reserve::Reserve;
use super::row::{self, Words};
use super::{CONTENT_LIMIT, Commit, Committed, Expected, Head};
use crate::events::{Context, Envelope, NewEvent};
use crate::types::{CLOCK_SLACK, LogId, Position, Timestamp, Version};
use salts::Salts;

/// Is what became of one commit of a batch.
pub(super) type Outcome = Result<Committed, AppendError>;

const INSERT: &str = "INSERT INTO events (position, stream, version, kind, schema, recorded_at, wall_clock, boot,
        principal, operation, cause_stream, cause_version, node, body_salt, body, annex, annex_commitment, leaf)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

pub(super) struct Ledger {
    pub(super) path: PathBuf,
    pub(super) log: LogId,
    pub(super) slots: Vec<Slot>,
    /// Whether the slots were compared with what the file has since the process began.
    is_adopted: bool,
    pub(super) connection: Connection,
    pub(super) interner: Interner,
    pub(super) words: Words,
    pub(super) keys: Arc<Mutex<Keys>>,
    pub(super) tree: Frontier,
    pub(super) sealed: u64,
    pub(super) note: Option<String>,
    pub(super) recorded_at: Timestamp,
    pub(super) reserve: Reserve,
    salts: Salts,
    scratch: Vec<u8>,
}

/// Says how far a batch came before it failed.
pub(super) enum BatchFailure {
    /// Nothing of it can be in the log.
    Before(rusqlite::Error),
    /// The commit itself failed: only the file knows.
    AtCommit(rusqlite::Error),
}

/// Is what stays the same for all events of a commit.
struct Numbers {
    boot: i64,
    principal: i64,
    node: i64,
    cause_stream: Option<i64>,
    cause_version: Option<i64>,
}

impl Ledger {
    /// Opens the file and reads what is to be mirrored.
    pub(super) fn open(path: PathBuf, create: bool, mut reserve: Reserve) -> Result<Self, OpenError> {
        let opened = database::open_writer(&path, create, &reserve)?;
        let _ = reserve.take_index(); // told as missing until it is there
        Self::over(opened, path, reserve)
    }

    /// Takes the projections at a start: what is not as Berth makes it is put right, and they are rebuilt where they do not
    /// fit.
    pub(super) fn adopt(&mut self, slots: Vec<Slot>) -> Result<(), OpenError> {
        self.slots = slots;
        self.check_schema()?;
        self.catch_up(true).map_err(|source| OpenError::Read(row::read_error(&self.path, source)))?;
        self.is_adopted = true;
        Ok(())
    }

    /// Opens the file for reading alone, where it cannot be written now; [`Ledger::reopen`] makes it whole.
    pub(super) fn open_for_reading(path: PathBuf, slots: Vec<Slot>, reserve: Reserve) -> Result<Self, OpenError> {
        let mut ledger = Self::over(database::open_reader(&path)?, path, reserve)?;
        ledger.slots = slots;
        Ok(ledger)
    }

    fn over((connection, log): (Connection, LogId), path: PathBuf, reserve: Reserve) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Read(row::read_error(&path, source));
        let (tree, recorded_at) = load_tree(&connection).map_err(failed)?;
        let sealed = sealed_size(&connection).map_err(failed)?;
        let keys = Arc::new(Mutex::new(Keys::load(&connection).map_err(failed)?));
        let salts = Salts::new();
        let (interner, words, scratch) = (Interner::default(), Words::default(), Vec::new());
        let ledger = Self {
            path,
            log,
            slots: Vec::new(),
            is_adopted: false,
            connection,
            interner,
            words,
            keys,
            tree,
            sealed,
            note: None,
            recorded_at,
            reserve,
            salts,
            scratch,
        };
        ledger.check_size()?;
        Ok(ledger)
    }

    /// Opens the file again after a failure; the projections go along.
    ///
    /// With `closed` the connection goes first: those of one process share what the first could open of the index.
    pub(super) fn reopen(&mut self, closed: bool) -> Result<(), OpenError> {
        self.note = None; // it may be about what was undone
        let _ = self.connection.execute_batch("ROLLBACK");
        if closed {
            self.connection = Connection::open_in_memory().map_err(|e| ReadError::of(&self.path, e))?;
        }
        let mut slots = std::mem::take(&mut self.slots);
        slots.iter_mut().for_each(Slot::forget);
        match Self::open(self.path.clone(), false, self.reserve.clone()) {
            Ok(fresh) => {
                let keys = Arc::clone(&self.keys); // others hold it, too
                std::mem::swap(&mut *lock(&keys), &mut *lock(&fresh.keys));
                let is_adopted = self.is_adopted;
                *self = fresh;
                self.keys = keys;
                if !is_adopted {
                    return self.adopt(slots);
                }
                (self.slots, self.is_adopted) = (slots, true);
                self.catch_up(false).map_err(|source| OpenError::Read(row::read_error(&self.path, source)))
            }
            Err(error) => {
                self.slots = slots;
                Err(error)
            }
        }
    }

    pub(super) fn head(&self) -> Head {
        Head { log: self.log, position: Position::new(self.tree.size()), root: self.tree.root() }
    }

    /// Returns how many events came after the last checkpoint.
    pub(super) fn unsealed(&self) -> u64 {
        self.tree.size() - self.sealed
    }

    /// The number of leaves and the last position are told by different columns; a hole shows here.
    fn check_size(&self) -> Result<(), ReadError> {
        let sql = "SELECT coalesce(max(position), 0) FROM events";
        let last: i64 =
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(|e| ReadError::of(&self.path, e))?;
        if last as u64 == self.tree.size() {
            return Ok(());
        }
        let reason = format!("the last event is {last}, but the tree has {} leaves", self.tree.size());
        Err(ReadError::Damaged { path: self.path.clone(), reason })
    }

    /// Opens the transaction that [`Ledger::add`] writes into and [`Ledger::commit`] makes durable.
    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    /// Ends the transaction: what it holds is durable.
    ///
    /// The root is signed in the same one once `due.1` events came since the last time.
    pub(super) fn commit(&mut self, now: Timestamp, due: (&Signer, u64)) -> Result<(), BatchFailure> {
        self.complete(now, due).map_err(BatchFailure::Before)?;
        self.connection.execute_batch("COMMIT").map_err(BatchFailure::AtCommit)
    }

    fn complete(&mut self, now: Timestamp, (signer, due): (&Signer, u64)) -> rusqlite::Result<()> {
        let head = Position::new(self.tree.size());
        projection::flush_all(&mut self.slots, &self.connection, head)?;
        if !self.slots.is_empty() {
            projection::all_reached(&self.connection, head)?;
        }
        if self.unsealed() >= due { self.seal(signer, now) } else { Ok(()) }
    }

    /// Moves the newest keys into the file's index once they are many.
    pub(super) fn settle_keys(&mut self) -> rusqlite::Result<()> {
        let mut keys = lock(&self.keys);
        if keys.are_many() { keys.settle(&self.connection) } else { Ok(()) }
    }

    /// Writes one commit into the open transaction, or says why it is not taken; an error undoes the whole transaction.
    pub(super) fn add(&mut self, commit: &Commit, now: Timestamp) -> rusqlite::Result<Outcome> {
        let contents = commit.events.iter().flat_map(|event| [Some(&event.body), event.annex.as_ref()]).flatten();
        if let Some(bytes) = contents.map(Vec::len).find(|bytes| *bytes > CONTENT_LIMIT) {
            return Ok(Err(AppendError::TooLarge { bytes, limit: CONTENT_LIMIT }));
        }
        if let Some(outcome) = self.earlier(commit)? {
            return Ok(outcome);
        }
        let actual = self.interner.find(&self.connection, &commit.stream)?.map_or(Version::default(), |k| k.version);
        match commit.expected {
            Expected::Version(expected) if expected != actual => {
                return Ok(Err(AppendError::Conflict { stream: commit.stream.clone(), expected, actual }));
            }
            _ => {}
        }
        self.insert(commit, now)
    }

    /// Looks for the commit that the idempotency key already made.
    fn earlier(&mut self, commit: &Commit) -> rusqlite::Result<Option<Outcome>> {
        let Some(key) = &commit.key else { return Ok(None) };
        let recent = lock(&self.keys).recent(key);
        let Some(known) = keys::find(&self.connection, key, &recent)? else { return Ok(None) };
        if known.request_hash != commit.request_hash {
            return Ok(Some(Err(AppendError::KeyReused { key: key.clone() })));
        }
        let filter = "position BETWEEN ?1 AND ?2 ORDER BY position";
        let events = row::read(&self.connection, &mut self.words, filter, params![known.first, known.last])?;
        Ok(Some(Ok(Committed { events: events.into_iter().map(Arc::new).collect(), repeated: true })))
    }

    fn insert(&mut self, commit: &Commit, now: Timestamp) -> rusqlite::Result<Outcome> {
        let events = self.insert_events(commit, self.recorded_at_of(now))?;
        self.accept(&events)?;
        Ok(Ok(Committed { events, repeated: false }))
    }

    /// Returns when something is recorded that comes now: not before what stands in front of it, unless the clock went back
    /// by more than clocks do.
    fn recorded_at_of(&self, now: Timestamp) -> Timestamp {
        if self.recorded_at.since(now) > CLOCK_SLACK { now } else { now.max(self.recorded_at) }
    }

    fn insert_events(&mut self, commit: &Commit, recorded_at: Timestamp) -> rusqlite::Result<Vec<Arc<Envelope>>> {
        let numbers = self.numbers(&commit.context)?;
        let mut known = self.interner.stream(&self.connection, &commit.stream)?;
        let first = self.tree.size() + 1;
        let mut events = Vec::with_capacity(commit.events.len());
        for (position, event) in (first..).zip(&commit.events) {
            known.version = known.version.next();
            events.push(self.insert_event(Position::new(position), known, event, commit, &numbers, recorded_at)?);
        }
        if let (Some(key), false) = (&commit.key, events.is_empty()) {
            let last = first + events.len() as u64 - 1;
            self.connection
                .prepare_cached("INSERT INTO commits (first, last, request_hash, key) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![first as i64, last as i64, commit.request_hash, key])?;
            lock(&self.keys).note(key, first as i64);
        }
        self.interner.remember(&commit.stream, known);
        Ok(events)
    }

    fn numbers(&mut self, context: &Context) -> rusqlite::Result<Numbers> {
        let (connection, interner) = (&self.connection, &mut self.interner);
        let cause_stream = context.causation.as_ref().map(|cause| interner.stream(connection, &cause.stream));
        Ok(Numbers {
            boot: interner.boot(connection, &context.boot)?,
            principal: interner.principal(connection, &context.principal)?,
            node: interner.node(connection, &context.node)?,
            cause_stream: cause_stream.transpose()?.map(|known| known.id),
            cause_version: context.causation.as_ref().map(|cause| cause.version.stored()),
        })
    }

    fn insert_event(
        &mut self,
        position: Position,
        known: Known,
        event: &NewEvent,
        commit: &Commit,
        numbers: &Numbers,
        recorded_at: Timestamp,
    ) -> rusqlite::Result<Arc<Envelope>> {
        let salt = self.salts.next()?;
        let annex = match &event.annex {
            Some(bytes) => Some([&self.salts.next()?[..], bytes].concat()),
            None => None,
        };
        let annex_hash = annex.as_deref().map(annex_commitment);
        let header = Header {
            log: &self.log,
            stream: &commit.stream,
            version: known.version,
            kind: &event.kind,
            schema: event.schema,
            recorded_at,
            context: &commit.context,
            body: &commitment(&salt, &event.body),
            annex: annex_hash.as_ref(),
        };
        let leaf = header.leaf(&mut self.scratch);
        let kind = self.interner.kind(&self.connection, &event.kind)?;
        self.connection.prepare_cached(INSERT)?.execute(params![
            position.stored(),
            known.id,
            known.version.stored(),
            kind,
            event.schema,
            recorded_at.as_micros(),
            commit.context.wall_clock.as_micros(),
            numbers.boot,
            numbers.principal,
            commit.context.operation.as_bytes(),
            numbers.cause_stream,
            numbers.cause_version,
            numbers.node,
            salt,
            event.body,
            annex,
            annex_hash,
            leaf,
        ])?;
        Ok(Arc::new(envelope(position, known.version, event, commit, recorded_at, leaf)))
    }

    /// Takes the events of a commit into the mirror.
    fn accept(&mut self, events: &[Arc<Envelope>]) -> rusqlite::Result<()> {
        for event in events {
            self.tree.push(event.leaf);
            self.recorded_at = event.recorded_at;
            projection::fold_all(&mut self.slots, &self.connection, event)?;
        }
        Ok(())
    }
}

fn sealed_size(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(size), 0) FROM checkpoints";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|size| size as u64)
}

/// Tells what SQLite refuses because of a commit's own content: without that commit the batch is taken.
pub(super) fn is_of_a_commit(source: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    matches!(source.sqlite_error_code(), Some(ConstraintViolation | TooBig | TypeMismatch))
}

pub(super) fn lock(keys: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

fn envelope(
    position: Position,
    version: Version,
    event: &NewEvent,
    commit: &Commit,
    recorded_at: Timestamp,
    leaf: [u8; 32],
) -> Envelope {
    Envelope {
        position,
        stream: commit.stream.clone(),
        version,
        kind: event.kind.clone(),
        schema: event.schema,
        recorded_at,
        context: commit.context.clone(),
        body: event.body.clone(),
        annex: event.annex.clone(),
        leaf,
    }
}
