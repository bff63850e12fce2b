//! Operations: every request from opening to outcome, kept for ever.
//!
//! A row is keyed `<operation>@<stream>`, because one operation may open in several streams. A stream has at most one
//! operation open. What closes it may be recorded under another operation (an exit ends a pause): such a fact leaves a
//! *marker* row, and the query takes the first marker behind a row's opening for its end.

use serde::{Deserialize, Serialize};

use crate::events::{AttemptFailed, Envelope, Mark};
use crate::types::{Category, StreamName, Timestamp};

use super::facts;
use super::model::{Model, table};
use super::rows::{Cause, OperationRow, OperationState};

/// Is the read model.
pub struct Operations;

/// Is what is stored: an operation, or the mark that whatever was open in the stream ended here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stored {
    /// An operation.
    Operation(Box<OperationRow>),
    /// An end.
    Marker(Marker),
}

/// Is an end recorded under another operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// In which stream.
    pub stream: StreamName,
    /// How whatever was open ended.
    pub ended: OperationState,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub closed_at: Timestamp,
}

impl Model for Operations {
    const NAME: &'static str = "operations";
    const VERSION: u32 = 6;
    const CATEGORY: Category = Category::Container;
    const TABLE: &'static str = table!(
        "id TEXT" => "$.id", "stream TEXT" => "$.stream", "target TEXT" => "$.target", "state TEXT" => "$.state",
        "ended TEXT" => "$.ended", "owes_notice INTEGER" => "$.owes_notice", "opened INTEGER" => "$.opened",
    );
    const INDEXES: &'static str = "CREATE INDEX {table}_id ON {table} (id, opened);
         CREATE INDEX {table}_opened ON {table} (opened);
         CREATE INDEX {table}_target ON {table} (target, opened);
         CREATE INDEX {table}_stream ON {table} (stream) WHERE target IS NOT NULL;
         CREATE INDEX {table}_running ON {table} (state) WHERE state = 'running';
         CREATE INDEX {table}_owing ON {table} (owes_notice) WHERE owes_notice = 1;
         CREATE INDEX {table}_ended ON {table} (stream, position) WHERE ended IS NOT NULL";
    type Row = Stored;

    fn keys(event: &Envelope) -> Vec<String> {
        match event.stream.category() {
            Category::Node | Category::Clock | Category::Directory | Category::BackupGroup => vec![],
            _ if event.kind == "ParentNotified" || event.kind == AttemptFailed::KIND => vec![key(event)],
            _ => match facts::told(event) {
                None => vec![],
                Some(told) if told.mark == Mark::Fact => vec![],
                Some(_) => vec![key(event)],
            },
        }
    }

    fn fold(_: &str, row: Option<Stored>, event: &Envelope) -> Option<Stored> {
        let Some(told) = facts::told(event) else { return row };
        let mut row = match (told.mark, row) {
            (Mark::Done { verb }, _) => {
                let row = open(verb, told.container, event);
                let (state, closed_at) = (OperationState::Done, Some(event.recorded_at));
                return Some(Stored::Operation(Box::new(OperationRow { state, closed_at, ..row })));
            }
            (Mark::Opened { verb }, _) => return Some(Stored::Operation(Box::new(open(verb, told.container, event)))),
            (Mark::Closed { outcome }, Some(Stored::Operation(mut row))) if !row.state.is_over() => {
                (row.state, row.reason) = OperationState::of(&outcome);
                row.reason = row.reason.or_else(|| by_whom(event));
                row.cause = row.cause.take().filter(|cause| cause.is_behind(row.reason.as_deref()));
                row.closed_at = Some(event.recorded_at);
                row.owes_notice = row.parent.is_some();
                row
            }
            (Mark::Closed { outcome }, None | Some(Stored::Marker(_))) => {
                let (ended, reason) = OperationState::of(&outcome);
                let (stream, closed_at) = (event.stream.clone(), event.recorded_at);
                return Some(Stored::Marker(Marker { stream, ended, reason, closed_at }));
            }
            (Mark::Phase { name }, Some(Stored::Operation(mut row))) => {
                row.phase = Some(name.to_owned());
                row.phase_since = event.recorded_at;
                row
            }
            (Mark::Fact, Some(Stored::Operation(mut row))) => {
                row.owes_notice &= event.kind != "ParentNotified";
                if let Some(failed) = AttemptFailed::read(event) {
                    take(&mut row, failed);
                }
                row
            }
            (_, row) => return row,
        };
        row.warnings.extend(told.warnings);
        row.position = event.position;
        Some(Stored::Operation(row))
    }

    fn streams(key: &str) -> Option<Vec<StreamName>> {
        Some(key.split_once('@').and_then(|(_, stream)| stream.parse().ok()).into_iter().collect())
    }
}

/// A fact is about the operation that it is recorded under, but for one that calls another off.
fn key(event: &Envelope) -> String {
    let operation = facts::called_off(event).map_or(event.context.operation, |(operation, _)| operation);
    format!("{operation}@{}", event.stream)
}

fn take(row: &mut OperationRow, failed: AttemptFailed) {
    if failed.again {
        row.first_failure.get_or_insert_with(|| failed.sentence());
    } else {
        let AttemptFailed { class, code, reason, .. } = failed;
        row.cause = class.map(|class| Cause { class, code, reason });
    }
}

/// Says for whose wish an operation was called off.
fn by_whom(event: &Envelope) -> Option<String> {
    let (_, wish) = facts::called_off(event)?;
    Some(format!("{wish} was asked for by {}", event.context.principal.who))
}

fn open(verb: &str, container: Option<crate::types::ContainerId>, event: &Envelope) -> OperationRow {
    OperationRow {
        id: event.context.operation,
        stream: event.stream.clone(),
        verb: verb.to_owned(),
        target: container.map_or_else(|| event.stream.clone(), |id| StreamName::new(Category::Container, id)),
        by: event.context.principal.who.clone(),
        opened_at: event.recorded_at,
        phase: None,
        phase_since: event.recorded_at,
        state: OperationState::Running,
        reason: None,
        cause: None,
        first_failure: None,
        warnings: vec![],
        closed_at: None,
        parent: facts::parent(event),
        owes_notice: false,
        opened: event.position,
        position: event.position,
        unconfirmed: false,
        afterwards: None,
        target_name: None,
        note: None,
    }
}
