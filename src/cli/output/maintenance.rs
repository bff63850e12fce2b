//! How runs of maintenance look.

use super::{Cell, Column, Look, Tabular, tones};
use crate::api::resources::{MaintenanceAction, MaintenanceResult};
use crate::projections::rows::MaintenanceRow;

impl Tabular for MaintenanceRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("CONTAINER"),
        Column::left("ACTION"),
        Column::left("STATE"),
        Column::left("WHEN").whole().spare(1),
        Column::left("RESULT").prose(),
        Column::left("BY").wide(),
        Column::left("RUN").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        let name = self.container_name.as_ref().map_or_else(|| self.container.short(), ToString::to_string);
        let result = self.result.as_ref().map(words).or_else(|| self.reason.clone());
        vec![
            Cell::from(name),
            Cell::from(action(&self.action)),
            tones::operation(self.state),
            Cell::from(look.time(self.requested_at)),
            Cell::maybe(result),
            Cell::from(&self.by),
            Cell::from(self.id.short()),
        ]
    }
}

fn action(action: &MaintenanceAction) -> &'static str {
    match action {
        MaintenanceAction::Defragment { .. } => "defragment",
        MaintenanceAction::UpdateCheck { .. } => "update-check",
        MaintenanceAction::Verify { .. } => "verify",
    }
}

fn words(result: &MaintenanceResult) -> String {
    match result {
        MaintenanceResult::Defragmented { fragments_before, fragments_after, allocated_before, allocated_after } => {
            format!("{fragments_before} → {fragments_after} fragments, {allocated_before} → {allocated_after} on disk")
        }
        MaintenanceResult::UpdatesListed { manager, pending, count, security, stale } => {
            let first: Vec<&str> = pending.iter().take(3).map(|update| update.package.as_str()).collect();
            let names = if first.is_empty() { String::new() } else { format!(": {}", first.join(", ")) };
            let stale = stale.as_ref().map(|why| format!("; LISTS OUT OF DATE: {why}")).unwrap_or_default();
            format!("{count} pending by {manager}, {security} of security{names}{stale}")
        }
        MaintenanceResult::Verified => "whole".to_owned(),
        MaintenanceResult::Damaged { reason } => format!("DAMAGED: {reason}"),
    }
}
