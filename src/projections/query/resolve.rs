//! Finds the thing a user means: by id, by name, or by a prefix of the id that only one thing has.

use std::collections::BTreeSet;

use super::{Moment, Query, QueryError, Where};
use crate::projections::containers::Containers;
use crate::projections::model::Model;
use crate::projections::rows::{
    ContainerRow, ContainerState, MaintenanceRow, NetworkRow, RestoreRow, ScheduleRow, ScheduleState, SessionRow,
    StoreRow, TemplateRow, ThingState,
};
use crate::types::{ContainerId, Name, PREFIX_LENGTH_MIN, Position, suggest};

/// Is a thing that users refer to.
pub trait Named {
    /// What users call its kind.
    const NOUN: &'static str;

    /// Returns its id.
    fn id(&self) -> String;
    /// Returns its name, if it has one.
    fn name(&self) -> Option<&Name>;
    /// Says whether it is only history: a name may belong to another thing then.
    fn is_gone(&self) -> bool;
    /// Returns the last event in it.
    fn position(&self) -> Position;
    /// Says what became of it, if it is only history.
    fn end(&self) -> Option<String> {
        None
    }
}

macro_rules! named {
    ($($row:ident, $noun:literal, $name:expr, $gone:expr $(, $end:expr)?;)*) => {$(
        impl Named for $row {
            const NOUN: &'static str = $noun;

            fn id(&self) -> String {
                self.id.to_string()
            }

            fn name(&self) -> Option<&Name> {
                let name: fn(&Self) -> Option<&Name> = $name;
                name(self)
            }

            fn is_gone(&self) -> bool {
                let gone: fn(&Self) -> bool = $gone;
                gone(self)
            }

            fn position(&self) -> Position {
                self.position
            }
            $(
                fn end(&self) -> Option<String> {
                    let end: fn(&Self) -> String = $end;
                    self.is_gone().then(|| end(self))
                }
            )?
        }
    )*};
}

named! {
    ContainerRow, "container", |row| Some(&row.name),
        |row| matches!(row.rest, ContainerState::Deleted | ContainerState::Purged | ContainerState::Failed),
        |row| format!("{} {}", row.state, row.change.since);
    TemplateRow, "template", |row| Some(&row.name),
        |row| matches!(row.state, ThingState::Deleted | ThingState::Failed);
    NetworkRow, "network", |row| Some(&row.name), |row| matches!(row.state, ThingState::Deleted | ThingState::Failed);
    StoreRow, "store", |row| Some(&row.name), |row| matches!(row.state, ThingState::Deleted | ThingState::Failed);
    ScheduleRow, "schedule", |row| Some(&row.name),
        |row| matches!(row.state, ScheduleState::Deleted | ScheduleState::Failed);
    RestoreRow, "restore", |_| None, |_| false;
    MaintenanceRow, "maintenance run", |_| None, |_| false;
    SessionRow, "session", |_| None, |_| false;
}

impl Query {
    /// Finds the row that a reference means.
    pub(super) fn find<M: Model>(&self, reference: &str, moment: Moment) -> Result<M::Row, QueryError>
    where
        M::Row: Named,
    {
        let candidates = match moment {
            Moment::Now => self.candidates::<M>(reference)?,
            Moment::At(_) => self.all::<M>(moment)?,
        };
        match choose(candidates, reference)? {
            Some(row) => Ok(row),
            None => Err(self.not_found::<M>(reference, moment)),
        }
    }

    /// Finds the row that a reference means among those that can be used: what is gone is history and is not found.
    pub(super) fn find_usable<M: Model>(&self, reference: &str) -> Result<M::Row, QueryError>
    where
        M::Row: Named,
    {
        self.find_among::<M>(reference, |row| !row.is_gone())
    }

    /// Finds the row that a reference means among those that are wanted.
    pub(super) fn find_among<M: Model>(
        &self,
        reference: &str,
        wanted: impl Fn(&M::Row) -> bool,
    ) -> Result<M::Row, QueryError>
    where
        M::Row: Named,
    {
        let mut candidates = self.candidates::<M>(reference)?;
        candidates.retain(wanted);
        choose(candidates, reference)?.ok_or_else(|| self.not_found::<M>(reference, Moment::Now))
    }

    /// Finds the run that a reference means: by its own id, or by that of an operation of it.
    pub(super) fn find_run<M: Model>(&self, reference: &str, moment: Moment) -> Result<M::Row, QueryError>
    where
        M::Row: Named,
    {
        let operations = self.operation_rows(reference, moment)?.into_iter().map(|row| row.stream);
        let mut runs: BTreeSet<String> =
            operations.filter(|of| of.category() == M::CATEGORY).map(|of| of.key().to_owned()).collect();
        let own = match self.find::<M>(reference, moment) {
            Err(QueryError::NotFound { .. }) if !runs.is_empty() => None,
            found => Some(found?),
        };
        runs.extend(own.map(|row| row.id()));
        if runs.len() > 1 {
            let (noun, candidates) = (M::Row::NOUN, runs.into_iter().collect());
            return Err(QueryError::Ambiguous { noun, reference: shown(reference), candidates });
        }
        let run = runs.pop_first().unwrap_or_default();
        self.one::<M>(&run, moment)?.ok_or_else(|| self.not_found::<M>(reference, moment))
    }

    /// Returns the containers that a reference to backups by a name means: the one that it means, or all that had the name if
    /// none lives that it could mean.
    pub(super) fn backed_up(&self, reference: &str, moment: Moment) -> Result<Vec<ContainerId>, QueryError> {
        let ambiguous = match self.find::<Containers>(reference, moment) {
            Ok(row) => return Ok(vec![row.id]),
            Err(error @ QueryError::Ambiguous { .. }) => error,
            Err(error) => return Err(error),
        };
        let rows = match moment {
            Moment::Now => self.candidates::<Containers>(reference)?,
            Moment::At(_) => self.all::<Containers>(moment)?,
        };
        let (named, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.name.as_str() == reference);
        let alive = others.iter().any(|row| !row.is_gone() && row.id.to_string().starts_with(reference));
        if named.is_empty() || alive {
            return Err(ambiguous);
        }
        Ok(named.into_iter().map(|row| row.id).collect())
    }

    /// Narrows down by the indexes; what is not found so is not there.
    pub(super) fn candidates<M: Model>(&self, reference: &str) -> Result<Vec<M::Row>, QueryError>
    where
        M::Row: Named,
    {
        let end = format!("{reference}{{");
        let prefix = "(key = ?1 OR (key >= ?1 AND key < ?2))";
        let sql = if M::TABLE.contains("name TEXT") { format!("name = ?1 OR {prefix}") } else { prefix.to_owned() };
        self.select::<M>(&Where { sql, values: vec![&reference, &end] })
    }

    fn not_found<M: Model>(&self, reference: &str, moment: Moment) -> QueryError
    where
        M::Row: Named,
    {
        let rows = self.all::<M>(moment).unwrap_or_default();
        let names = rows.iter().filter(|row| !row.is_gone()).filter_map(|row| row.name().map(Name::as_str));
        let suggestion = suggest(reference, names).map(str::to_owned);
        QueryError::NotFound { noun: M::Row::NOUN, reference: shown(reference), suggestion }
    }
}

/// Returns as much of a reference as an error may repeat.
pub(super) fn shown(reference: &str) -> String {
    reference.chars().take(80).collect()
}

/// Takes the id itself before a name in use, that before a prefix, that before the names of what is gone.
fn choose<R: Named>(rows: Vec<R>, reference: &str) -> Result<Option<R>, QueryError> {
    let named = |row: &R| row.name().is_some_and(|name| name.as_str() == reference);
    let prefixed = |row: &R| reference.len() >= PREFIX_LENGTH_MIN && row.id().starts_with(reference);
    let mut left = rows;
    let tests: [&dyn Fn(&R) -> bool; 5] = [
        &|row| row.id() == reference,
        &|row| named(row) && !row.is_gone(),
        &|row| prefixed(row) && !row.is_gone(),
        &|row| named(row),
        &|row| prefixed(row),
    ];
    for test in tests {
        let (mut fitting, others): (Vec<R>, Vec<R>) = left.into_iter().partition(|row| test(row));
        if fitting.len() > 1 {
            return Err(ambiguous(&fitting, reference));
        }
        if let Some(row) = fitting.pop() {
            return Ok(Some(row));
        }
        left = others;
    }
    Ok(None)
}

fn ambiguous<R: Named>(rows: &[R], reference: &str) -> QueryError {
    let candidate = |row: &R| match (row.name(), row.end()) {
        (Some(name), Some(end)) => format!("{} ({name}, {end})", row.id()),
        (Some(name), None) => format!("{} ({name})", row.id()),
        (None, _) => row.id(),
    };
    let mut newest_first: Vec<&R> = rows.iter().collect();
    newest_first.sort_by_key(|row| std::cmp::Reverse(row.position()));
    let candidates = newest_first.into_iter().take(10).map(candidate).collect();
    QueryError::Ambiguous { noun: R::NOUN, reference: shown(reference), candidates }
}
