//! Which command lines of containers are still needed.

use std::collections::BTreeSet;

use super::{Moment, Query, QueryError};
use crate::events::RestoreTarget;
use crate::projections::containers::Containers;
use crate::projections::restores::Restores;
use crate::projections::rows::{ContainerRow, ContainerState, RestoreRow};
use crate::types::{Category, Fingerprint, StreamName, Version};

impl Query {
    /// Returns the command lines that a container has which is not purged or is about to be made by a restore, or that nobody
    /// redacted: a backup of a purged container can be restored.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn needed_commands(&self) -> Result<BTreeSet<Fingerprint>, QueryError> {
        let restores = self.all::<Restores>(Moment::Now)?;
        let mut needed: BTreeSet<Fingerprint> = restores.iter().filter_map(command_to_be).collect();
        for row in self.all::<Containers>(Moment::Now)? {
            let Some(command) = row.configuration.command else { continue };
            if !needed.contains(&command) && (is_there(&row) || self.tells_command(&row)?) {
                needed.insert(command);
            }
        }
        Ok(needed)
    }

    /// Says whether the annex of the event that made a container still has its command line.
    fn tells_command(&self, row: &ContainerRow) -> Result<bool, QueryError> {
        #[derive(serde::Deserialize)]
        struct Annex {
            command: Option<Vec<String>>,
        }
        let stream = StreamName::new(Category::Container, row.id);
        let first = self.reader.read_stream(&stream, Version::default(), 1)?.pop();
        let annex = first.and_then(|event| serde_json::from_slice::<Annex>(&event.annex?).ok());
        Ok(annex.is_some_and(|annex| annex.command.is_some()))
    }
}

/// Returns the command line of the container that a restore under way is going to make.
fn command_to_be(restore: &RestoreRow) -> Option<Fingerprint> {
    match &restore.target {
        RestoreTarget::New { configuration, .. } if !restore.state.is_over() => configuration.command,
        _ => None,
    }
}

fn is_there(row: &ContainerRow) -> bool {
    !matches!(row.rest, ContainerState::Purged | ContainerState::Failed)
}
