//! The clock of this machine.

use serde::{Deserialize, Serialize};

use crate::types::{Position, Step, Timestamp};

/// Is a step of the clock with its place in the log: a clock epoch begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// The event that says so.
    pub position: Position,
    /// The step.
    #[serde(flatten)]
    pub step: Step,
}

/// Is the clock of this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockRow {
    /// The kernel's id of the boot it is compared in.
    pub boot: Option<String>,
    /// When that boot began, by the clock of now.
    pub up_since: Option<Timestamp>,
    /// Whether the last step was neither confirmed nor followed by synchronisation.
    pub doubted: bool,
    /// Its newest steps, oldest first.
    pub steps: Vec<StepRow>,
    /// The last event in this row.
    pub position: Position,
}
