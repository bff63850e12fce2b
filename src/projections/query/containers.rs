//! Containers: lists, single ones, and what belongs to other things filled in.

use std::collections::{BTreeMap, HashMap};

use super::{BackupFilter, Moment, Named, Query, QueryError, Where};
use crate::events::RestoreTarget;
use crate::projections::backups::Backups;
use crate::projections::containers::Containers;
use crate::projections::networks::Networks;
use crate::projections::restores::Restores;
use crate::projections::rows::{BackupRow, ContainerRow, LastBackup, OperationState, RestoreRow};
use crate::projections::templates::Templates;
use crate::types::{BackupId, ContainerId, TemplateId};

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
        let (templates, networks) = (self.names::<Templates>(moment)?, self.names::<Networks>(moment)?);
        let restored = self.restored(moment)?;
        for row in rows {
            row.restored_from = restored.get(&row.id).copied();
            row.template_name = templates.of(row.configuration.template);
            row.network_name = row.configuration.network.and_then(|id| networks.of(id));
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
