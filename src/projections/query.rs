//! The only read API: typed rows, filtered and resolved by name, now or at any earlier moment.
//!
//! It works on a [`Reader`] and nothing else, so the server uses it beside the writer and the CLI with the daemon down.
//! A look at the past folds the log again with the very folds that keep the present.

mod backups;
mod clock;
mod commands;
mod containers;
mod coverage;
mod events;
mod names;
mod networks;
mod node;
mod notes;
mod operations;
mod owners;
mod resolve;
mod runs;
mod schedules;
mod sessions;
mod stores;
mod templates;

use std::path::Path;

use rusqlite::ToSql;
use serde_json::Value;

pub use backups::BackupFilter;
pub use clock::doubt;
pub use containers::{ContainerFilter, glob_matches};
pub use coverage::selects;
pub use events::{EVENT_PAGE, EVENT_PAGE_MAX, EventFilter, hexadecimal};
pub use operations::{OPERATION_PAGE, OperationFilter};
pub use resolve::Named;
pub use runs::MaintenanceFilter;

use super::model::{Inline, Model};
use super::rows::AsOf;
use crate::events::Envelope;
use crate::storage::{ReadError, Reader, table_of};
use crate::types::{ContainerId, InvalidSpan, Name, Position, Span, Timestamp};

impl QueryError {
    /// Says whether the log is there and is not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_damage())
    }

    /// Says whether there is a log that must not or cannot be read, as against none, or none for this user.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_refusal())
    }

    /// Returns what to type next, if something helps: the name that may have been meant, or the list to look into.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { suggestion: Some(name), .. } => Some(format!("did you mean {name}?")),
            Self::NotFound { noun: "session" | "restore", .. } => Some("berth operation list".to_owned()),
            Self::NotFound { noun: "maintenance run", .. } => Some("berth maintenance list".to_owned()),
            Self::NotFound { noun, .. } => Some(format!("berth {noun} list")),
            // Of those that are gone for good there is nothing but backups.
            Self::Ambiguous { candidates, .. } if candidates.iter().all(|one| one.contains(", purged ")) => {
                let id = candidates.first()?.split(' ').next()?;
                Some(format!("name one by its id: berth backup list {id}"))
            }
            Self::Ambiguous { .. } => Some("name one by its id".to_owned()),
            Self::Purged { name, .. } => Some(format!("berth container history {name}")),
            Self::Future { .. } => Some("berth event list --limit 1".to_owned()),
            _ => None,
        }
    }
}

fn future(text: &str, head: Position) -> QueryError {
    QueryError::Future { text: text.chars().take(64).collect(), head }
}

/// Says why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such thing.
    #[error("there is no {noun} {reference:?}")]
    NotFound {
        /// What kind of thing.
        noun: &'static str,
        /// What was given.
        reference: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// There was one, and nothing is left of it.
    #[error("the container {name} was deleted and its files were removed for good on {at}")]
    Purged {
        /// Its name.
        name: Name,
        /// When its files were removed.
        at: Timestamp,
    },
    /// Several things fit.
    #[error("{reference:?} may be any of these {noun}s: {}", candidates.join(", "))]
    Ambiguous {
        /// What kind of thing.
        noun: &'static str,
        /// What was given.
        reference: String,
        /// What fits, by id.
        candidates: Vec<String>,
    },
    /// The text names no moment.
    #[error(
        "cannot read the moment {text:?}; write a time such as 2026-11-23T10:00:00Z, a span such as 2h for \"ago\", or a position"
    )]
    Moment {
        /// What was given.
        text: String,
    },
    /// The moment is not in the log yet.
    #[error("the moment {text:?} has not come yet; the log ends with event {head}")]
    Future {
        /// What was given.
        text: String,
        /// The last event.
        head: Position,
    },
    /// More is wanted than one answer holds.
    #[error("{wished} events are too many for one answer; {most} are the most: go on from one with --after")]
    TooMany {
        /// How many were asked for.
        wished: usize,
        /// The most.
        most: usize,
    },
    /// A stored row does not fit its type.
    #[error("the row {key} of {model} does not read: {source}")]
    Row {
        /// Of which read model.
        model: &'static str,
        /// Which row.
        key: String,
        /// What does not fit.
        source: serde_json::Error,
    },
}

/// Is the moment that a read is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The present.
    Now,
    /// Right after the event at that position.
    At(Position),
}

/// Answers questions about what was recorded.
#[derive(Clone)]
pub struct Query {
    reader: Reader,
}

/// Is what stands behind a list's filter: SQL after WHERE, and its values.
pub(super) struct Where<'a> {
    pub(super) sql: String,
    pub(super) values: Vec<&'a dyn ToSql>,
}

impl Query {
    /// Makes queries of a reader.
    pub const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// Opens the log of a state directory, whether a daemon runs or not.
    ///
    /// # Errors
    /// The log is missing, damaged or not readable for the caller.
    pub fn open(state: &Path) -> Result<Self, QueryError> {
        Ok(Self::new(Reader::open(state)?))
    }

    /// Returns the reader.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Reads what a user wrote for a moment: a time (RFC 3339), a span (that long ago) or a position.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn moment(&self, text: Option<&str>, now: Timestamp) -> Result<Moment, QueryError> {
        let Some(text) = text else { return Ok(Moment::Now) };
        let head = self.reader.position()?;
        if let Ok(position) = text.parse::<u64>() {
            let position = Position::new(position);
            return if position > head { Err(future(text, head)) } else { Ok(Moment::At(position)) };
        }
        let at = self.instant(text, now)?;
        match self.position_at(at, now)? {
            Some(position) => Ok(Moment::At(position)),
            None => Err(future(text, head)),
        }
    }

    /// Reads a time (RFC 3339) or a span (that long ago).
    ///
    /// # Errors
    /// The text is neither.
    pub fn instant(&self, text: &str, now: Timestamp) -> Result<Timestamp, QueryError> {
        let span: Result<Span, InvalidSpan> = text.parse();
        if let Ok(span) = span {
            return Ok(Timestamp::from_micros(now.as_micros().saturating_sub(span.as_micros())));
        }
        let time = chrono::DateTime::parse_from_rfc3339(text).map(|time| time.to_utc().into());
        time.map_err(|_| QueryError::Moment { text: text.chars().take(64).collect() })
    }

    /// Tells up to where an answer about `moment` goes.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn as_of(&self, moment: Moment) -> Result<AsOf, QueryError> {
        let position = match moment {
            Moment::Now => self.reader.position()?,
            Moment::At(position) => position,
        };
        let time = self.event_at(position)?.map(|event| event.recorded_at);
        let clock = self.clock_in_words(moment, time)?;
        Ok(AsOf { position, time, clock })
    }

    /// Returns what the clock said at a moment, to look ahead from there; for a past one, when its last event was recorded.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn clock_at(&self, moment: Moment, now: Timestamp) -> Result<Timestamp, QueryError> {
        match moment {
            Moment::Now => Ok(now),
            Moment::At(_) => Ok(self.as_of(moment)?.time.unwrap_or(now)),
        }
    }

    /// Reads the event at a position.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn event_at(&self, position: Position) -> Result<Option<Envelope>, QueryError> {
        let Some(before) = position.get().checked_sub(1) else { return Ok(None) };
        Ok(self.reader.read_all(Position::new(before), 1)?.pop().filter(|event| event.position == position))
    }

    /// Returns one row.
    pub(super) fn one<M: Model>(&self, key: &str, moment: Moment) -> Result<Option<M::Row>, QueryError> {
        let row = match moment {
            Moment::Now => self.reader.row(M::NAME, key)?,
            Moment::At(position) => self.reader.row_at(&Inline::<M>::new(), key, position)?,
        };
        row.map(|row| read::<M>(key, row)).transpose()
    }

    /// Returns every row, in the order of their keys.
    pub(super) fn all<M: Model>(&self, moment: Moment) -> Result<Vec<M::Row>, QueryError> {
        match moment {
            Moment::Now => self.select::<M>(&Where { sql: "1 ORDER BY key".to_owned(), values: vec![] }),
            Moment::At(position) => {
                let rows = self.reader.rows_at(&Inline::<M>::new(), position)?;
                rows.into_iter().map(|(key, row)| read::<M>(&key, row)).collect()
            }
        }
    }

    /// Returns the rows that tell of a container, or all; the model has the column `container`.
    pub(super) fn about<M: Model>(
        &self,
        container: Option<ContainerId>,
        moment: Moment,
        of: impl Fn(&M::Row) -> ContainerId,
    ) -> Result<Vec<M::Row>, QueryError> {
        let Some(id) = container else { return self.all::<M>(moment) };
        if moment == Moment::Now {
            return self.select::<M>(&Where { sql: "container = ?1".to_owned(), values: vec![&id.to_string()] });
        }
        Ok(self.all::<M>(moment)?.into_iter().filter(|row| of(row) == id).collect())
    }

    /// Returns the present rows that SQL finds; `{table}` stands for the model's table.
    pub(super) fn select<M: Model>(&self, filter: &Where<'_>) -> Result<Vec<M::Row>, QueryError> {
        let table = table_of(M::NAME);
        let sql = format!("SELECT key, row FROM {table} WHERE {}", filter.sql.replace("{table}", &table));
        let found: Vec<(String, String)> = self.reader.query(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows =
                statement.query_map(filter.values.as_slice(), |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        let parsed = found.into_iter().map(|(key, row)| {
            serde_json::from_str(&row).map_err(|source| QueryError::Row { model: M::NAME, key, source })
        });
        parsed.collect()
    }
}

fn read<M: Model>(key: &str, row: Value) -> Result<M::Row, QueryError> {
    serde_json::from_value(row).map_err(|source| QueryError::Row { model: M::NAME, key: key.to_owned(), source })
}

/// Sorts by name and, unless all are wanted, leaves out what is gone.
fn present<R: Named>(rows: Vec<R>, all: bool) -> Vec<R> {
    let mut rows: Vec<R> = rows.into_iter().filter(|row| all || !row.is_gone()).collect();
    rows.sort_by_key(|row| row.name().map(|name| name.as_str().to_owned()));
    rows
}
