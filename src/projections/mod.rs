//! L4: read models as pure row folds, and `query`, the only read API.
//!
//! One file per read model. Each is a fold `(row, event) → row` that serves the append transaction, the rebuild and a
//! look at the past alike. [`all`] is what `main` registers with the log.

mod backups;
mod batches;
mod claims;
mod clock;
mod containers;
mod facts;
mod maintenance;
mod model;
mod networks;
mod node;
mod operations;
pub mod query;
mod restores;
pub mod rows;
mod schedules;
mod sessions;
mod stores;
mod templates;
#[cfg(test)]
mod tests;

pub use facts::{Told, told};

use crate::storage::InlineProjection;
use model::Inline;

/// Returns every read model, to be registered when the log is opened.
pub fn all() -> Vec<Box<dyn InlineProjection>> {
    vec![
        Box::new(Inline::<node::Node>::new()),
        Box::new(Inline::<clock::Clock>::new()),
        Box::new(Inline::<containers::Containers>::new()),
        Box::new(Inline::<sessions::Sessions>::new()),
        Box::new(Inline::<templates::Templates>::new()),
        Box::new(Inline::<networks::Networks>::new()),
        Box::new(Inline::<stores::Stores>::new()),
        Box::new(Inline::<backups::Backups>::new()),
        Box::new(Inline::<restores::Restores>::new()),
        Box::new(Inline::<claims::Claims>::new()),
        Box::new(Inline::<maintenance::Maintenance>::new()),
        Box::new(Inline::<batches::Batches>::new()),
        Box::new(Inline::<schedules::Schedules>::new()),
        Box::new(Inline::<operations::Operations>::new()),
    ]
}
