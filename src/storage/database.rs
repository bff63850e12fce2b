//! The SQLite file: how it is created and opened, for the writer and for readers.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, ffi};

use super::error::{OpenError, ReadError, foreign};
use super::log::LOCK_FILE;
use super::reserve::{Reserve, SPARE, index_of};
use crate::sys::fs::lock::try_exclusive;
use crate::sys::fs::{free_bytes, open_root};
use crate::types::LogId;

/// Is the name of the log's file in the state directory.
pub const LOG_FILE: &str = "log.db";
/// Marks the file as a log of Berth for `file(1)` and for the curious: "Brth".
const APPLICATION_ID: i32 = 0x4272_7468;
/// Is the size of a page in bytes.
pub(super) const PAGE_SIZE: u64 = 4_096;
/// After how many pages the write-ahead log is copied into the database.
pub(super) const CHECKPOINT_PAGES: u64 = 8_192;
/// The same where room is short: up to 4,062 pages its index has in any case.
pub(super) const CHECKPOINT_PAGES_SHORT: u64 = 1_000;
const SCHEMA: &str = include_str!("schema/log.sql");
const STATEMENTS_HELD: usize = 64;

/// A write-ahead log of up to 32 MiB: at 4 MiB, the default, pages that are dirty all the time are copied ever again.
/// Durability before speed: an acknowledged commit survives a power cut (sqlite.org/pragma.html#pragma_synchronous).
/// Foreign keys are for readers of the schema: the writer has just looked each number up, and `verify` misses none.
const WRITER: &str = "
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA foreign_keys = OFF;
    PRAGMA trusted_schema = OFF;
    PRAGMA busy_timeout = 5000;
    PRAGMA wal_autocheckpoint = 8192;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;";
const READER: &str = "
    PRAGMA query_only = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA busy_timeout = 5000;
    PRAGMA cache_size = -8192;
    PRAGMA mmap_size = 268435456;";

/// Opens the log for writing; an empty file becomes a new log only if `create` says so.
pub(super) fn open_writer(path: &Path, create: bool, reserve: &Reserve) -> Result<(Connection, LogId), OpenError> {
    let failed = |source| OpenError::Read(ReadError::of(path, source));
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(failed(read_only())); // SQLite opens it all the same
    }
    if !create {
        check_whole(path)?;
        log_id(&connection, path)?; // before anything is written: an emptied file stays as it was found
    }
    connection.execute_batch(WRITER).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_HELD);
    reserve.settle_in(&connection).map_err(failed)?;
    if create && is_empty(&connection).map_err(failed)? {
        create_log(&connection).map_err(failed)?;
    }
    let log = log_id(&connection, path)?;
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(failed)?; // what cannot be written shows here
    Ok((connection, log))
}

fn read_only() -> rusqlite::Error {
    let reason = "the file system, or the file, takes no writing";
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), Some(reason.to_owned()))
}

/// Runs `write` in a transaction that is not synced: what is disposable is taken along by the next commit's sync.
pub(super) fn unsynced(
    connection: &Connection,
    write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let written = connection.unchecked_transaction().and_then(|transaction| {
        write(&transaction)?;
        transaction.commit()
    });
    connection.pragma_update(None, "synchronous", "FULL")?;
    written
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", super::format::FORMAT)
}

/// Makes an empty file one that a log can be copied into.
pub(super) fn prepare_file(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_SIZE as i64)?;
    mark(connection)
}

/// Makes the tables and triggers of a log that is empty.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)
}

fn create_log(connection: &Connection) -> rusqlite::Result<()> {
    let mut id = [0_u8; 16];
    let random = SystemRandom::new().fill(&mut id);
    random.map_err(|_| foreign("the kernel gave no random bytes"))?;
    let transaction = connection.unchecked_transaction()?;
    mark(&transaction)?;
    create_tables(&transaction)?;
    transaction.execute("INSERT INTO log (one, id) VALUES (1, ?1)", [&id])?;
    transaction.commit()
}

/// Opens the log for reading. Where nothing can be written beside it, it is read as a file that does not change, or
/// with an index of its write-ahead log in memory.
pub(super) fn open_reader(path: &Path) -> Result<(Connection, LogId), ReadError> {
    check_whole(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if is_short_of_room(path) && is_at_rest(path) {
        return open_fixed(path, flags);
    }
    let plain = Connection::open_with_flags(path, flags).map_err(|source| ReadError::of(path, source))?;
    match prepare_reader(plain, path) {
        Err(ReadError::Sqlite { source, .. }) if cannot_write(&source) => open_fixed(path, flags),
        opened => opened,
    }
}

/// Opens it as a file that does not change, or with an index of its write-ahead log in memory.
fn open_fixed(path: &Path, flags: OpenFlags) -> Result<(Connection, LogId), ReadError> {
    let pending = has_pending(path);
    let how = if pending { "readonly_shm=1" } else { "immutable=1" };
    if pending {
        // SQLite makes the index in memory where there is an empty file for it, and fails where there is none. One that is
        // there is not opened: to close it would give up the locks that this process may have on it.
        let _ = File::options().write(true).create_new(true).mode(0o600).open(index_of(path));
    }
    let uri = format!("file:{}?{how}", escape(path));
    let fixed = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI);
    prepare_reader(fixed.map_err(|source| ReadError::of(path, source))?, path)
}

/// Says whether there is no room for the index of a write-ahead log. SQLite maps it into memory, and one byte of each page has a
/// block first: where blocks are smaller than pages, touching the rest of a page ends the process.
fn is_short_of_room(path: &Path) -> bool {
    let free = |directory| free_bytes(open_root(directory)?.as_fd());
    path.parent().is_some_and(|directory| free(directory).is_ok_and(|free| free < SPARE))
}

/// Says whether no daemon is at work there, which has room for that index and shares it.
fn is_at_rest(path: &Path) -> bool {
    let lock = File::open(path.with_file_name(LOCK_FILE));
    lock.and_then(|lock| try_exclusive(lock.as_fd())).unwrap_or(true)
}

/// Moves everything from the write-ahead log into the file, so that the file alone is the log. A reader of what was there before
/// keeps it from that, which SQLite tells in a row and not as an error.
pub(super) fn settle(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))? {
        return Ok(());
    }
    let reason = "somebody reads the log, so its write-ahead log cannot be emptied now; try again";
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), Some(reason.to_owned())))
}

/// Tells what SQLite says where the file system takes nothing: full, read-only, failing.
pub(super) fn cannot_write(source: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
    matches!(source.sqlite_error_code(), Some(CannotOpen | DiskFull | ReadOnly | SystemIoFailure))
}

/// Tells how many pages may gather in the write-ahead log.
pub(super) fn checkpoint_after(connection: &Connection, pages: u64) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_autocheckpoint = {pages}"), [], |_| Ok(()))
}

fn prepare_reader(connection: Connection, path: &Path) -> Result<(Connection, LogId), ReadError> {
    connection.execute_batch(READER).map_err(|source| ReadError::of(path, source))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_HELD);
    let log = log_id(&connection, path)?;
    Ok((connection, log))
}

fn log_id(connection: &Connection, path: &Path) -> Result<LogId, ReadError> {
    let damaged = |reason: &str| ReadError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let has_log = "SELECT count(*) FROM sqlite_schema WHERE name IN ('log', 'events')";
    let tables: i64 = connection.query_row(has_log, [], |row| row.get(0)).map_err(|e| ReadError::of(path, e))?;
    if tables != 2 {
        return Err(damaged("it holds no log: it was emptied, cut off, or is another file"));
    }
    let id: Option<[u8; 16]> = connection
        .query_row("SELECT id FROM log WHERE one = 1", [], |row| row.get(0))
        .optional()
        .map_err(|source| ReadError::of(path, source))?;
    id.map(LogId::from_bytes).ok_or_else(|| damaged("the id of the log is missing"))
}

/// SQLite rounds a cut page up and reads zeros; without a write-ahead log to complete it, a cut page is a loss.
fn check_whole(path: &Path) -> Result<(), ReadError> {
    let Ok(length) = std::fs::metadata(path).map(|file| file.len()) else { return Ok(()) }; // SQLite says it better
    if length.is_multiple_of(PAGE_SIZE) || has_pending(path) {
        return Ok(());
    }
    let reason = format!("its {length} bytes are no whole number of pages: it was cut off");
    Err(ReadError::Damaged { path: path.to_owned(), reason })
}

/// Says whether the write-ahead log has anything: one that is kept for its room begins with zeros.
fn has_pending(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(wal_of(path)).and_then(|mut wal| wal.read_exact(&mut magic));
    read.is_ok() && magic != [0; 4]
}

/// Returns the write-ahead log of a database.
pub(super) fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Escapes what means something in an SQLite URI (sqlite.org/uri.html).
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
