//! What is done to a log beside appending: sealing, redaction, archiving, snapshots. All on the writer thread.

use rusqlite::{OptionalExtension, params};

use super::Head;
use super::checkpoint::{Checkpoint, Signer, origin};
use super::database::{self, PAGE_SIZE};
use super::error::foreign;
use super::leaf::{Salt, commitment};
use super::ledger::Ledger;
use super::segment::{self, Bodies};
use crate::types::{Position, Timestamp};

/// Is how many bodies one segment packs.
const SEGMENT_EVENTS: i64 = 4_096;

/// Forgets what the request that an event came of was, in each commit of that request.
///
/// Without one there is nothing to look for: the table has no index by it.
const FORGET_REQUEST: &str = "UPDATE commits SET request_hash = zeroblob(32) WHERE request_hash =
    (SELECT request_hash FROM commits WHERE first = (SELECT max(first) FROM commits WHERE first <= ?1) AND last >= ?1
     AND request_hash <> zeroblob(32))";

impl Ledger {
    /// Signs the present root, if anything came since the last time, and keeps the note.
    pub(super) fn seal(&mut self, signer: &Signer, now: Timestamp) -> rusqlite::Result<()> {
        if self.unsealed() == 0 {
            return Ok(());
        }
        let Head { log, position, root } = self.head();
        let sealed_at = now.max(self.recorded_at);
        let note = signer.sign(&Checkpoint { origin: origin(log), size: position.get(), root, sealed_at });
        self.connection.execute(
            "INSERT INTO checkpoints (size, root, sealed_at, note, frontier) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![position.stored(), root, sealed_at.as_micros(), note, self.tree.to_bytes()],
        )?;
        self.sealed = position.get();
        self.note = Some(note);
        Ok(())
    }

    /// Returns the note that was made since the last question.
    pub(super) fn fresh_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Returns the newest checkpoint's note.
    pub(super) fn latest_note(&mut self) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
        self.connection.query_row(sql, [], |row| row.get(0)).optional()
    }

    /// Deletes annexes for good: from the file, and from the write-ahead log. What they were can be guessed from the hash of
    /// the request that brought them, so that goes as well; the request is no longer known when it is repeated.
    pub(super) fn redact(&mut self, positions: &[Position]) -> rusqlite::Result<usize> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut redacted = 0;
        for position in positions {
            let position = position.stored();
            let sql = "UPDATE events SET annex = NULL WHERE position = ?1 AND annex IS NOT NULL";
            redacted += transaction.execute(sql, [position])?;
            transaction.execute(FORGET_REQUEST, [position])?;
        }
        transaction.commit()?;
        database::settle(&self.connection)?;
        Ok(redacted)
    }

    /// Copies the write-ahead log into the file, so that it is filled from its beginning again; false if a reader was in
    /// the way.
    pub(super) fn begin_wal_anew(&mut self) -> rusqlite::Result<bool> {
        let sql = "PRAGMA wal_checkpoint(RESTART)";
        self.connection.query_row(sql, [], |row| {
            let (busy, frames, copied): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(!busy && frames == copied)
        })
    }

    /// Closes the file, so that it alone is the log; the room of its write-ahead log is kept.
    pub(super) fn put_away(mut self) -> rusqlite::Result<()> {
        if !self.reserve.is_wanted() {
            return database::settle(&self.connection);
        }
        let (whole, reserve) = (self.begin_wal_anew()?, self.reserve.clone());
        drop(self);
        if whole { reserve.blank().map_err(foreign) } else { Ok(()) }
    }

    /// Returns how many bytes of room are missing.
    pub(super) fn lacks_room(&self) -> u64 {
        self.used().map_or(0, |used| self.reserve.lacks(used))
    }

    /// Takes the room that is missing.
    pub(super) fn take_room(&mut self) -> rusqlite::Result<()> {
        let used = self.used()?;
        self.reserve.take(&self.connection, used).map_err(foreign)
    }

    /// Returns the bytes of the pages that the database has.
    fn used(&self) -> rusqlite::Result<u64> {
        let pages = self.connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0));
        Ok(pages? as u64 * PAGE_SIZE)
    }

    /// Packs the bodies up to a position into segments; returns how many were moved.
    pub(super) fn archive(&mut self, until: Position) -> rusqlite::Result<usize> {
        let mut moved = 0;
        loop {
            let packed = self.archive_segment(until)?;
            moved += packed;
            if packed == 0 {
                return Ok(moved);
            }
        }
    }

    fn archive_segment(&mut self, until: Position) -> rusqlite::Result<usize> {
        let transaction = self.connection.unchecked_transaction()?;
        let (mut bodies, mut commitments) = (Bodies::new(), Vec::new());
        {
            let sql = "SELECT position, body_salt, body FROM events WHERE position <= ?1 AND position >
                       (SELECT coalesce(max(last), 0) FROM segments) ORDER BY position LIMIT ?2";
            let mut statement = transaction.prepare_cached(sql)?;
            let mut rows = statement.query(params![until.stored(), SEGMENT_EVENTS])?;
            while let Some(row) = rows.next()? {
                let (position, salt, body): (i64, Salt, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                commitments.push((position, commitment(&salt, &body)));
                bodies.insert(position as u64, body);
            }
        }
        let (Some((first, _)), Some((last, _))) = (commitments.first(), commitments.last()) else { return Ok(0) };
        let packed = segment::pack(&bodies).map_err(foreign)?;
        let sql = "INSERT INTO segments (first, last, sha256, data) VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![first, last, packed.0, packed.1])?;
        let id = transaction.last_insert_rowid();
        for (position, hash) in &commitments {
            transaction
                .prepare_cached(
                    "UPDATE events SET body = NULL, segment = ?2, body_commitment = ?3 WHERE position = ?1",
                )?
                .execute(params![position, id, hash])?;
        }
        transaction.commit()?;
        Ok(commitments.len())
    }

    pub(super) fn save_snapshots(&mut self, snapshots: &[super::Snapshot]) -> rusqlite::Result<()> {
        super::snapshot::save(&self.connection, &mut self.interner, snapshots)
    }
}
