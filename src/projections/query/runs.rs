//! Runs: restores, maintenance, and batches of many.

use super::{Moment, Query, QueryError, Where};
use crate::events::RestoreTarget;
use crate::projections::batches::Batches;
use crate::projections::containers::Containers;
use crate::projections::maintenance::Maintenance;
use crate::projections::restores::Restores;
use crate::projections::rows::{BatchRow, ContainerState, MaintenanceRow, RestoreRow};
use crate::types::{ContainerId, RunId};

/// Says which runs of maintenance are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceFilter {
    /// On this container.
    pub container: Option<ContainerId>,
    /// Of this action: `defragment`, `update-check`, `verify`.
    pub action: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Query {
    /// Lists restores, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn restores(&self, moment: Moment) -> Result<Vec<RestoreRow>, QueryError> {
        let mut rows = self.all::<Restores>(moment)?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.requested_at));
        let names = self.names::<Containers>(moment)?;
        for row in &mut rows {
            row.source_name = names.of(row.source);
            self.join_purge(row, moment)?;
        }
        Ok(rows)
    }

    /// Finds one restore by the id of its run or of an operation of it.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn restore(&self, reference: &str, moment: Moment) -> Result<RestoreRow, QueryError> {
        let mut row = self.find_run::<Restores>(reference, moment)?;
        self.join_purge(&mut row, moment)?;
        Ok(row)
    }

    /// Says that the files of before went with the container, if it was purged: the run itself is not told of that.
    pub(super) fn join_purge(&self, row: &mut RestoreRow, moment: Moment) -> Result<(), QueryError> {
        let RestoreTarget::InPlace { container } = &row.target else { return Ok(()) };
        if !row.old_files_kept {
            return Ok(());
        }
        let target = self.one::<Containers>(&container.to_string(), moment)?;
        if let Some(purged) = target.filter(|target| target.rest == ContainerState::Purged) {
            row.old_files_kept = false;
            row.purged_at = Some(purged.change.since);
        }
        Ok(())
    }

    /// Lists runs of maintenance, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn maintenance(&self, filter: &MaintenanceFilter, moment: Moment) -> Result<Vec<MaintenanceRow>, QueryError> {
        let mut rows = self.about::<Maintenance>(filter.container, moment, |row| row.container)?;
        rows.retain(|row| filter.action.as_ref().is_none_or(|action| row.action.verb().ends_with(action.as_str())));
        rows.sort_by_key(|row| std::cmp::Reverse(row.requested_at));
        rows.truncate(filter.limit.unwrap_or(usize::MAX));
        let names = self.names::<Containers>(moment)?;
        for row in &mut rows {
            row.container_name = names.of(row.container);
        }
        Ok(rows)
    }

    /// Finds one run of maintenance.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn maintenance_run(&self, reference: &str, moment: Moment) -> Result<MaintenanceRow, QueryError> {
        self.find_run::<Maintenance>(reference, moment)
    }

    /// Returns the batch of that id.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn batch(&self, id: RunId, moment: Moment) -> Result<Option<BatchRow>, QueryError> {
        let Some(mut row) = self.one::<Batches>(&id.to_string(), moment)? else { return Ok(None) };
        let names = self.names::<Containers>(moment)?;
        for member in &mut row.members {
            member.container_name = names.of(member.container);
        }
        Ok(Some(row))
    }

    /// Returns the batches that did what a schedule does because somebody asked for it.
    pub(super) fn batches_by_hand(&self, moment: Moment) -> Result<Vec<BatchRow>, QueryError> {
        if moment == Moment::Now {
            return self.select::<Batches>(&Where { sql: "by_hand = 1".to_owned(), values: vec![] });
        }
        Ok(self.all::<Batches>(moment)?.into_iter().filter(|batch| batch.by_hand).collect())
    }
}
