//! Finished backups: lists, single ones, and what the backed up container was.

use super::{Moment, Query, QueryError, Where, resolve};
use crate::events::{BackupJobEvent, Configuration};
use crate::projections::backups::Backups;
use crate::projections::model::decoded;
use crate::projections::rows::BackupRow;
use crate::projections::stores::Stores;
use crate::types::{Category, ContainerId, PREFIX_LENGTH_MIN, RunId, StoreId, StreamName, Version};

/// Says which backups are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupFilter {
    /// Of this container.
    pub container: Option<ContainerId>,
    /// In this store.
    pub store: Option<StoreId>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Query {
    /// Lists backups, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn backups(&self, filter: &BackupFilter, moment: Moment) -> Result<Vec<BackupRow>, QueryError> {
        let (container, store) = (filter.container.map(String::from), filter.store.map(String::from));
        let limit = filter.limit.map_or(-1, |limit| limit as i64);
        let mut rows = match moment {
            Moment::Now => {
                let by_container = if container.is_some() { "container = ?1" } else { "?1 IS NULL" };
                let by_store = if store.is_some() { "store = ?2" } else { "?2 IS NULL" };
                let sql = format!("{by_container} AND {by_store} ORDER BY committed DESC LIMIT ?3");
                self.select::<Backups>(&Where { sql, values: vec![&container, &store, &limit] })?
            }
            Moment::At(_) => {
                let mut rows = self.all::<Backups>(moment)?;
                rows.retain(|row| {
                    filter.container.is_none_or(|id| row.container == id)
                        && filter.store.is_none_or(|id| row.store == id)
                });
                rows.sort_by_key(|row| std::cmp::Reverse(row.committed));
                rows.truncate(filter.limit.unwrap_or(usize::MAX));
                rows
            }
        };
        let stores = self.names::<Stores>(moment)?;
        for row in &mut rows {
            row.store_name = stores.of(row.store);
            row.note = self.note_at_beginning(&StreamName::new(Category::BackupJob, row.run))?;
        }
        Ok(rows)
    }

    /// Finds one backup: by id or prefix, `NAME@latest`, or `NAME@N` for the one N before the latest. A name that
    /// no container has any more means those that had it.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn backup(&self, reference: &str, moment: Moment) -> Result<BackupRow, QueryError> {
        let not_found =
            || QueryError::NotFound { noun: "backup", reference: resolve::shown(reference), suggestion: None };
        if let Some((name, back)) = reference.rsplit_once('@') {
            let back = if back == "latest" { 0 } else { back.parse::<usize>().map_err(|_| not_found())? };
            let limit = Some(back.saturating_add(1));
            let mut rows = vec![];
            for container in self.backed_up(name, moment)? {
                let container = Some(container);
                rows.extend(self.backups(&BackupFilter { container, store: None, limit }, moment)?);
            }
            rows.sort_by_key(|row| std::cmp::Reverse(row.committed));
            return rows.into_iter().nth(back).ok_or_else(not_found);
        }
        let end = format!("{reference}{{");
        let mut rows = match moment {
            _ if reference.len() < PREFIX_LENGTH_MIN => vec![],
            Moment::Now => self.select::<Backups>(&Where {
                sql: "key >= ?1 AND key < ?2 LIMIT 11".to_owned(),
                values: vec![&reference, &end],
            })?,
            Moment::At(_) => self.all::<Backups>(moment)?,
        };
        rows.retain(|row| row.id.to_string().starts_with(reference));
        if rows.len() > 1 {
            let candidates = rows.iter().map(|row| format!("{} ({})", row.id, row.container_name)).collect();
            return Err(QueryError::Ambiguous { noun: "backup", reference: resolve::shown(reference), candidates });
        }
        let Some(mut row) = rows.pop() else {
            // Whoever names a container may mean the newest of it.
            let newest = format!("{reference}@latest");
            let suggestion = self.backup(&newest, moment).is_ok().then_some(newest);
            return Err(QueryError::NotFound { noun: "backup", reference: resolve::shown(reference), suggestion });
        };
        row.store_name = self.name_of::<Stores>(row.store, moment)?;
        row.note = self.note_at_beginning(&StreamName::new(Category::BackupJob, row.run))?;
        Ok(row)
    }

    /// Returns what a backed up container was, as its run recorded it.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn backup_configuration(&self, run: RunId) -> Result<Option<Configuration>, QueryError> {
        let stream = StreamName::new(Category::BackupJob, run);
        let events = self.reader.read_stream(&stream, Version::default(), 64)?;
        let held = events.iter().find_map(|event| match decoded::<BackupJobEvent>(event) {
            Some(BackupJobEvent::ContainerHeld { configuration, .. }) => Some(*configuration),
            _ => None,
        });
        Ok(held)
    }
}
