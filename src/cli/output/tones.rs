//! The tone of each state word: colour says again what the word says.

use super::table::{Cell, Tone};
use crate::projections::rows::{ContainerState, OperationState, ScheduleState, ThingState};
use crate::types::Timestamp;

use super::Look;

/// Returns the cell of a container's state.
pub fn container(state: ContainerState) -> Cell {
    use ContainerState as S;
    let tone = match state {
        S::Running => Tone::Good,
        S::Failed | S::Stuck => Tone::Bad,
        S::Stopped | S::Deleted | S::Purged => Tone::Faint,
        _ => Tone::Warn,
    };
    Cell::toned(state, tone)
}

/// Returns the cell of a template's, network's or store's state.
pub fn thing(state: ThingState) -> Cell {
    let tone = match state {
        ThingState::Ready => Tone::Good,
        ThingState::Failed | ThingState::Stuck => Tone::Bad,
        ThingState::Deleted => Tone::Faint,
        ThingState::Creating | ThingState::Deleting => Tone::Warn,
    };
    Cell::toned(state, tone)
}

/// Returns the cell of a schedule's state.
pub fn schedule(state: ScheduleState) -> Cell {
    let tone = match state {
        ScheduleState::Enabled => Tone::Good,
        ScheduleState::Failed => Tone::Bad,
        ScheduleState::Disabled | ScheduleState::Deleted => Tone::Faint,
        ScheduleState::Creating | ScheduleState::Deleting => Tone::Warn,
    };
    Cell::toned(state, tone)
}

/// Returns the cell of an operation's state.
pub fn operation(state: OperationState) -> Cell {
    Cell::toned(state, of_operation(state))
}

/// Returns the tone of what is said of an operation in that state.
pub const fn of_operation(state: OperationState) -> Tone {
    match state {
        OperationState::Done => Tone::Good,
        OperationState::Failed | OperationState::Stuck => Tone::Bad,
        OperationState::Partly | OperationState::Waiting | OperationState::Running => Tone::Warn,
        OperationState::Skipped | OperationState::Cancelled => Tone::Faint,
    }
}

/// Returns the cell of something that ought to have happened once.
pub fn ago_or_never(look: Look, moment: Option<Timestamp>) -> Cell {
    match moment {
        Some(moment) => Cell::from(look.ago(moment)),
        None => Cell::toned("never", Tone::Warn),
    }
}
