//! Lists and single rows of every noun, with what belongs to other things filled in.

use std::collections::{BTreeMap, HashMap};

use super::{Moment, Query, QueryError, Where, resolve};
use crate::events::{BackupJobEvent, Configuration, RestoreTarget};
use crate::projections::backups::Backups;
use crate::projections::batches::Batches;
use crate::projections::containers::Containers;
use crate::projections::maintenance::Maintenance;
use crate::projections::model::decoded;
use crate::projections::networks::Networks;
use crate::projections::node::Node;
use crate::projections::query::resolve::Named;
use crate::projections::restores::Restores;
use crate::projections::rows::{
    BackupRow, BatchRow, ContainerRow, LastBackup, MaintenanceRow, NetworkRow, NodeRow, OperationState, RestoreRow,
    ScheduleRow, SessionRow, StoreRow, TemplateRow,
};
use crate::projections::schedules::Schedules;
use crate::projections::sessions::Sessions;
use crate::projections::stores::Stores;
use crate::projections::templates::Templates;
use crate::types::{
    BackupId, Category, ContainerId, Name, PREFIX_LENGTH_MIN, RunId, ScheduleId, Size, StoreId, StreamName, TemplateId,
    Version,
};

/// Says which containers are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFilter {
    /// One of these states; any if none is named.
    pub states: Vec<String>,
    /// Made of this template.
    pub template: Option<TemplateId>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// With a name that fits (`*` and `?`).
    pub name: Option<String>,
    /// Those that are only history too.
    pub all: bool,
}

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

impl ContainerFilter {
    fn fits(&self, row: &ContainerRow) -> bool {
        let state = row.state.as_str();
        let shown =
            self.all || !row.is_gone() || row.operation.is_some() || self.states.iter().any(|word| word == state);
        shown
            && (self.states.is_empty() || self.states.iter().any(|word| word == state))
            && self.template.is_none_or(|template| row.configuration.template == template)
            && self.labels.iter().all(|(key, value)| row.configuration.labels.get(key) == Some(value))
            && self.name.as_ref().is_none_or(|pattern| glob_matches(pattern, row.name.as_str()))
    }
}

/// Says whether a text fits a pattern of `*` (any characters) and `?` (one).
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star, mut mark) = (0, 0, None, 0);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some(p);
                mark = t;
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some(back) = star else { return false };
                mark += 1;
                (p, t) = (back + 1, mark);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl Query {
    /// Lists containers by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn containers(&self, filter: &ContainerFilter, moment: Moment) -> Result<Vec<ContainerRow>, QueryError> {
        let mut rows: Vec<_> = self.all::<Containers>(moment)?.into_iter().filter(|row| filter.fits(row)).collect();
        rows.sort_by(|a, b| (a.name.as_str(), a.created_at).cmp(&(b.name.as_str(), b.created_at)));
        let backups = self.last_backups(moment)?;
        self.join_containers(&mut rows, &backups, moment)?;
        Ok(rows)
    }

    /// Finds one container.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn container(&self, reference: &str, moment: Moment) -> Result<ContainerRow, QueryError> {
        let mut rows = vec![self.find::<Containers>(reference, moment)?];
        let filter = BackupFilter { container: Some(rows[0].id), ..BackupFilter::default() };
        let newest = self.backups(&filter, moment)?.into_iter().find(|row| row.damage.is_none());
        let backups = newest.map(|row| (row.container, last_backup(&row))).into_iter().collect();
        self.join_containers(&mut rows, &backups, moment)?;
        Ok(rows.remove(0))
    }

    /// Returns one container by its id, without what belongs to other things.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn container_by_id(&self, id: ContainerId) -> Result<Option<ContainerRow>, QueryError> {
        self.one::<Containers>(&id.to_string(), Moment::Now)
    }

    fn join_containers(
        &self,
        rows: &mut [ContainerRow],
        backups: &HashMap<ContainerId, LastBackup>,
        moment: Moment,
    ) -> Result<(), QueryError> {
        let templates: HashMap<_, _> =
            self.all::<Templates>(moment)?.into_iter().map(|row| (row.id, row.name)).collect();
        let networks: HashMap<_, _> = self.all::<Networks>(moment)?.into_iter().map(|row| (row.id, row.name)).collect();
        let restored = self.restored(moment)?;
        for row in rows {
            row.restored_from = restored.get(&row.id).copied();
            row.template_name = templates.get(&row.configuration.template).cloned();
            row.network_name = row.configuration.network.and_then(|id| networks.get(&id).cloned());
            row.last_backup = backups.get(&row.id).cloned();
        }
        Ok(())
    }

    /// Returns the backup that each restored container was made of, or has the files of.
    fn restored(&self, moment: Moment) -> Result<HashMap<ContainerId, BackupId>, QueryError> {
        let mut runs = self.all::<Restores>(moment)?;
        runs.retain(|run| matches!(run.state, OperationState::Done | OperationState::Partly) && !run.rolled_back);
        runs.sort_by_key(|run| run.requested_at);
        let target = |run: RestoreRow| match run.target {
            RestoreTarget::New { container, .. } | RestoreTarget::InPlace { container } => {
                Some((container, run.backup))
            }
            RestoreTarget::Directory { .. } => None,
        };
        Ok(runs.into_iter().filter_map(target).collect())
    }

    /// Returns the newest backup of each container that is not known to be damaged.
    pub(super) fn last_backups(&self, moment: Moment) -> Result<HashMap<ContainerId, LastBackup>, QueryError> {
        let rows = match moment {
            Moment::Now => self.select::<Backups>(&Where {
                sql: "key IN (SELECT key FROM (SELECT key, max(printf('%s%020d', taken_at, position)) FROM {table}
                      WHERE row ->> '$.damage' IS NULL GROUP BY container))"
                    .to_owned(),
                values: vec![],
            })?,
            Moment::At(_) => self.all::<Backups>(moment)?,
        };
        let mut whole: Vec<BackupRow> = rows.into_iter().filter(|row| row.damage.is_none()).collect();
        whole.sort_by_key(|row| (row.taken_at, row.position));
        Ok(whole.iter().map(|row| (row.container, last_backup(row))).collect())
    }

    /// Lists templates by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn templates(&self, all: bool, moment: Moment) -> Result<Vec<TemplateRow>, QueryError> {
        Ok(present(self.all::<Templates>(moment)?, all))
    }

    /// Finds one template.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn template(&self, reference: &str, moment: Moment) -> Result<TemplateRow, QueryError> {
        self.find::<Templates>(reference, moment)
    }

    /// Lists networks by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn networks(&self, all: bool, moment: Moment) -> Result<Vec<NetworkRow>, QueryError> {
        let mut rows = present(self.all::<Networks>(moment)?, all);
        self.join_networks(&mut rows, moment)?;
        Ok(rows)
    }

    /// Finds one network.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn network(&self, reference: &str, moment: Moment) -> Result<NetworkRow, QueryError> {
        let mut rows = vec![self.find::<Networks>(reference, moment)?];
        self.join_networks(&mut rows, moment)?;
        Ok(rows.remove(0))
    }

    fn join_networks(&self, rows: &mut [NetworkRow], moment: Moment) -> Result<(), QueryError> {
        if rows.iter().all(|row| row.leases.is_empty()) {
            return Ok(());
        }
        let names = self.container_names(moment)?;
        for lease in rows.iter_mut().flat_map(|row| &mut row.leases) {
            let id = lease.holder.strip_prefix("container/").and_then(|id| id.parse().ok());
            lease.container_name = id.and_then(|id: ContainerId| names.get(&id).cloned());
        }
        Ok(())
    }

    /// Lists stores by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn stores(&self, all: bool, moment: Moment) -> Result<Vec<StoreRow>, QueryError> {
        let mut rows = present(self.all::<Stores>(moment)?, all);
        self.join_stores(&mut rows, moment)?;
        Ok(rows)
    }

    /// Finds one store.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn store(&self, reference: &str, moment: Moment) -> Result<StoreRow, QueryError> {
        let mut rows = vec![self.find::<Stores>(reference, moment)?];
        self.join_stores(&mut rows, moment)?;
        Ok(rows.remove(0))
    }

    fn join_stores(&self, rows: &mut [StoreRow], moment: Moment) -> Result<(), QueryError> {
        let mut sums: HashMap<StoreId, (u64, u64)> = HashMap::new();
        for backup in self.backups(&BackupFilter::default(), moment)? {
            let sum = sums.entry(backup.store).or_default();
            *sum = (sum.0 + 1, sum.1 + backup.stored.as_bytes());
        }
        for row in rows {
            let (count, bytes) = sums.get(&row.id).copied().unwrap_or_default();
            (row.backups, row.stored) = (count, Size::from_bytes(bytes));
        }
        Ok(())
    }

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
                let sql = format!("{by_container} AND {by_store} ORDER BY taken_at DESC, position DESC LIMIT ?3");
                self.select::<Backups>(&Where { sql, values: vec![&container, &store, &limit] })?
            }
            Moment::At(_) => {
                let mut rows = self.all::<Backups>(moment)?;
                rows.retain(|row| {
                    filter.container.is_none_or(|id| row.container == id)
                        && filter.store.is_none_or(|id| row.store == id)
                });
                rows.sort_by_key(|row| std::cmp::Reverse((row.taken_at, row.position)));
                rows.truncate(filter.limit.unwrap_or(usize::MAX));
                rows
            }
        };
        let stores: HashMap<_, _> = self.all::<Stores>(moment)?.into_iter().map(|row| (row.id, row.name)).collect();
        for row in &mut rows {
            row.store_name = stores.get(&row.store).cloned();
        }
        Ok(rows)
    }

    /// Finds one backup: by id or prefix, `NAME@latest`, or `NAME@N` for the one N before the latest.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn backup(&self, reference: &str, moment: Moment) -> Result<BackupRow, QueryError> {
        let not_found =
            || QueryError::NotFound { noun: "backup", reference: resolve::shown(reference), suggestion: None };
        if let Some((name, back)) = reference.rsplit_once('@') {
            let back = if back == "latest" { 0 } else { back.parse::<usize>().map_err(|_| not_found())? };
            let container = Some(self.find::<Containers>(name, moment)?.id);
            let limit = Some(back.saturating_add(1));
            let rows = self.backups(&BackupFilter { container, store: None, limit }, moment)?;
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
        let mut row = rows.pop().ok_or_else(not_found)?;
        row.store_name = self.one::<Stores>(&row.store.to_string(), moment)?.map(|store| store.name);
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

    /// Lists restores, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn restores(&self, moment: Moment) -> Result<Vec<RestoreRow>, QueryError> {
        let mut rows = self.all::<Restores>(moment)?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.requested_at));
        let names = self.container_names(moment)?;
        for row in &mut rows {
            row.source_name = names.get(&row.source).cloned();
        }
        Ok(rows)
    }

    /// Finds one restore by the id of its run.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn restore(&self, reference: &str, moment: Moment) -> Result<RestoreRow, QueryError> {
        self.find::<Restores>(reference, moment)
    }

    /// Lists runs of maintenance, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn maintenance(&self, filter: &MaintenanceFilter, moment: Moment) -> Result<Vec<MaintenanceRow>, QueryError> {
        let mut rows = self.all::<Maintenance>(moment)?;
        rows.retain(|row| {
            filter.container.is_none_or(|id| row.container == id)
                && filter.action.as_ref().is_none_or(|action| row.action.verb().ends_with(action.as_str()))
        });
        rows.sort_by_key(|row| std::cmp::Reverse(row.requested_at));
        rows.truncate(filter.limit.unwrap_or(usize::MAX));
        let names = self.container_names(moment)?;
        for row in &mut rows {
            row.container_name = names.get(&row.container).cloned();
        }
        Ok(rows)
    }

    /// Finds one run of maintenance.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn maintenance_run(&self, reference: &str, moment: Moment) -> Result<MaintenanceRow, QueryError> {
        self.find::<Maintenance>(reference, moment)
    }

    /// Returns the batch of that id.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn batch(&self, id: RunId, moment: Moment) -> Result<Option<BatchRow>, QueryError> {
        let Some(mut row) = self.one::<Batches>(&id.to_string(), moment)? else { return Ok(None) };
        let names = self.container_names(moment)?;
        for member in &mut row.members {
            member.container_name = names.get(&member.container).cloned();
        }
        Ok(Some(row))
    }

    /// Lists schedules by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn schedules(&self, all: bool, moment: Moment) -> Result<Vec<ScheduleRow>, QueryError> {
        let mut rows = present(self.all::<Schedules>(moment)?, all);
        self.join_schedules(&mut rows, moment)?;
        Ok(rows)
    }

    /// Finds one schedule.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn schedule(&self, reference: &str, moment: Moment) -> Result<ScheduleRow, QueryError> {
        let mut rows = vec![self.find::<Schedules>(reference, moment)?];
        self.join_schedules(&mut rows, moment)?;
        Ok(rows.remove(0))
    }

    /// Returns one schedule by its id.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn schedule_by_id(&self, id: ScheduleId) -> Result<Option<ScheduleRow>, QueryError> {
        self.one::<Schedules>(&id.to_string(), Moment::Now)
    }

    fn join_schedules(&self, rows: &mut [ScheduleRow], moment: Moment) -> Result<(), QueryError> {
        let stores: HashMap<StoreId, Name> =
            self.all::<Stores>(moment)?.into_iter().map(|row| (row.id, row.name)).collect();
        for row in rows {
            if let crate::events::ScheduledAction::Backup { store, .. } = &row.definition.action {
                row.store_name = stores.get(store).cloned();
            }
        }
        Ok(())
    }

    /// Lists the sessions of a container, or all, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn sessions(&self, container: Option<ContainerId>, moment: Moment) -> Result<Vec<SessionRow>, QueryError> {
        let mut rows = self.all::<Sessions>(moment)?;
        rows.retain(|row| container.is_none_or(|id| row.container == id));
        rows.sort_by_key(|row| std::cmp::Reverse(row.opened_at));
        Ok(rows)
    }

    /// Finds one session.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn session(&self, reference: &str, moment: Moment) -> Result<SessionRow, QueryError> {
        self.find::<Sessions>(reference, moment)
    }

    /// Returns the sessions that nobody has closed: after a boot, or when a supervisor is gone, they are over.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn open_sessions(&self) -> Result<Vec<SessionRow>, QueryError> {
        self.select::<Sessions>(&Where { sql: "closed_at IS NULL".to_owned(), values: vec![] })
    }

    /// Returns this machine.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn node(&self, moment: Moment) -> Result<Option<NodeRow>, QueryError> {
        Ok(self.all::<Node>(moment)?.pop())
    }
}

fn last_backup(row: &BackupRow) -> LastBackup {
    LastBackup {
        backup: row.id,
        store: row.store,
        taken_at: row.taken_at,
        outcome: row.outcome,
        verified_at: row.verified_at,
    }
}

/// Sorts by name and, unless all are wanted, leaves out what is gone.
fn present<R: Named>(rows: Vec<R>, all: bool) -> Vec<R> {
    let mut rows: Vec<R> = rows.into_iter().filter(|row| all || !row.is_gone()).collect();
    rows.sort_by_key(|row| row.name().map(|name| name.as_str().to_owned()));
    rows
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, text) in [("web*", "web-1"), ("*", ""), ("w?b", "web"), ("*-1", "web-1"), ("a*b*c", "axxbyyc")] {
            assert!(glob_matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("web", "web-1"), ("?", ""), ("w?b", "wb"), ("*-2", "web-1"), ("a*b*c", "axxbyy")] {
            assert!(!glob_matches(pattern, text), "{pattern} {text}");
        }
    }
}
