//! The clock: its steps, and whether the present time is trusted.

use crate::events::{ClockEvent, Envelope};
use crate::types::{Category, Step};

use super::model::{self, Model, table};
use super::rows::{ClockRow, StepRow};

/// How many steps a row keeps; the log has them all.
const STEPS_HELD: usize = 1_000;

/// Is the read model.
pub struct Clock;

impl Model for Clock {
    const NAME: &'static str = "clock";
    const VERSION: u32 = 1;
    const CATEGORY: Category = Category::Clock;
    const TABLE: &'static str = table!();
    type Row = ClockRow;

    fn fold(_: &str, row: Option<ClockRow>, event: &Envelope) -> Option<ClockRow> {
        let Some(fact) = model::decoded::<ClockEvent>(event) else { return row };
        let mut row = row.unwrap_or_default();
        match fact {
            ClockEvent::BootTimed { boot, up_since } => (row.boot, row.up_since) = (Some(boot), Some(up_since)),
            ClockEvent::ClockStepped { from, to, noticed } => {
                step(&mut row, StepRow { position: event.position, step: Step { from, to, noticed } });
            }
            ClockEvent::ClockConfirmed | ClockEvent::ClockSynchronised => row.doubted = false,
        }
        row.position = event.position;
        Some(row)
    }
}

fn step(row: &mut ClockRow, taken: StepRow) {
    row.up_since = row.up_since.map(|up_since| up_since.moved(taken.step.micros()));
    row.doubted = true;
    row.steps.push(taken);
    let excess = row.steps.len().saturating_sub(STEPS_HELD);
    row.steps.drain(..excess);
}
