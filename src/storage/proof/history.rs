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
use crate::storage::log::CHECKPOINT_FILE;
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
    /// Whether the log was signed with a key that is none of those that are there.
    pub strange: bool,
}

impl Divergence {
    /// Says what to do about it.
    pub const fn cure(&self) -> &'static str {
        if self.strange {
            "if the daemon worked with other keys meanwhile, copy their checkpoint.vkey into this directory as \
             checkpoint-other.vkey and start the daemon again; or: berth node accept-history"
        } else {
            "stop the daemon and put the newer copy back, or: berth node accept-history"
        }
    }
}

/// Says what keys mean that had not signed the log.
pub(in crate::storage) const STRANGERS: &str =
    "the old ones were lost, or are in another directory; stores of before cannot be opened until theirs are back";

/// Compares a log with what is recorded of it outside of its file.
pub(in crate::storage) fn check(state: &Path, ledger: &Ledger, keys: &Keys) -> Result<Option<Divergence>, OpenError> {
    let record = keys.record();
    let newest = read(&record, ledger, keys)?;
    let exported = state.join(CHECKPOINT_FILE);
    let recorded = [newest.map(|note| (note, record)), read(&exported, ledger, keys)?.map(|note| (note, exported))];
    for (recorded, path) in recorded.into_iter().flatten() {
        let failed = |source| OpenError::Read(row::read_error(&ledger.path, source));
        if let Some((reason, strange)) = difference(&recorded, ledger, keys).map_err(failed)? {
            return Ok(Some(Divergence { recorded, path, head: ledger.head(), reason, strange }));
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

/// Says in what a log differs from a checkpoint of it, and whether that is a key that nobody here has; nothing if it is the
/// same history.
fn difference(recorded: &Checkpoint, ledger: &Ledger, keys: &Keys) -> rusqlite::Result<Option<(String, bool)>> {
    let (size, head) = (recorded.size, ledger.head().position.get());
    if size > head {
        let sealed_at = recorded.sealed_at;
        return Ok(Some((format!("it ends at event {head}, but event {size} was sealed at {sealed_at}"), false)));
    }
    if let Some(other) = other_root(ledger, recorded)? {
        return Ok(Some((other, false)));
    }
    let Some((size, note)) = newest(ledger)? else { return Ok(None) };
    let own =
        SignedCheckpoint::parse(&note).ok().filter(|signed| signed.checkpoint.size == size && keys.signed(signed));
    let Some(own) = own else {
        let folder = keys.folder.display();
        let reason = format!("its checkpoint of {size} events was signed by none of the keys in {folder}");
        return Ok(Some((reason, true)));
    };
    // What is signed next goes on from there.
    Ok(other_root(ledger, &own.checkpoint)?.map(|other| (other, false)))
}

/// Says that the first events are not those of a checkpoint; nothing if they are.
fn other_root(ledger: &Ledger, sealed: &Checkpoint) -> rusqlite::Result<Option<String>> {
    let Checkpoint { size, root, sealed_at, .. } = sealed;
    let is_so = has_root(&ledger.connection, *size, *root)?;
    Ok((!is_so).then(|| format!("its first {size} events are not those that were sealed at {sealed_at}")))
}

/// Returns the newest note in the log, with the size under which it stands there.
fn newest(ledger: &Ledger) -> rusqlite::Result<Option<(u64, String)>> {
    let newest = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";
    let row = ledger.connection.query_row(newest, [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)));
    row.optional()
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

    /// Says whether these are not the keys that signed the log so far: they were lost, or are those of another machine.
    pub(in crate::storage) fn are_strange(&self, ledger: &Ledger) -> Result<bool, OpenError> {
        let newest = newest(ledger).map_err(|source| OpenError::Read(row::read_error(&ledger.path, source)))?;
        let known = |note: &str| SignedCheckpoint::parse(note).is_ok_and(|signed| self.signed(&signed));
        Ok(newest.is_some_and(|(_, note)| !known(&note)))
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
