//! Starting, stopping and standing still.

use std::collections::BTreeSet;

use super::holding::{release_old_files, unhold};
use super::{Decision, EXCHANGING, is_own, made, not_busy, not_held};
use crate::domain::Given;
use crate::domain::container::{Before, Container, Life, Open, Rejection, StopPhase, Stopping, Work};
use crate::events::{ContainerEvent, KillReason};
use crate::types::{OperationId, Size, Span, StreamName, Timestamp};

/// The most programs that a fact names.
const PROGRAMS_MAX: usize = 10;

pub(super) fn start(state: &Container, parent: Option<&StreamName>, given: Given) -> Decision {
    let record = made(state)?;
    if is_own(state, given, |work| matches!(work, Work::Start { .. })) {
        return Ok(vec![]);
    }
    if let Some(Open { operation, work: Work::Wait { .. }, .. }) = &state.open {
        not_held(state, EXCHANGING, None)?;
        let requested = ContainerEvent::StartRequested { parent: parent.cloned() };
        return Ok(vec![called_off(*operation, "restart", "start"), requested]);
    }
    match (&state.life, &state.open) {
        (Life::Running(_), None) => return Ok(vec![]),
        (Life::Paused(_), None) => return Err(Rejection::Paused),
        _ => not_busy(state)?,
    }
    not_held(state, EXCHANGING, None)?;
    let init = record.template.as_ref().and_then(|(_, init)| *init);
    if init.is_none() && record.configuration.command.is_none() {
        return Err(Rejection::NoInit);
    }
    Ok(vec![ContainerEvent::StartRequested { parent: parent.cloned() }])
}

/// While its files change places, the saga that has them starts it when they have.
pub(super) fn autostart(state: &Container, given: Given) -> Decision {
    let waits = stands_still(state) && state.is_held_still();
    match state.before {
        Some(Before::Running) if waits => Ok(vec![]),
        _ if waits => Ok(vec![ContainerEvent::ReturnPromised { paused: false }]),
        _ => start(state, None, given),
    }
}

/// It runs again if it ran before it was stopped for a while, and nobody wanted otherwise since. It is let go with the same
/// commit: nobody comes in between.
pub(super) fn carry_on(
    state: &Container,
    holder: OperationId,
    keeping: bool,
    parent: &StreamName,
) -> Vec<ContainerEvent> {
    let is_free = not_held(state, EXCHANGING, Some(holder)).is_ok();
    let is_due = state.before == Some(Before::Running) && stands_still(state) && is_free;
    let mut facts = unhold(state, holder);
    if !keeping {
        facts.extend(release_old_files(state, parent));
    }
    facts.extend(is_due.then(|| ContainerEvent::StartRequested { parent: Some(parent.clone()) }));
    facts
}

/// Says whether it is stopped, and nothing but its name is about to change.
fn stands_still(state: &Container) -> bool {
    let free = state.open.as_ref().is_none_or(|open| matches!(open.work, Work::Rename { .. }));
    state.life == Life::Stopped && free
}

/// A stop waits for nobody. It joins the stop that is under way, lets a rename end beside it, and calls everything else
/// off.
pub(super) fn stop(state: &Container, grace: Span, given: Given) -> Decision {
    let deadline = given.at.after(grace);
    if state.before == Some(Before::Running) && stands_still(state) {
        return Ok(vec![ContainerEvent::ReturnCalledOff]);
    }
    match &state.open {
        Some(Open { operation, work: Work::Stop(stopping), .. })
            if stopping.is_asked_for() && *operation != given.operation =>
        {
            Ok(join(stopping, deadline, grace))
        }
        _ => stop_anew(state, ContainerEvent::StopRequested { deadline, grace, parent: None }, grace, given),
    }
}

/// A saga's stop hurries nobody, and leaves alone what stands still by itself: that waits while it is held.
pub(super) fn stop_for_a_while(state: &Container, grace: Span, parent: &StreamName, given: Given) -> Decision {
    let parent = Some(parent.clone());
    match state.open.as_ref().map(|open| &open.work) {
        Some(Work::Stop(_)) if state.will_tell(given.operation) => return Ok(vec![]),
        Some(Work::Stop(stopping)) if stopping.is_asked_for() => {
            return Ok(vec![ContainerEvent::StopAskedAgain { deadline: stopping.deadline, parent }]);
        }
        Some(Work::Wait { .. }) => return Ok(vec![]),
        _ => {}
    }
    let requested = ContainerEvent::StopRequested { deadline: given.at.after(grace), grace, parent };
    let mut facts = stop_anew(state, requested, grace, given)?;
    if !facts.is_empty() {
        facts.extend(promise(state));
    }
    Ok(facts)
}

/// Says what it comes back to. What stands still for want of space alone is wanted to run.
fn promise(state: &Container) -> Option<ContainerEvent> {
    let paused = match (state.open.as_ref().map(|open| &open.work), &state.life) {
        (Some(Work::Start { failing: None } | Work::Resume), _) => false,
        (Some(Work::Stop(stopping)), _) if stopping.again => false,
        (Some(Work::Stop(_)), _) => return None,
        (_, Life::Running(_)) if state.ended.is_none() => false,
        (_, Life::Paused(_)) if state.ended.is_none() => !state.short_of_space,
        _ => return None,
    };
    Some(ContainerEvent::ReturnPromised { paused })
}

/// Stops it, and calls off what is under way.
fn stop_anew(state: &Container, requested: ContainerEvent, grace: Span, given: Given) -> Decision {
    if is_stuck_with_disk(state) && state.open.is_none() {
        return Ok(vec![requested]);
    }
    made(state)?;
    let runs = state.init().is_some() && state.ended.is_none();
    let fresh = || if runs { with_haste(requested.clone(), grace, KillReason::Asked) } else { vec![requested.clone()] };
    let Some(open) = &state.open else {
        return Ok(if state.life == Life::Stopped { vec![] } else { fresh() });
    };
    match &open.work {
        Work::Stop(_) if open.operation == given.operation => Ok(vec![]),
        Work::Rename { .. } if runs => Ok(fresh()),
        Work::Rename { .. } | Work::Bury { .. } | Work::Undelete { .. } | Work::Create | Work::Dissolve(_) => {
            Ok(vec![])
        }
        Work::ChangeLimits { .. } if !runs => Ok(vec![]),
        work => {
            let mut facts = vec![called_off(open.operation, work.verb(), "stop")];
            facts.extend(fresh());
            Ok(facts)
        }
    }
}

/// A second stop hurries the first, and whoever asks waits for that one.
fn join(stopping: &Stopping, deadline: Timestamp, grace: Span) -> Vec<ContainerEvent> {
    let asked = ContainerEvent::StopAskedAgain { deadline: deadline.min(stopping.deadline), parent: None };
    if stopping.phase == StopPhase::Clearing {
        vec![asked]
    } else {
        with_haste(asked, grace, KillReason::AskedMeanwhile)
    }
}

pub(super) fn called_off(operation: OperationId, verb: &str, wish: &str) -> ContainerEvent {
    ContainerEvent::OperationCalledOff { operation, verb: verb.to_owned(), wish: wish.to_owned() }
}

/// A start that could be neither made nor cleared away is cleared away by a stop: the container keeps its files.
fn is_stuck_with_disk(state: &Container) -> bool {
    matches!(state.life, Life::Stuck { .. }) && state.record.as_ref().is_some_and(|record| record.disk)
}

/// Skips the waiting where nobody wants to wait.
fn with_haste(requested: ContainerEvent, grace: Span, why: KillReason) -> Vec<ContainerEvent> {
    if grace == Span::default() { vec![requested, ContainerEvent::GraceExpired { why }] } else { vec![requested] }
}

pub(super) fn restart(state: &Container, grace: Span, given: Given) -> Decision {
    made(state)?;
    not_busy(state)?;
    not_held(state, EXCHANGING, None)?;
    match state.life {
        Life::Running(_) | Life::Paused(_) => {
            let requested = ContainerEvent::RestartRequested { deadline: given.at.after(grace), grace };
            Ok(with_haste(requested, grace, KillReason::Asked))
        }
        _ => Err(Rejection::NotRunning),
    }
}

pub(super) fn pause(state: &Container) -> Decision {
    made(state)?;
    not_busy(state)?;
    match state.life {
        Life::Running(_) => Ok(vec![ContainerEvent::PauseRequested]),
        Life::Paused(_) => Ok(vec![]),
        _ => Err(Rejection::NotRunning),
    }
}

pub(super) fn pause_for_space(state: &Container, left: Size) -> Decision {
    let wanted = pause(state)?;
    Ok(if wanted.is_empty() { wanted } else { vec![ContainerEvent::SpacePauseRequested { left }] })
}

/// It may have ended meanwhile: by that, if its init was one of them.
pub(super) fn writers_ended(state: &Container, names: &[String]) -> Vec<ContainerEvent> {
    if state.record.is_none() {
        return vec![];
    }
    let mut programs: Vec<String> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    programs.truncate(PROGRAMS_MAX);
    vec![ContainerEvent::WritersEnded { count: names.len() as u64, names: programs }]
}

pub(super) fn resume(state: &Container) -> Decision {
    made(state)?;
    not_busy(state)?;
    match state.life {
        Life::Paused(_) => Ok(vec![ContainerEvent::ResumeRequested]),
        Life::Running(_) => Ok(vec![]),
        _ => Err(Rejection::NotRunning),
    }
}
