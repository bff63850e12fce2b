//! What every read model has in common: a typed row, and a fold over the events of one kind of stream.
//!
//! [`Inline`] turns such a model into what the log takes: rows as JSON values. An event that this version does not know
//! leaves the row as it is; its stream is parked by its actor, not here.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::events::{self, DomainEvent, Envelope, Mark};
use crate::storage::InlineProjection;
use crate::types::{Category, StreamName};

use super::rows::{Change, OpenOperation};

/// Makes the SQL of a table with generated columns: a name and its place in the row, each.
macro_rules! table {
    ($($column:literal => $path:literal),* $(,)?) => {
        concat!(
            "CREATE TABLE {table} (key TEXT PRIMARY KEY, row TEXT NOT NULL, position INTEGER NOT NULL",
            $(", ", $column, " GENERATED ALWAYS AS (row ->> '", $path, "') VIRTUAL",)*
            ") STRICT"
        )
    };
}
pub(super) use table;

/// Is a read model.
pub trait Model: Send + Sync + 'static {
    /// Its name, in the letters of an SQL identifier.
    const NAME: &'static str;
    /// The number of its shape; another number rebuilds it.
    const VERSION: u32;
    /// The kind of stream that makes up its rows.
    const CATEGORY: Category;
    /// The SQL of its table.
    const TABLE: &'static str;
    /// The SQL of its indexes.
    const INDEXES: &'static str = "";
    /// Its rows.
    type Row: Serialize + DeserializeOwned + Send + 'static;

    /// Lists the rows that an event touches: by default that of its stream.
    fn keys(event: &Envelope) -> Vec<String> {
        if event.stream.category() == Self::CATEGORY { vec![event.stream.key().to_owned()] } else { vec![] }
    }

    /// Tells what the row becomes.
    fn fold(key: &str, row: Option<Self::Row>, event: &Envelope) -> Option<Self::Row>;

    /// Lists the streams that make up a row: by default the one of its key.
    fn streams(key: &str) -> Option<Vec<StreamName>> {
        Some(vec![StreamName::new(Self::CATEGORY, key)])
    }
}

/// Is a model as the log takes it.
pub struct Inline<M>(PhantomData<fn() -> M>);

impl<M: Model> Inline<M> {
    /// Makes it.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: Model> InlineProjection for Inline<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn version(&self) -> u32 {
        M::VERSION
    }

    fn schema(&self) -> &'static str {
        M::TABLE
    }

    fn indexes(&self) -> &'static str {
        M::INDEXES
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        M::keys(event)
    }

    /// Folds; a stored row that does not fit its type is a fault of the version number, and parks the model.
    fn fold(&self, key: &str, row: Option<Value>, event: &Envelope) -> Option<Value> {
        let row = row.map(|row| serde_json::from_value(row).unwrap_or_else(|error| unreadable::<M>(key, &error)));
        let row = M::fold(key, row, event)?;
        Some(serde_json::to_value(row).unwrap_or_else(|error| unreadable::<M>(key, &error)))
    }

    fn streams(&self, key: &str) -> Option<Vec<StreamName>> {
        M::streams(key)
    }
}

fn unreadable<M: Model>(key: &str, error: &serde_json::Error) -> ! {
    panic!("the row {key} of {} (version {}) does not fit its type: {error}", M::NAME, M::VERSION)
}

/// Reads an event of a known kind of stream; nothing for one that this version does not know.
pub fn decoded<E: DomainEvent>(event: &Envelope) -> Option<E> {
    events::decode(&event.kind, event.schema, &event.body).ok()
}

/// Returns the change that an event stands for.
pub fn change(event: &Envelope, sentence: String) -> Change {
    let (operation, by) = (event.context.operation, event.context.principal.who.clone());
    Change { since: event.recorded_at, by, why: sentence, operation, note: None }
}

/// Follows what is under way on a thing: opened, moved on, closed.
pub fn track(operation: &mut Option<OpenOperation>, mark: &Mark, event: &Envelope) {
    match mark {
        Mark::Opened { verb } => {
            *operation = Some(OpenOperation {
                operation: event.context.operation,
                verb: (*verb).to_owned(),
                phase: None,
                since: event.recorded_at,
            });
        }
        Mark::Phase { name } => {
            if let Some(open) = operation {
                open.phase = Some((*name).to_owned());
            }
        }
        Mark::Closed { .. } => *operation = None,
        Mark::Done { .. } | Mark::Fact => {}
    }
}
