//! Operations, and the streams that owe something.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;

use super::{Moment, Query, QueryError, Where, resolve};
use crate::projections::containers::Containers;
use crate::projections::model::Model;
use crate::projections::operations::{Marker, Operations, Stored};
use crate::projections::restores::Restores;
use crate::projections::rows::{ContainerState, OperationRow, OperationState, SlotFate};
use crate::projections::schedules::Schedules;
use crate::storage::table_of;
use crate::types::{Category, OperationId, PREFIX_LENGTH_MIN, StreamName};

/// How many operations a list has if nobody says.
pub const OPERATION_PAGE: usize = 50;

/// The kinds of streams that are one run of something.
const RUNS: [Category; 5] =
    [Category::BackupJob, Category::RestoreJob, Category::Maintenance, Category::Batch, Category::Session];

/// Says which operations are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only those under way.
    pub open: bool,
    /// Only those about this stream.
    pub target: Option<StreamName>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Query {
    /// Lists operations, newest first; of one that opened in several streams the row of the first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn operations(&self, filter: &OperationFilter, moment: Moment) -> Result<Vec<OperationRow>, QueryError> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        let target = filter.target.as_ref().map(ToString::to_string);
        let mut rows = match moment {
            Moment::Now => {
                let first = "opened = (SELECT min(o.opened) FROM {table} o WHERE o.id = {table}.id)";
                let wanted = if filter.open { "state = 'running'" } else { "opened IS NOT NULL" };
                let about = if target.is_some() { "target = ?1" } else { "?1 IS NULL" };
                let sql = format!("{wanted} AND {about} AND {first} ORDER BY opened DESC LIMIT ?2");
                let most = if limit > i64::MAX as usize || filter.open { -1 } else { limit as i64 };
                plain(self.select::<Operations>(&Where { sql, values: vec![&target, &most] })?)
            }
            Moment::At(_) => self.past_operations(filter, moment)?,
        };
        for row in &mut rows {
            self.settle(row, moment)?;
        }
        rows.retain(|row| !filter.open || !row.state.is_over());
        rows.truncate(limit);
        self.join_operations(&mut rows, moment)?;
        Ok(rows)
    }

    fn past_operations(&self, filter: &OperationFilter, moment: Moment) -> Result<Vec<OperationRow>, QueryError> {
        let mut rows = plain(self.all::<Operations>(moment)?);
        rows.sort_by_key(|row| row.opened);
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert(row.id) && filter.target.as_ref().is_none_or(|target| row.target == *target));
        rows.reverse();
        Ok(rows)
    }

    /// Finds one operation by its id, the id of its run, or a prefix of either: the row of the stream that opened first.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn operation(&self, reference: &str, moment: Moment) -> Result<OperationRow, QueryError> {
        let mut rows = self.operation_rows(reference, moment)?;
        rows.extend(self.operations_of_runs(reference, moment)?);
        let ids: BTreeSet<OperationId> = rows.iter().map(|row| row.id).collect();
        if ids.len() > 1 {
            let candidates = ids.iter().take(10).map(ToString::to_string).collect();
            return Err(QueryError::Ambiguous { noun: "operation", reference: resolve::shown(reference), candidates });
        }
        let first = rows.into_iter().min_by_key(|row| row.opened);
        let mut row = first.ok_or_else(|| QueryError::NotFound {
            noun: "operation",
            reference: resolve::shown(reference),
            suggestion: None,
        })?;
        self.settle(&mut row, moment)?;
        self.join_operations(std::slice::from_mut(&mut row), moment)?;
        Ok(row)
    }

    /// Returns the rows of an operation in every stream it opened in, first the first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn operation_rows(&self, reference: &str, moment: Moment) -> Result<Vec<OperationRow>, QueryError> {
        if reference.len() < PREFIX_LENGTH_MIN {
            return Ok(vec![]);
        }
        let end = format!("{reference}{{");
        let mut rows = match moment {
            Moment::Now => plain(self.select::<Operations>(&Where {
                sql: "id >= ?1 AND id < ?2".to_owned(),
                values: vec![&reference, &end],
            })?),
            Moment::At(_) => plain(self.all::<Operations>(moment)?),
        };
        rows.retain(|row| row.id.to_string().starts_with(reference));
        rows.sort_by_key(|row| row.opened);
        Ok(rows)
    }

    /// Returns the operation of each run whose id begins so: the one under way, or else the one that began it.
    fn operations_of_runs(&self, reference: &str, moment: Moment) -> Result<Vec<OperationRow>, QueryError> {
        let is_meant = |stream: &StreamName| RUNS.contains(&stream.category()) && stream.key().starts_with(reference);
        if reference.len() < PREFIX_LENGTH_MIN || !reference.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(vec![]);
        }
        let mut rows = match moment {
            Moment::Now => {
                let ranges = RUNS.map(|category| {
                    format!("(stream >= '{category}/{reference}' AND stream < '{category}/{reference}{{')")
                });
                let sql = format!("target IS NOT NULL AND ({})", ranges.join(" OR "));
                plain(self.select::<Operations>(&Where { sql, values: vec![] })?)
            }
            Moment::At(_) => plain(self.all::<Operations>(moment)?),
        };
        rows.retain(|row| is_meant(&row.stream));
        for row in &mut rows {
            self.settle(row, moment)?;
        }
        rows.sort_by_key(|row| (row.stream.to_string(), row.state.is_over(), row.opened));
        rows.dedup_by(|later, first| later.stream == first.stream);
        Ok(rows)
    }

    /// Closes a row whose end was recorded under another operation of the same stream.
    fn settle(&self, row: &mut OperationRow, moment: Moment) -> Result<(), QueryError> {
        if row.state.is_over() {
            return Ok(());
        }
        let until = match moment {
            Moment::Now => i64::MAX,
            Moment::At(position) => position.stored(),
        };
        let table = table_of(Operations::NAME);
        let sql = format!(
            "SELECT row FROM {table} WHERE ended IS NOT NULL AND stream = ?1 AND position > ?2 AND position <= ?3
             ORDER BY position LIMIT 1"
        );
        let (stream, opened) = (row.stream.to_string(), row.opened.stored());
        let found: Option<String> = self.reader.query(|connection| {
            connection.prepare_cached(&sql)?.query_row((&stream, opened, until), |row| row.get(0)).optional()
        })?;
        let marker = found.and_then(|text| serde_json::from_str::<Marker>(&text).ok());
        if let Some(marker) = marker {
            (row.state, row.reason, row.closed_at) = (marker.ended, marker.reason, Some(marker.closed_at));
            row.cause = row.cause.take().filter(|cause| cause.is_behind(row.reason.as_deref()));
        }
        Ok(())
    }

    fn join_operations(&self, rows: &mut [OperationRow], moment: Moment) -> Result<(), QueryError> {
        for row in rows {
            row.target_name = match (row.target.category(), moment) {
                (Category::Container, Moment::Now) => {
                    self.one::<Containers>(row.target.key(), moment)?.map(|container| container.name)
                }
                _ => self.thing_name(&row.target)?,
            };
            row.note = self.note_behind(row.clone())?;
            self.join_restore(row, moment)?;
            row.reason = row.reason.take().map(|reason| self.by_name(&reason));
            if let Some(cause) = &mut row.cause {
                cause.reason = self.by_name(&cause.reason);
            }
        }
        Ok(())
    }

    /// Says whether it is a restore in place that waits for somebody to confirm it or to roll it back, and what became of it
    /// since.
    fn join_restore(&self, row: &mut OperationRow, moment: Moment) -> Result<(), QueryError> {
        if row.stream.category() != Category::RestoreJob {
            return Ok(());
        }
        let Some(mut run) = self.one::<Restores>(row.stream.key(), moment)? else { return Ok(()) };
        self.join_purge(&mut run, moment)?;
        row.unconfirmed = run.operation == row.id && run.waits();
        row.afterwards = run.afterwards().filter(|_| row.opened_at == run.requested_at);
        Ok(())
    }

    /// Counts the operations under way.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn open_operation_count(&self) -> Result<u64, QueryError> {
        Ok(self.operations(&OperationFilter { open: true, ..OperationFilter::default() }, Moment::Now)?.len() as u64)
    }

    /// Lists the streams that owe something, for recovery: with an operation open, with somebody still to be told,
    /// with a grave to be emptied, or with a slot fired whose batch has not ended.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn owing_streams(&self) -> Result<Vec<StreamName>, QueryError> {
        let sql = "opened IS NOT NULL AND (state = 'running' OR owes_notice = 1)";
        let rows = plain(self.select::<Operations>(&Where { sql: sql.to_owned(), values: vec![] })?);
        let sessions = |row: &OperationRow| row.stream.category() == Category::Session;
        let mut owing: BTreeSet<StreamName> =
            rows.into_iter().filter(|row| !sessions(row)).map(|row| row.stream).collect();
        // A saga that failed for good may rest with its undo owed; whoever is gone for good owes nothing.
        for row in self.all::<Containers>(Moment::Now)? {
            if row.operation.is_some() || row.rest == ContainerState::Deleted {
                owing.insert(StreamName::new(Category::Container, row.id));
            }
        }
        for row in self.all::<Schedules>(Moment::Now)? {
            let unstarted = |slot: &super::super::rows::SlotRow| slot.fate == SlotFate::Fired && !slot.started;
            if row.operation.is_some() || row.slots.iter().any(unstarted) {
                owing.insert(StreamName::new(Category::Schedule, row.id));
            }
        }
        Ok(owing.into_iter().collect())
    }
}

fn plain(rows: Vec<Stored>) -> Vec<OperationRow> {
    let operations = rows.into_iter().filter_map(|row| match row {
        Stored::Operation(row) => Some(*row),
        Stored::Marker(_) => None,
    });
    operations.collect()
}

impl OperationRow {
    /// Says whether it ended as asked, perhaps with exceptions.
    pub const fn is_success(&self) -> bool {
        matches!(self.state, OperationState::Done | OperationState::Partly)
    }
}
