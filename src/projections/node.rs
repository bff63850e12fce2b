//! The machine: its boots, the daemon's starts and ends, and how many id ranges are out.

use crate::events::{Envelope, NodeEvent};
use crate::types::Category;

use super::model::{self, Model, table};
use super::rows::NodeRow;

/// Is the read model.
pub struct Node;

impl Model for Node {
    const NAME: &'static str = "node";
    const VERSION: u32 = 1;
    const CATEGORY: Category = Category::Node;
    const TABLE: &'static str = table!();
    type Row = NodeRow;

    fn fold(_: &str, row: Option<NodeRow>, event: &Envelope) -> Option<NodeRow> {
        let Some(fact) = model::decoded::<NodeEvent>(event) else { return row };
        let mut row = row.unwrap_or_else(|| empty(event));
        match fact {
            NodeEvent::NodeInitialised { hostname, instance } => {
                row.hostname = hostname;
                row.instance = instance;
            }
            NodeEvent::NodeBooted { boot, kernel } => {
                row.boot = Some(boot);
                row.kernel = Some(kernel);
                row.booted_at = Some(event.recorded_at);
            }
            NodeEvent::DaemonStarted { berth } => {
                row.version = Some(berth);
                row.started_at = Some(event.recorded_at);
                row.stopped_at = None;
            }
            NodeEvent::DaemonStopped => row.stopped_at = Some(event.recorded_at),
            NodeEvent::IdRangeClaimed { .. } => row.id_ranges += 1,
            NodeEvent::IdRangeReleased { .. } => row.id_ranges = row.id_ranges.saturating_sub(1),
            NodeEvent::IdRangesForbidden { .. }
            | NodeEvent::AnnexRedacted { .. }
            | NodeEvent::HistoryAccepted { .. }
            | NodeEvent::UnknownContainerFound { .. } => {}
        }
        row.position = event.position;
        Some(row)
    }
}

fn empty(event: &Envelope) -> NodeRow {
    NodeRow {
        id: event.context.node,
        hostname: String::new(),
        instance: String::new(),
        boot: None,
        kernel: None,
        booted_at: None,
        version: None,
        started_at: None,
        stopped_at: None,
        id_ranges: 0,
        position: event.position,
    }
}
