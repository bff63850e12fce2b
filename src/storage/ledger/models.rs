//! The read models of a ledger, brought to where the log is.

use rusqlite::{Connection, OptionalExtension};

use super::Ledger;
use crate::storage::projection::{self, Slot};
use crate::storage::row::{self, Words};
use crate::types::Position;

impl Ledger {
    /// Brings every projection to the head: those that are behind, new or of another version are rebuilt.
    ///
    /// Parked ones are tried again at a start only: in the midst of a failure the log has other worries.
    pub(super) fn catch_up(&mut self, starting: bool) -> rusqlite::Result<()> {
        let head = Position::new(self.tree.size());
        let names: Vec<&str> = self.slots.iter().map(Slot::name).collect();
        let known = serde_json::Value::from(names).to_string();
        if !self.slots.is_empty() {
            let sql = "DELETE FROM projections WHERE name NOT IN (SELECT value FROM json_each(?1))";
            self.connection.execute(sql, [known])?;
        }
        let mut stale = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let sql = "SELECT version, position, error IS NULL, rows FROM projections WHERE name = ?1";
            let stored = self.connection.query_row(sql, [slot.name()], |row| {
                let position = Position::new(row.get::<_, i64>(1)? as u64);
                Ok((row.get::<_, u32>(0)?, position, row.get::<_, bool>(2)?, row.get::<_, i64>(3)?))
            });
            match stored.optional()? {
                Some((version, position, true, rows)) if version == slot.version() && position == head => {
                    slot.resume(head, rows);
                    if starting && is_untrue(slot, &self.connection, &mut self.words) {
                        stale.push(index);
                    }
                }
                Some((_, _, false, _)) if !starting => {}
                _ => stale.push(index),
            }
        }
        if stale.is_empty() { Ok(()) } else { self.rebuild(&stale, head) }
    }

    /// Folds the whole log into new tables and puts them in the place of the old ones, in one transaction.
    fn rebuild(&mut self, stale: &[usize], head: Position) -> rusqlite::Result<()> {
        self.begin()?;
        self.fold_anew(stale, head)?;
        self.connection.execute_batch("COMMIT")
    }

    /// Does that within the open transaction.
    pub(in crate::storage) fn fold_anew(&mut self, stale: &[usize], head: Position) -> rusqlite::Result<()> {
        let connection = &self.connection;
        let mut slots: Vec<&mut Slot> = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if stale.contains(&index) {
                slots.push(slot);
            }
        }
        for slot in &mut slots {
            slot.announce(connection)?;
            slot.begin_rebuild(connection)?; // a table that SQLite refuses parks it
        }
        let mut last = Position::default();
        while last < head {
            let filter = "position > ?1 ORDER BY position LIMIT 1000";
            let page = row::read(connection, &mut self.words, filter, [last.stored()])?;
            let Some(end) = page.last() else { break };
            last = end.position;
            for event in &page {
                projection::fold_all(&mut slots, connection, event)?;
            }
            projection::flush_all(&mut slots, connection, last)?;
        }
        projection::flush_all(&mut slots, connection, head)?; // an empty log is a position, too
        for slot in &mut slots {
            slot.reached(connection)?;
            slot.end_rebuild(connection)?;
        }
        Ok(())
    }
}

/// Says whether a read model cannot be what the log makes, as far as a look at a few rows shows; one without a table is not.
fn is_untrue(slot: &Slot, connection: &Connection, words: &mut Words) -> bool {
    let reason = slot.probe(connection, words).unwrap_or_else(|error| Some(error.to_string()));
    if let Some(reason) = &reason {
        tracing::error!(
            model = slot.name(),
            reason,
            "a read model is not what the log makes; it is made anew: berth audit verify"
        );
    }
    reason.is_some()
}
