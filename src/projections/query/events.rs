//! Events: paged, filtered, in words; and the history of one container.

use rusqlite::ToSql;
use serde_json::Value;

use super::{Moment, Query, QueryError};
use crate::events::Envelope;
use crate::projections::facts;
use crate::projections::model::Model;
use crate::projections::operations::Operations;
use crate::projections::rows::{EventDetail, EventRow};
use crate::storage::table_of;
use crate::types::{Category, ContainerId, OperationId, Position, StreamName, Timestamp};

/// How many events a page has if nobody says.
pub const EVENT_PAGE: usize = 100;
/// The most events of a page.
pub const EVENT_PAGE_MAX: usize = 10_000;

/// Says which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// After this position, the oldest first to fill a page; else the page ends with the newest.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Of this stream.
    pub stream: Option<StreamName>,
    /// About this container: its own stream, and its sessions, backups, restores and maintenance.
    pub container: Option<ContainerId>,
    /// Of this operation.
    pub operation: Option<OperationId>,
    /// With a name that fits (`*` and `?`).
    pub kind: Option<String>,
    /// Caused by them.
    pub who: Option<String>,
    /// Not earlier.
    pub since: Option<Timestamp>,
    /// Not later.
    pub until: Option<Timestamp>,
}

/// Collects conditions and their values.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn add(&mut self, sql: &str, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
        self.sql.push(sql.replace('?', &format!("?{}", self.values.len())));
    }
}

impl Query {
    /// Lists events, newest last.
    ///
    /// # Errors
    /// More are wanted than an answer holds; the log cannot be read.
    pub fn events(&self, filter: &EventFilter, moment: Moment) -> Result<Vec<EventRow>, QueryError> {
        match filter.limit.unwrap_or(EVENT_PAGE) {
            wished if wished > EVENT_PAGE_MAX => Err(QueryError::TooMany { wished, most: EVENT_PAGE_MAX }),
            limit => self.page(filter, moment, Some(limit)),
        }
    }

    fn page(&self, filter: &EventFilter, moment: Moment, limit: Option<usize>) -> Result<Vec<EventRow>, QueryError> {
        let mut conditions = self.conditions(filter, moment)?;
        let indexed = filter.stream.is_some() || filter.container.is_some();
        let order = match (indexed, filter.after.is_some()) {
            (true, true) => "+position",
            (true, false) => "+position DESC",
            (false, true) => "position",
            (false, false) => "position DESC",
        };
        let limit = limit.map_or(-1, |limit| limit as i64);
        conditions.sql.push("1".to_owned());
        let sql = format!(
            "SELECT position FROM events WHERE {} ORDER BY {order} LIMIT {limit}",
            conditions.sql.join(" AND ")
        );
        let values: Vec<&dyn ToSql> = conditions.values.iter().map(AsRef::as_ref).collect();
        let mut positions: Vec<i64> = self.reader.query(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(values.as_slice(), |row| row.get(0))?;
            rows.collect()
        })?;
        positions.sort_unstable();
        let mut events = Vec::with_capacity(positions.len());
        for position in positions {
            if let Some(event) = self.event_at(Position::new(position as u64))? {
                events.push(self.in_words(&event)?);
            }
        }
        Ok(events)
    }

    fn conditions(&self, filter: &EventFilter, moment: Moment) -> Result<Conditions, QueryError> {
        let mut conditions = Conditions::default();
        if let Some(after) = filter.after {
            conditions.add("position > ?", after.stored());
        }
        if let Moment::At(position) = moment {
            conditions.add("position <= ?", position.stored());
        }
        if let Some(since) = filter.since {
            let before = Timestamp::from_micros(since.as_micros().saturating_sub(1));
            match self.position_within(before)? {
                Some(position) => conditions.add("position > ?", position.stored()),
                None => conditions.add("recorded_at > ?", before.as_micros()),
            }
        }
        if let Some(until) = filter.until {
            match self.position_within(until)? {
                Some(position) => conditions.add("position <= ?", position.stored()),
                None => conditions.add("recorded_at <= ?", until.as_micros()),
            }
        }
        if let Some(stream) = &filter.stream {
            conditions.add("stream IN (SELECT id FROM streams WHERE name = ?)", stream.to_string());
        }
        if let Some(container) = filter.container {
            let sql = format!(
                "stream IN (SELECT s.id FROM streams s WHERE s.name = ?
                 OR s.name IN (SELECT o.stream FROM {} o WHERE o.target = ?))",
                table_of(Operations::NAME)
            );
            conditions.add(&sql, StreamName::new(Category::Container, container).to_string());
        }
        if let Some(operation) = filter.operation {
            let opened = self.operation_rows(&operation.to_string(), Moment::Now)?.first().map(|row| row.opened);
            conditions.add("position >= ?", opened.unwrap_or_default().stored());
            conditions.add("operation = ?", operation.as_bytes().to_vec());
        }
        if let Some(kind) = &filter.kind {
            // GLOB knows brackets too; a name has none, so a bracket in the pattern stands for itself.
            let pattern = kind.replace('[', "[[]");
            conditions.add("kind IN (SELECT id FROM kinds WHERE name GLOB ?)", pattern);
        }
        if let Some(who) = &filter.who {
            conditions.add("principal IN (SELECT id FROM principals WHERE who = ?)", who.clone());
        }
        Ok(conditions)
    }

    /// Returns the events about a container, oldest first, all of them.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn history(&self, container: ContainerId, moment: Moment) -> Result<Vec<EventRow>, QueryError> {
        self.page(&EventFilter { container: Some(container), ..EventFilter::default() }, moment, None)
    }

    /// Tells an event in words.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn in_words(&self, event: &Envelope) -> Result<EventRow, QueryError> {
        Ok(EventRow {
            position: event.position,
            stream: event.stream.clone(),
            version: event.version,
            kind: event.kind.clone(),
            recorded_at: event.recorded_at,
            who: event.context.principal.who.clone(),
            how: event.context.principal.how.clone(),
            operation: event.context.operation,
            sentence: self.by_name(&facts::sentence(event)),
            note: facts::note(event),
            name: self.thing_name(&event.stream)?.map(String::from),
        })
    }

    /// Returns everything that is known of the event at a position.
    ///
    /// # Errors
    /// There is none, or the log cannot be read.
    pub fn event(&self, position: Position) -> Result<EventDetail, QueryError> {
        let event = self.event_at(position)?.ok_or_else(|| QueryError::NotFound {
            noun: "event",
            reference: position.to_string(),
            suggestion: None,
        })?;
        let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| text(bytes));
        Ok(EventDetail {
            row: self.in_words(&event)?,
            schema: event.schema,
            body: json(&event.body),
            annex: event.annex.as_deref().map(json),
            wall_clock: event.context.wall_clock,
            boot: event.context.boot.clone(),
            node: event.context.node,
            causation: event.context.causation.clone(),
            leaf: hexadecimal(&event.leaf),
        })
    }
}

/// Returns bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits = b"0123456789abcdef";
    let pair = |byte: &u8| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]].map(char::from);
    bytes.iter().flat_map(pair).collect()
}
