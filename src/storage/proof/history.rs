//! What the key directory knows of the log: the newest checkpoint, where a restored state directory does not reach.
//!
//! A log that is shorter than what was signed, or that had another root at that size, was rolled back or is another one. Nothing
//! is signed then until somebody accepts it: two histories under one key, without a word, are worth nothing as a proof.
//! The record is written after the checkpoint is durable in the log, so it may lag behind the log and never leads.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::checkpoint::{Checkpoint, SignedCheckpoint, Signer, VerifierKey, origin};
use super::merkle::{Frontier, Hash};
use crate::storage::error::OpenError;
use crate::storage::ledger::Ledger;
use crate::storage::store::CHECKPOINT_FILE;
use crate::storage::{Head, file, row};

/// Is the name of the newest checkpoint's file beside the keys.
pub const RECORD_FILE: &str = "newest.checkpoint";

/// Is what was signed once and is not in the log now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log {} is not as it was signed: {reason}; what was signed is in {}", head.log, path.display())]
pub struct Divergence {
    /// What was signed.
    pub recorded: Checkpoint,
    /// Where that is written.
    pub path: PathBuf,
    /// Where the log ends now.
    pub head: Head,
    /// What does not fit, in words.
    pub reason: String,
}

/// Compares a log with what is recorded of it outside of its file.
pub(in crate::storage) fn check(state: &Path, ledger: &Ledger, keys: &Keys) -> Result<Option<Divergence>, OpenError> {
    let record = keys.record();
    let newest = read(&record, ledger, keys)?;
    if newest.is_none() {
        keys.say_what_is_missing(ledger)?;
    }
    let exported = state.join(CHECKPOINT_FILE);
    let recorded = [newest.map(|note| (note, record)), read(&exported, ledger, keys)?.map(|note| (note, exported))];
    for (recorded, path) in recorded.into_iter().flatten() {
        let failed = |source| OpenError::Read(row::read_error(&ledger.path, source));
        if let Some(reason) = difference(&recorded, ledger, keys).map_err(failed)? {
            return Ok(Some(Divergence { recorded, path, head: ledger.head(), reason }));
        }
    }
    Ok(None)
}

/// Reads a note that one of the log's keys signed; anything else says nothing.
fn read(path: &Path, ledger: &Ledger, keys: &Keys) -> Result<Option<Checkpoint>, OpenError> {
    let note = match fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::File { path: path.to_owned(), source }),
    };
    let signed = SignedCheckpoint::parse(&note).ok().filter(|signed| keys.signed(signed));
    let signed = signed.filter(|signed| signed.checkpoint.origin == origin(ledger.log));
    if signed.is_none() {
        tracing::error!(path = %path.display(), "no checkpoint that a key of this log signed: the log cannot be compared with it");
    }
    Ok(signed.map(|signed| signed.checkpoint))
}

/// Says in what a log differs from a checkpoint of it; nothing if it is the same history.
fn difference(recorded: &Checkpoint, ledger: &Ledger, keys: &Keys) -> rusqlite::Result<Option<String>> {
    let (size, head) = (recorded.size, ledger.head().position.get());
    if size > head {
        let sealed_at = recorded.sealed_at;
        return Ok(Some(format!("it ends at event {head}, but event {size} was sealed at {sealed_at}")));
    }
    if !has_root(&ledger.connection, size, recorded.root)? {
        return Ok(Some(format!("its first {size} events are not those that were sealed at {}", recorded.sealed_at)));
    }
    let newest = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";
    let newest = ledger
        .connection
        .query_row(newest, [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, String>(1)?)))
        .optional()?;
    let Some((size, note)) = newest else { return Ok(None) };
    let own =
        SignedCheckpoint::parse(&note).ok().filter(|signed| signed.checkpoint.size == size && keys.signed(signed));
    let Some(own) = own else {
        return Ok(Some(format!("its checkpoint of {size} events was signed by none of its keys")));
    };
    // What is signed next goes on from there.
    let is_so = has_root(&ledger.connection, size, own.checkpoint.root)?;
    Ok((!is_so)
        .then(|| format!("its first {size} events are not those that were sealed at {}", own.checkpoint.sealed_at)))
}

/// Says whether the first events have this root: by the table of checkpoints, or, where that is damaged, by their leaves.
fn has_root(connection: &Connection, size: u64, root: Hash) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM checkpoints WHERE size = ?1 AND root = ?2";
    if connection.prepare(sql)?.exists(params![size as i64, root])? {
        return Ok(true);
    }
    let mut tree = Frontier::default();
    let mut leaves = connection.prepare("SELECT leaf FROM events WHERE position <= ?1 ORDER BY position")?;
    let mut rows = leaves.query([size as i64])?;
    while let Some(row) = rows.next()? {
        tree.push(row.get(0)?);
    }
    Ok(tree.size() == size && tree.root() == root)
}

/// Is the place of a log's keys, with those that it has or had.
pub(in crate::storage) struct Keys {
    folder: PathBuf,
    known: Vec<VerifierKey>,
}

impl Keys {
    /// Reads the public halves beside the key that signs.
    pub(in crate::storage) fn of(folder: PathBuf, signer: &Signer) -> Self {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let public = files.filter(|path| path.extension().is_some_and(|extension| extension == "vkey"));
        let mut known: Vec<VerifierKey> =
            public.filter_map(|path| VerifierKey::parse(fs::read_to_string(path).ok()?.trim()).ok()).collect();
        known.push(signer.key().clone());
        Self { folder, known }
    }

    /// Returns where the newest checkpoint is written.
    pub(in crate::storage) fn record(&self) -> PathBuf {
        self.folder.join(RECORD_FILE)
    }

    fn signed(&self, note: &SignedCheckpoint) -> bool {
        self.known.iter().any(|key| note.verify(key).is_ok())
    }

    /// Says that these are not the keys that signed the log so far: they were lost, or are those of another machine.
    fn say_what_is_missing(&self, ledger: &Ledger) -> Result<(), OpenError> {
        let sql = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
        let newest = ledger.connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional();
        let newest = newest.map_err(|source| OpenError::Read(row::read_error(&ledger.path, source)))?;
        let Some(note) = newest else { return Ok(()) };
        if SignedCheckpoint::parse(&note).is_ok_and(|signed| self.signed(&signed)) {
            return Ok(());
        }
        tracing::error!(
            keys = %self.folder.display(),
            "the key directory has no key that signed this log: it was lost, or is another machine's; a new key signs from \
             now on, and stores cannot be opened until the old directory is put back"
        );
        Ok(())
    }
}

/// Keeps what was signed beside the record that takes its place, for good.
pub(in crate::storage) fn set_aside(divergence: &Divergence, folder: &Path) -> Result<PathBuf, OpenError> {
    let Checkpoint { size, sealed_at, .. } = &divergence.recorded;
    let kept = folder.join(format!("given-up-{size}-{}.checkpoint", sealed_at.as_micros()));
    let note = fs::read(&divergence.path).map_err(OpenError::file(&divergence.path))?;
    match file::create_new(&kept, &note) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(OpenError::File { path: kept, source }),
        _ => Ok(kept),
    }
}
