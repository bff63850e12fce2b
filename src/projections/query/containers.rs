//! Containers: lists, single ones, and what belongs to other things filled in.

use std::collections::{BTreeMap, HashMap};

use super::{Moment, Named, Query, QueryError, Where};
use crate::events::RestoreTarget;
use crate::projections::backups::Backups;
use crate::projections::containers::Containers;
use crate::projections::networks::Networks;
use crate::projections::restores::Restores;
use crate::projections::rows::{BackupRow, ContainerRow, ContainerState, LastBackup, OperationState, RestoreRow};
use crate::projections::templates::Templates;
use crate::types::{BackupId, ContainerId, RunId, TemplateId};

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
        let mut rows = self.containers_alone(filter, moment)?;
        let (templates, networks) = (self.names::<Templates>(moment)?, self.names::<Networks>(moment)?);
        let (restored, backups) = (self.restored(None, moment)?, self.last_backups(None, moment)?);
        for row in &mut rows {
            row.template_name = templates.of(row.configuration.template);
            row.network_name = row.configuration.network.and_then(|id| networks.of(id));
            row.restored_from = restored.get(&row.id).copied();
            row.last_backup = backups.get(&row.id).cloned();
            self.tell_by_name(row);
        }
        self.tell_by_the_clock_of(moment, &mut rows)?;
        Ok(rows)
    }

    /// Puts beside each of them what was said about its last change.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn join_notes(&self, rows: &mut [ContainerRow]) -> Result<(), QueryError> {
        rows.iter_mut().try_for_each(|row| self.join_note(&mut row.change))
    }

    /// Tells the end of a grave as the clock of now will show it, if it stepped since it was told.
    fn tell_by_the_clock_of(&self, moment: Moment, rows: &mut [ContainerRow]) -> Result<(), QueryError> {
        let buried = || rows.iter().any(|row| row.deleted_until.is_some());
        if moment != Moment::Now || !buried() {
            return Ok(());
        }
        let steps = self.clock(moment)?.steps;
        for row in rows {
            let later = steps.iter().filter(|taken| Some(taken.position) > row.deleted_position);
            row.deleted_until =
                row.deleted_until.map(|until| later.fold(until, |until, taken| until.moved(taken.step.micros())));
        }
        Ok(())
    }

    /// Puts names where the reasons of a container say streams.
    fn tell_by_name(&self, row: &mut ContainerRow) {
        row.change.why = self.by_name(&row.change.why);
        row.reason = row.reason.take().map(|reason| self.by_name(&reason));
    }

    /// Lists containers by name, without what belongs to other things.
    pub(super) fn containers_alone(
        &self,
        filter: &ContainerFilter,
        moment: Moment,
    ) -> Result<Vec<ContainerRow>, QueryError> {
        let mut rows: Vec<_> = self.all::<Containers>(moment)?.into_iter().filter(|row| filter.fits(row)).collect();
        rows.sort_by(|a, b| (a.name.as_str(), a.created_at).cmp(&(b.name.as_str(), b.created_at)));
        Ok(rows)
    }

    /// Counts containers by state, without those that are only history.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn container_states(&self, moment: Moment) -> Result<BTreeMap<String, u64>, QueryError> {
        let mut counts = BTreeMap::new();
        for row in self.containers_alone(&ContainerFilter::default(), moment)? {
            *counts.entry(row.state.to_string()).or_default() += 1;
        }
        Ok(counts)
    }

    /// Finds one container.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn container(&self, reference: &str, moment: Moment) -> Result<ContainerRow, QueryError> {
        let mut row = self.find::<Containers>(reference, moment)?;
        row.template_name = self.name_of::<Templates>(row.configuration.template, moment)?;
        let network = row.configuration.network.map(|id| self.name_of::<Networks>(id, moment)).transpose()?;
        row.network_name = network.flatten();
        row.restored_from = self.restored(Some(row.id), moment)?.remove(&row.id);
        row.unconfirmed = self.unconfirmed(row.id, moment)?;
        row.last_backup = self.last_backups(Some(row.id), moment)?.remove(&row.id);
        self.tell_by_name(&mut row);
        self.join_note(&mut row.change)?;
        self.tell_by_the_clock_of(moment, std::slice::from_mut(&mut row))?;
        Ok(row)
    }

    /// Finds a container that commands can be about: one that is there, or else in its grave. One whose creation failed, or
    /// that was purged, is not found.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn usable_container(&self, reference: &str) -> Result<ContainerRow, QueryError> {
        let left = |row: &ContainerRow| !matches!(row.rest, ContainerState::Purged | ContainerState::Failed);
        match self.find_among::<Containers>(reference, left) {
            Err(not_found @ QueryError::NotFound { .. }) => Err(self.purged(reference)?.unwrap_or(not_found)),
            found => found,
        }
    }

    /// Says when the last container of that name was removed for good, if one was.
    fn purged(&self, name: &str) -> Result<Option<QueryError>, QueryError> {
        let is_meant = |row: &ContainerRow| row.rest == ContainerState::Purged && row.name.as_str() == name;
        let purged = self.candidates::<Containers>(name)?.into_iter().filter(is_meant).max_by_key(|row| row.position);
        Ok(purged.map(|row| QueryError::Purged { name: row.name, at: row.change.since }))
    }

    /// Finds a container that is to be taken back or removed for good: one in its grave, or else one that is there, which says
    /// why it cannot be. What lives under the name now is not meant as long as something in a grave can be.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn buried_container(&self, reference: &str) -> Result<ContainerRow, QueryError> {
        match self.find_among::<Containers>(reference, |row| row.rest == ContainerState::Deleted) {
            Err(QueryError::NotFound { .. }) => self.usable_container(reference),
            found => found,
        }
    }

    /// Returns one container by its id, without what belongs to other things.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn container_by_id(&self, id: ContainerId) -> Result<Option<ContainerRow>, QueryError> {
        self.one::<Containers>(&id.to_string(), Moment::Now)
    }

    /// Returns the restores into a container, or into any.
    fn restores_to(&self, container: Option<ContainerId>, moment: Moment) -> Result<Vec<RestoreRow>, QueryError> {
        let wanted = container.map(String::from);
        match (&wanted, moment) {
            (Some(id), Moment::Now) => {
                self.select::<Restores>(&Where { sql: "target = ?1".to_owned(), values: vec![id] })
            }
            _ => self.all::<Restores>(moment),
        }
    }

    /// Returns the restores in place of a container that wait for somebody to confirm them, or to roll them back.
    fn unconfirmed(&self, container: ContainerId, moment: Moment) -> Result<Vec<RunId>, QueryError> {
        let mut runs = self.restores_in_place(container, moment)?;
        runs.iter_mut().try_for_each(|run| self.join_purge(run, moment))?;
        Ok(runs.into_iter().filter(RestoreRow::waits).map(|run| run.id).collect())
    }

    fn restores_in_place(&self, container: ContainerId, moment: Moment) -> Result<Vec<RestoreRow>, QueryError> {
        let of_it = |run: &RestoreRow| matches!(run.target, RestoreTarget::InPlace { container: target } if target == container);
        Ok(self.restores_to(Some(container), moment)?.into_iter().filter(of_it).collect())
    }

    /// Returns the backup that a restored container, or each of them, was made of or has the files of.
    fn restored(
        &self,
        container: Option<ContainerId>,
        moment: Moment,
    ) -> Result<HashMap<ContainerId, BackupId>, QueryError> {
        let mut runs = self.restores_to(container, moment)?;
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

    /// Returns the newest backup of a container, or of each, that is not known to be damaged.
    fn last_backups(
        &self,
        container: Option<ContainerId>,
        moment: Moment,
    ) -> Result<HashMap<ContainerId, LastBackup>, QueryError> {
        let wanted = container.map(String::from);
        let rows = match moment {
            Moment::Now => {
                let whose = if wanted.is_some() { "container = ?1" } else { "?1 IS NULL" };
                let sql = format!(
                    "key IN (SELECT key FROM (SELECT key, max(committed) FROM {{table}}
                     WHERE {whose} AND row ->> '$.damage' IS NULL GROUP BY container))"
                );
                self.select::<Backups>(&Where { sql, values: vec![&wanted] })?
            }
            Moment::At(_) => self.all::<Backups>(moment)?,
        };
        let mut whole: Vec<BackupRow> = rows.into_iter().filter(|row| row.damage.is_none()).collect();
        whole.sort_by_key(|row| row.committed);
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
