//! Holds of others, and the files of before that a restore keeps.

use super::{ANY, Decision, WRITING, made, not_busy, not_held};
use crate::domain::container::{Container, Rejection, Work};
use crate::events::{ContainerEvent, HoldKind};
use crate::types::{OperationId, StreamName};

pub(super) fn hold(state: &Container, kind: HoldKind, by: &StreamName, operation: OperationId) -> Decision {
    made(state)?;
    if state.holds.get(&operation) == Some(&kind) {
        return Ok(vec![]);
    }
    let placed = ContainerEvent::HoldPlaced { operation, kind };
    match kind {
        HoldKind::Reading => {
            not_held(state, WRITING, Some(operation))?;
            let rearranging = state
                .open
                .as_ref()
                .filter(|open| matches!(open.work, Work::Bury { .. } | Work::Dissolve(_) | Work::Create));
            if let Some(open) = rearranging {
                return Err(Rejection::Busy { verb: open.work.verb(), operation: open.operation });
            }
        }
        // Whoever wrote beside its files goes on, whatever is under way: the stop that follows sees to that. The files of
        // now are his from here on.
        HoldKind::Exchanging if state.holds.contains_key(&operation) => {
            return Ok(vec![placed, ContainerEvent::OldFilesClaimed { by: by.clone() }]);
        }
        HoldKind::Writing | HoldKind::Exchanging => {
            match state.open.as_ref().map(|open| &open.work) {
                Some(Work::Wait { .. }) => {}
                Some(Work::Stop(stopping)) if stopping.is_asked_for() => {}
                _ => not_busy(state)?,
            }
            not_held(state, ANY, Some(operation))?;
            nothing_aside(state, by)?;
        }
    }
    Ok(vec![placed])
}

/// Refuses while another restore keeps files of before beside its own.
fn nothing_aside(state: &Container, by: &StreamName) -> Result<(), Rejection> {
    let other = state.aside.as_ref().filter(|keeper| *keeper != by);
    other.map_or(Ok(()), |restore| Err(Rejection::Unsettled { restore: restore.clone() }))
}

pub(super) fn release_old_files(state: &Container, by: &StreamName) -> Vec<ContainerEvent> {
    let kept = state.aside.as_ref() == Some(by);
    if kept { vec![ContainerEvent::OldFilesReleased { by: by.clone() }] } else { vec![] }
}

pub(super) fn unhold(state: &Container, operation: OperationId) -> Vec<ContainerEvent> {
    let held = state.holds.contains_key(&operation);
    if held { vec![ContainerEvent::HoldReleased { operation }] } else { vec![] }
}
