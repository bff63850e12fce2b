//! Deleting, taking back, removing for good, and calling off.

use super::run::called_off;
use super::{ANY, Decision, made, not_busy, not_held};
use crate::domain::Given;
use crate::domain::container::{Container, Life, Open, Rejection, StopPhase, Work};
use crate::events::{AddressRequest, ContainerEvent};
use crate::types::{Name, NetworkId, OperationId, Span};

/// A container that runs is not deleted; whatever else is under way is called off.
pub(super) fn delete(state: &Container, grave: Span, given: Given) -> Decision {
    if matches!(state.life, Life::Buried { .. }) && state.open.is_none() {
        return Ok(vec![]);
    }
    if let Some(Open { operation, work: Work::Create, .. }) = &state.open {
        return Ok(vec![called_off(*operation, "create", "delete"), ContainerEvent::PurgeRequested]);
    }
    made(state)?;
    not_held(state, ANY, None)?;
    if state.init().is_some() && state.ended.is_none() {
        return Err(Rejection::Running);
    }
    let requested = ContainerEvent::DeleteRequested { until: given.at.after(grave) };
    match &state.open {
        Some(Open { work: Work::Bury { .. }, .. }) => Ok(vec![]),
        None | Some(Open { work: Work::Rename { .. }, .. }) => Ok(vec![requested]),
        Some(open) => Ok(vec![called_off(open.operation, open.work.verb(), "delete"), requested]),
    }
}

pub(super) fn undelete(
    state: &Container,
    name: Option<&Name>,
    place: Option<(Option<NetworkId>, AddressRequest)>,
) -> Decision {
    let Some(record) = &state.record else { return Err(Rejection::Unknown) };
    not_busy(state)?;
    match state.life {
        Life::Buried { .. } => {
            let requested = ContainerEvent::UndeleteRequested { name: name.unwrap_or(&record.name).clone() };
            let place = place.map(|(network, address)| ContainerEvent::NetworkSet { network, address });
            Ok([requested].into_iter().chain(place).collect())
        }
        Life::Purged => Err(Rejection::Purged),
        _ => Err(Rejection::NotBuried),
    }
}

pub(super) fn purge(state: &Container) -> Decision {
    if state.record.is_none() && state.life == Life::Absent {
        return Err(Rejection::Unknown);
    }
    not_busy(state)?;
    not_held(state, ANY, None)?;
    match state.life {
        Life::Buried { .. } | Life::Stuck { .. } => Ok(vec![ContainerEvent::PurgeRequested]),
        Life::Purged => Ok(vec![]),
        _ => Err(Rejection::NotBuried),
    }
}

/// A saga takes back the container it made: no grave, whatever state the making is in.
pub(super) fn remove(state: &Container, operation: OperationId) -> Decision {
    if state.record.is_none() || state.life == Life::Purged {
        return Ok(vec![]);
    }
    if let Some(open) = &state.open {
        return match open.work {
            Work::Create => Ok(vec![ContainerEvent::CreateFailed { reason: "its maker took it back".to_owned() }]),
            Work::Dissolve(_) => Ok(vec![]),
            // Somebody deletes what its maker takes back: it goes for good.
            Work::Bury { remains: false, .. } => {
                let verb = open.work.verb();
                Ok(vec![called_off(open.operation, verb, "remove"), ContainerEvent::PurgeRequested])
            }
            _ => Err(Rejection::Busy { verb: open.work.verb(), operation: open.operation }),
        };
    }
    not_held(state, ANY, Some(operation))?;
    if state.init().is_some() {
        return Err(Rejection::Running);
    }
    Ok(vec![ContainerEvent::PurgeRequested])
}

pub(super) fn cancel(state: &Container, operation: OperationId) -> Decision {
    let Some(open) = state.open.as_ref().filter(|open| open.operation == operation) else {
        return Err(Rejection::NoSuchOperation { operation });
    };
    match &open.work {
        Work::Create => Ok(vec![ContainerEvent::CreateFailed { reason: "cancelled".to_owned() }]),
        Work::Start { failing: None } => Ok(vec![ContainerEvent::StartFailing { reason: "cancelled".to_owned() }]),
        Work::ChangeLimits { failing: None, .. } => {
            Ok(vec![ContainerEvent::LimitChangeFailing { reason: "cancelled".to_owned() }])
        }
        work @ Work::Wait { .. } => Ok(vec![called_off(operation, work.verb(), "cancel")]),
        // Its init has been told and may end yet; nobody kills it any more, and nobody starts it again.
        work @ Work::Stop(stopping) if stopping.phase != StopPhase::Clearing => {
            Ok(vec![called_off(operation, work.verb(), "cancel")])
        }
        work => Err(Rejection::TooLate { verb: work.verb() }),
    }
}
