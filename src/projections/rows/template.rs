//! A template: what it holds, who uses it, and whether its tree still fits its digest.

use serde::{Deserialize, Serialize};

use super::{Change, OpenOperation, ThingState};
use crate::events::{TemplateSource, TemplateSummary};
use crate::types::{Name, Position, TemplateId, Timestamp};

/// Is a difference between a template's tree and its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftRow {
    /// The first few paths.
    pub paths: Vec<String>,
    /// How many differ.
    pub count: u64,
    /// When that was found.
    pub found_at: Timestamp,
}

/// Is one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// Its id.
    pub id: TemplateId,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub state: ThingState,
    /// Since when, by whom, why.
    pub change: Change,
    /// Why it failed or is stuck, if so.
    pub reason: Option<String>,
    /// Where it comes from.
    pub source: TemplateSource,
    /// What it holds, once sealed.
    pub summary: Option<TemplateSummary>,
    /// The streams of those who use it.
    pub users: Vec<String>,
    /// When it was last compared with its digest and found the same.
    pub verified_at: Option<Timestamp>,
    /// What the last comparison found, if anything.
    pub drift: Option<DriftRow>,
    /// What is under way.
    pub operation: Option<OpenOperation>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// The last event in this row.
    pub position: Position,
    /// How many backups no container could be made of without it. *Joined, to a single one of now.*
    #[serde(default, skip_serializing_if = "is_none")]
    pub needed_by: u64,
}

/// Says whether a count is nought; serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_none(count: &u64) -> bool {
    *count == 0
}
