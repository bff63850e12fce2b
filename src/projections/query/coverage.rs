//! Coverage: how well each container is backed up, and what to worry about.

use std::collections::HashMap;

use super::{ContainerFilter, Moment, Query, QueryError, glob_matches};
use crate::events::{BackupOutcome, Closing, ScheduledAction, Selection};
use crate::projections::query::BackupFilter;
use crate::projections::rows::{
    BackupRow, ContainerRow, CoverageRow, CoverageWarning, Kept, LastBackup, ScheduleRow, ScheduleState, SlotFate,
    SlotRow, StoreRow,
};
use crate::types::{CLOCK_SLACK, ContainerId, StoreId, Timestamp};

impl Query {
    /// Tells how well each container is covered, by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn coverage(&self, now: Timestamp, moment: Moment) -> Result<Vec<CoverageRow>, QueryError> {
        let containers = self.containers(&ContainerFilter::default(), moment)?;
        let schedules: Vec<ScheduleRow> = self.schedules(false, moment)?;
        let stores: HashMap<StoreId, StoreRow> =
            self.stores(true, moment)?.into_iter().map(|row| (row.id, row)).collect();
        let mut backups: HashMap<ContainerId, Vec<BackupRow>> = HashMap::new();
        for row in self.backups(&BackupFilter::default(), moment)? {
            backups.entry(row.container).or_default().push(row);
        }
        let cover = |container: ContainerRow| {
            let own = backups.remove(&container.id).unwrap_or_default();
            covered(container, &own, &schedules, &stores, now)
        };
        Ok(containers.into_iter().map(cover).collect())
    }

    /// Returns the containers that a selection means at this moment, by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn selected(&self, selection: &Selection) -> Result<Vec<ContainerRow>, QueryError> {
        let rows = self.containers_alone(&ContainerFilter::default(), Moment::Now)?;
        Ok(rows.into_iter().filter(|row| selects(selection, row)).collect())
    }
}

/// Says whether a selection means a container. What is being made or removed is meant by none.
pub fn selects(selection: &Selection, row: &ContainerRow) -> bool {
    use crate::projections::rows::ContainerState::{Paused, Running, Stopped};
    matches!(row.rest, Running | Stopped | Paused)
        && match selection {
            Selection::All => true,
            Selection::Names(patterns) => patterns.iter().any(|pattern| glob_matches(pattern, row.name.as_str())),
            Selection::Labels(labels) => {
                labels.iter().all(|(key, value)| row.configuration.labels.get(key) == Some(value))
            }
        }
}

fn covered(
    container: ContainerRow,
    backups: &[BackupRow],
    schedules: &[ScheduleRow],
    stores: &HashMap<StoreId, StoreRow>,
    now: Timestamp,
) -> CoverageRow {
    let covers = |row: &&ScheduleRow| {
        row.state == ScheduleState::Enabled
            && matches!(row.definition.action, ScheduledAction::Backup { .. })
            && selects(&row.definition.selection, &container)
    };
    let covering: Vec<&ScheduleRow> = schedules.iter().filter(covers).collect();
    let store = container.last_backup.as_ref().and_then(|last| stores.get(&last.store));
    CoverageRow {
        container: container.id,
        name: container.name.clone(),
        state: container.state,
        store_name: store.map(|store| store.name.clone()),
        age: container.last_backup.as_ref().filter(|last| !lies_ahead(last, now)).map(|last| now.since(last.taken_at)),
        backups: backups.len() as u64,
        stores: kept(backups, stores),
        schedules: covering.iter().map(|row| row.name.clone()).collect(),
        next_run: None,
        warnings: warnings(&container, backups, &covering, store, now),
        last_backup: container.last_backup,
    }
}

fn kept(backups: &[BackupRow], stores: &HashMap<StoreId, StoreRow>) -> Vec<Kept> {
    let mut counts: HashMap<StoreId, u64> = HashMap::new();
    for backup in backups {
        *counts.entry(backup.store).or_default() += 1;
    }
    let named = |(store, backups)| Some(Kept { store, name: stores.get(&store)?.name.clone(), backups });
    let mut kept: Vec<Kept> = counts.into_iter().filter_map(named).collect();
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    kept
}

/// Says whether a backup was taken under a clock that was ahead: how old it is nobody can tell.
fn lies_ahead(last: &LastBackup, now: Timestamp) -> bool {
    last.taken_at.since(now) > CLOCK_SLACK
}

fn warnings(
    container: &ContainerRow,
    backups: &[BackupRow],
    covering: &[&ScheduleRow],
    store: Option<&StoreRow>,
    now: Timestamp,
) -> Vec<CoverageWarning> {
    let mut found = vec![];
    let mut warn = |code: &str, text: String| found.push(CoverageWarning { code: code.to_owned(), text });
    match &container.last_backup {
        None => warn("none", "there is no whole backup".to_owned()),
        Some(last) => {
            if lies_ahead(last, now) {
                let text =
                    format!("backup {} bears the time {}: the clock was ahead", last.backup.short(), last.taken_at);
                warn("clock-ahead", text);
            }
            if last.verified_at.is_none() {
                warn("unverified", format!("backup {} was never read again", last.backup.short()));
            }
            if last.outcome == BackupOutcome::CompleteWithExceptions {
                warn("exceptions", format!("backup {} lacks files that could not be read", last.backup.short()));
            }
        }
    }
    for damaged in backups.iter().filter(|row| row.damage.is_some()) {
        let reason = damaged.damage.as_deref().unwrap_or_default();
        warn("damaged", format!("backup {} is damaged: {reason}", damaged.id.short()));
    }
    if covering.is_empty() {
        warn("no-schedule", "no schedule backs it up".to_owned());
    }
    for schedule in covering {
        // A run that is still under way does not hide how the last one ended.
        let over = |slot: &&SlotRow| slot.outcome.is_some() || slot.fate == SlotFate::Missed;
        match schedule.slots.iter().rev().find(over) {
            Some(SlotRow { fate: SlotFate::Missed, slot, reason, .. }) => {
                let reason = reason.as_deref().unwrap_or_default();
                warn("missed", format!("{} missed its slot {slot}: {reason}", schedule.name));
            }
            Some(SlotRow { outcome: Some(outcome), slot, .. }) if *outcome != Closing::Done => {
                warn("failed", format!("{} of {slot}: {}", schedule.name, outcome.words()));
            }
            _ => {}
        }
    }
    if store.is_some_and(|store| !store.recovery_key_confirmed) {
        warn("recovery-key", "the store's recovery key was never confirmed as exported".to_owned());
    }
    found
}
