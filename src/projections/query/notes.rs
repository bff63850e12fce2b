//! What those who asked said about it: it stands in the annex of the event that began an operation, and nowhere else, so that
//! a redaction takes it from every list.

use super::{Moment, Query, QueryError, Where};
use crate::projections::facts;
use crate::projections::operations::{Operations, Stored};
use crate::projections::rows::{Change, OperationRow};
use crate::types::{OperationId, Position, StreamName, Version};

/// How many sagas may wait for each other: a schedule's batch, its runs, what those ask of a container.
const CHAIN_MAX: usize = 8;

impl Query {
    /// Puts what was said about a change beside it.
    pub(super) fn join_note(&self, change: &mut Change) -> Result<(), QueryError> {
        change.note = self.note_of(change.operation)?;
        Ok(())
    }

    /// Returns what was said about an operation, or about the one that it is a part of.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn note_of(&self, operation: OperationId) -> Result<Option<String>, QueryError> {
        let rows = self.operation_rows(&operation.to_string(), Moment::Now)?;
        rows.into_iter().next().map_or(Ok(None), |row| self.note_behind(row))
    }

    /// Returns what was said when an operation was opened, or the saga that waits for it.
    pub(super) fn note_behind(&self, mut row: OperationRow) -> Result<Option<String>, QueryError> {
        for _ in 0..CHAIN_MAX {
            let said = self.event_at(row.opened)?.and_then(|event| facts::note(&event));
            let above = if said.is_some() { None } else { row.parent.as_ref() };
            let Some(parent) = above else { return Ok(said) };
            let Some(next) = self.opening(parent, row.opened)? else { return Ok(None) };
            row = next;
        }
        Ok(None)
    }

    /// Returns what was said when a stream began.
    pub(super) fn note_at_beginning(&self, stream: &StreamName) -> Result<Option<String>, QueryError> {
        let first = self.reader.read_stream(stream, Version::default(), 1)?;
        Ok(first.first().and_then(facts::note))
    }

    /// Returns the last operation that a stream opened up to a position.
    fn opening(&self, stream: &StreamName, until: Position) -> Result<Option<OperationRow>, QueryError> {
        let (stream, until) = (stream.to_string(), until.stored());
        let sql = "stream = ?1 AND target IS NOT NULL AND opened <= ?2 ORDER BY opened DESC LIMIT 1".to_owned();
        let found = self.select::<Operations>(&Where { sql, values: vec![&stream, &until] })?;
        let operation = |stored| match stored {
            Stored::Operation(row) => Some(*row),
            Stored::Marker(_) => None,
        };
        Ok(found.into_iter().find_map(operation))
    }
}
