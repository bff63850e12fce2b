//! Streams that operations have claims on: containers that are held or keep files of before, and groups of backups that
//! expect one or have one pinned.
//!
//! The sweep at a start looks at these alone; of ten thousand containers hardly one is among them.

use crate::events::{BackupGroupEvent, ContainerEvent, Envelope};
use crate::types::{Category, StreamName};

use super::model::{self, Model, table};
use super::rows::{ClaimRow, ClaimedRow};

/// Is the read model.
pub struct Claims;

/// Is what an event does to the claims on its stream.
enum Turn {
    Gets(ClaimRow),
    Gives(ClaimRow),
}

impl Model for Claims {
    const NAME: &'static str = "claims";
    const VERSION: u32 = 1;
    const CATEGORY: Category = Category::Container;
    const TABLE: &'static str = table!();
    type Row = ClaimedRow;

    fn keys(event: &Envelope) -> Vec<String> {
        turn(event).map(|_| event.stream.to_string()).into_iter().collect()
    }

    fn fold(_: &str, row: Option<ClaimedRow>, event: &Envelope) -> Option<ClaimedRow> {
        let Some(turn) = turn(event) else { return row };
        let mut claims = row.map(|row| row.claims).unwrap_or_default();
        match turn {
            Turn::Gets(claim) => claims.insert(claim),
            Turn::Gives(claim) => claims.remove(&claim),
        };
        let (stream, position) = (event.stream.clone(), event.position);
        (!claims.is_empty()).then_some(ClaimedRow { stream, claims, position })
    }

    fn streams(key: &str) -> Option<Vec<StreamName>> {
        key.parse().ok().map(|stream| vec![stream])
    }
}

fn turn(event: &Envelope) -> Option<Turn> {
    match event.stream.category() {
        Category::Container => of_container(model::decoded(event)?),
        Category::BackupGroup => of_group(model::decoded(event)?, event),
        _ => None,
    }
}

fn of_container(fact: ContainerEvent) -> Option<Turn> {
    Some(match fact {
        ContainerEvent::HoldPlaced { operation, .. } => Turn::Gets(ClaimRow::Hold(operation)),
        ContainerEvent::HoldReleased { operation } => Turn::Gives(ClaimRow::Hold(operation)),
        ContainerEvent::OldFilesClaimed { by } => Turn::Gets(ClaimRow::OldFiles(by)),
        ContainerEvent::OldFilesReleased { by } => Turn::Gives(ClaimRow::OldFiles(by)),
        _ => return None,
    })
}

fn of_group(fact: BackupGroupEvent, event: &Envelope) -> Option<Turn> {
    Some(match fact {
        BackupGroupEvent::BackupAdmitted { operation, .. } => Turn::Gets(ClaimRow::Expected(operation)),
        BackupGroupEvent::BackupWithdrawn { operation } => Turn::Gives(ClaimRow::Expected(operation)),
        BackupGroupEvent::BackupCommitted(_) => Turn::Gives(ClaimRow::Expected(event.context.operation)),
        BackupGroupEvent::BackupPinned { backup, operation } => Turn::Gets(ClaimRow::Pin(backup, operation)),
        BackupGroupEvent::BackupUnpinned { backup, operation } => Turn::Gives(ClaimRow::Pin(backup, operation)),
        BackupGroupEvent::BackupVerified { .. } | BackupGroupEvent::BackupDamageFound { .. } => return None,
    })
}
