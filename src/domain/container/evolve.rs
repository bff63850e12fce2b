//! Folds facts into the state. Judges nothing.

use super::{Before, Burial, Container, Dissolution, Life, Open, Record, StopPhase, Stopping, Work};
use crate::domain::{Given, Notice};
use crate::events::{Closing, ContainerEvent, DomainEvent, Exit, HoldKind, Mark, StopReason};
use crate::types::{IdRange, Span, StreamName, Timestamp};

pub(super) fn evolve(state: &mut Container, event: &ContainerEvent, given: Given) {
    wanted(state, event);
    match event {
        ContainerEvent::CreateRequested { id, name, configuration, parent } => {
            state.record = Some(Box::new(Record {
                id: *id,
                name: name.clone(),
                configuration: configuration.clone(),
                named: false,
                ids: None,
                template: None,
                lease: None,
                disk: false,
            }));
            open(state, given, Work::Create, parent.as_ref());
        }
        ContainerEvent::StartRequested { parent } => {
            let_rename_go_on(state);
            open(state, given, Work::Start { failing: None }, parent.as_ref());
        }
        ContainerEvent::StopRequested { deadline, grace, parent } => {
            let_rename_go_on(state);
            open(state, given, stopping(state, *deadline, *grace, false), parent.as_ref());
        }
        ContainerEvent::RestartRequested { deadline, grace } => {
            open(state, given, stopping(state, *deadline, *grace, true), None);
        }
        ContainerEvent::PauseRequested => open(state, given, Work::Pause, None),
        ContainerEvent::SpacePauseRequested { .. } => {
            state.short_of_space = true;
            open(state, given, Work::Pause, None);
        }
        ContainerEvent::ResumeRequested => open(state, given, Work::Resume, None),
        ContainerEvent::LimitChangeRequested { change } => {
            open(state, given, Work::ChangeLimits { change: *change, failing: None }, None);
        }
        ContainerEvent::RenameRequested { name } => open(state, given, Work::Rename { name: name.clone() }, None),
        ContainerEvent::DeleteRequested { until } => {
            // An init that has ended may not be cleared away yet.
            let remains = state.remains || state.init().is_some();
            let_rename_go_on(state);
            open(state, given, Work::Bury { until: *until, remains }, None);
        }
        ContainerEvent::UndeleteRequested { name } => undelete(state, given, name),
        ContainerEvent::PurgeRequested => open(state, given, Work::Dissolve(Dissolution::begin(None)), None),
        ContainerEvent::HoldPlaced { operation, kind } => {
            state.holds.insert(*operation, *kind);
        }
        ContainerEvent::HoldReleased { operation } => {
            state.holds.remove(operation);
        }
        ContainerEvent::OldFilesClaimed { by } => state.aside = Some(by.clone()),
        ContainerEvent::OldFilesReleased { .. } => state.aside = None,
        ContainerEvent::ParentNotified if !state.notices.is_empty() => {
            state.notices.remove(0);
        }
        _ => {
            progress(state, event, given);
            state.told.evolve(event, given);
            life(state, event, given);
            record(state, event);
        }
    }
    if let Mark::Closed { outcome } = event.mark() {
        let closed = if is_end_of_rename(event) { state.beside.take() } else { None };
        close(state, closed, outcome);
    }
}

fn is_end_of_rename(event: &ContainerEvent) -> bool {
    matches!(event, ContainerEvent::ContainerRenamed { .. } | ContainerEvent::RenameFailed { .. })
}

/// Keeps what a container comes back to, until somebody wants otherwise.
fn wanted(state: &mut Container, event: &ContainerEvent) {
    match event {
        ContainerEvent::ReturnPromised { paused } => {
            state.before = Some(if *paused { Before::Paused } else { Before::Running });
        }
        // That was told when it was let go.
        ContainerEvent::HoldPlaced { kind: HoldKind::Exchanging, .. } => {
            state.before.take_if(|before| *before == Before::Paused);
        }
        ContainerEvent::StartRequested { .. }
        | ContainerEvent::StopRequested { .. }
        | ContainerEvent::StopAskedAgain { parent: None, .. }
        | ContainerEvent::ReturnCalledOff
        | ContainerEvent::StopStuck { .. }
        | ContainerEvent::OperationCalledOff { .. }
        | ContainerEvent::DeleteRequested { .. } => state.before = None,
        _ => {}
    }
}

/// What overtakes a rename leaves it to end by itself.
fn let_rename_go_on(state: &mut Container) {
    state.beside = state.open.take_if(|open| matches!(open.work, Work::Rename { .. })).or(state.beside.take());
}

fn open(state: &mut Container, given: Given, work: Work, parent: Option<&StreamName>) {
    state.open = Some(Open { operation: given.operation, parent: parent.cloned(), work, joined: vec![] });
}

fn close(state: &mut Container, closed: Option<Open>, outcome: Closing) {
    let closed = closed.or_else(|| state.open.take());
    let (Some(open), Some(record)) = (closed, &state.record) else { return };
    let own = open.parent.map(|parent| (open.operation, parent));
    state.notices.extend(own.into_iter().chain(open.joined).map(|(operation, parent)| Notice {
        parent,
        child: Container::holder_name(record.id),
        operation,
        outcome: outcome.clone(),
    }));
}

/// Nobody is told to end where no init runs: what is left is cleared away.
fn stopping(state: &Container, deadline: Timestamp, grace: Span, again: bool) -> Work {
    let runs = state.init().is_some() && state.ended.is_none();
    let phase = if runs { StopPhase::Signalling } else { StopPhase::Clearing };
    Work::Stop(Stopping { deadline, grace, phase, reason: StopReason::Requested, again })
}

fn undelete(state: &mut Container, given: Given, name: &crate::types::Name) {
    let until = if let Life::Buried { until, .. } = state.life { until } else { given.at };
    let Some(record) = &mut state.record else { return };
    let before = Burial { name: std::mem::replace(&mut record.name, name.clone()), place: None };
    open(state, given, Work::Undelete { until, before: Box::new(before), failing: None }, None);
}

impl Dissolution {
    fn begin(failure: Option<String>) -> Self {
        Self { failure, disk: true, lease: true, template: true, ids: true, name: true }
    }
}

/// Moves the open operation on.
fn progress(state: &mut Container, event: &ContainerEvent, given: Given) {
    if let ContainerEvent::InitExited { .. } = event {
        return init_exited(state);
    }
    let ended = state.ended.is_some();
    let (Some(open), Some(record)) = (&mut state.open, &state.record) else { return };
    if let ContainerEvent::StopAskedAgain { parent: Some(parent), .. } = event {
        open.joined.push((given.operation, parent.clone()));
    }
    match (&mut open.work, event) {
        (Work::Undelete { before, failing: None, .. }, ContainerEvent::NetworkSet { .. }) => {
            before.place = Some((record.configuration.network, record.configuration.address));
        }
        (work @ Work::Create, ContainerEvent::CreateFailed { reason }) => {
            *work = Work::Dissolve(Dissolution::begin(Some(reason.clone())));
        }
        (Work::Start { failing }, ContainerEvent::StartFailing { reason })
        | (Work::ChangeLimits { failing, .. }, ContainerEvent::LimitChangeFailing { reason })
        | (Work::Undelete { failing, .. }, ContainerEvent::UndeleteFailing { reason }) => {
            *failing = Some(reason.clone());
        }
        (Work::Stop(stopping), ContainerEvent::StopSignalled) => stopping.phase = StopPhase::Waiting,
        (Work::Stop(stopping), ContainerEvent::StopAskedAgain { deadline, .. }) => stopping.hurry(*deadline),
        (Work::Stop(stopping), ContainerEvent::GraceExpired { why }) => {
            stopping.phase = StopPhase::Clearing;
            stopping.reason = if ended { stopping.reason } else { StopReason::Killed { why: *why } };
        }
        (work @ Work::Stop(_), ContainerEvent::ContainerHalted { delay, .. }) => {
            let nothing_to_wait_for = *delay == Span::default();
            *work = if nothing_to_wait_for {
                Work::Start { failing: None }
            } else {
                Work::Wait { until: given.at.after(*delay) }
            };
        }
        (work @ Work::Wait { .. }, ContainerEvent::RestartDue) => *work = Work::Start { failing: None },
        (Work::Bury { remains, .. }, ContainerEvent::RemainsCleared) => *remains = false,
        (Work::Dissolve(left), ContainerEvent::DiskRemoved) => left.disk = false,
        (Work::Dissolve(left), ContainerEvent::AddressReleased) => left.lease = false,
        (Work::Dissolve(left), ContainerEvent::TemplateReleased) => left.template = false,
        (Work::Dissolve(left), ContainerEvent::IdRangeReleased) => left.ids = false,
        (Work::Dissolve(left), ContainerEvent::NameReleased) => left.name = false,
        _ => {}
    }
}

/// An init that ended is cleared away: by the stop that waited for it, or by itself.
fn init_exited(state: &mut Container) {
    if let Some(Open { work: Work::Stop(stopping), .. }) = &mut state.open {
        stopping.phase = StopPhase::Clearing;
    }
}

/// Takes note of an end. A container that ran well for a while has not failed in a row.
fn ended(state: &mut Container, exit: Exit, given: Given) {
    if state.started.is_some_and(|started| given.at.since(started) >= super::GOOD_RUN) {
        state.restarts = 0;
    }
    state.ended = Some(exit);
    let was_told = state.told_to_end.is_some_and(|told| given.at.since(told) < super::OBEDIENCE);
    if state.open.is_none() {
        let policy = state.record.as_ref().map(|record| record.configuration.restart).unwrap_or_default();
        let work = Work::Stop(Stopping {
            deadline: given.at,
            grace: Span::default(),
            phase: StopPhase::Clearing,
            reason: if was_told { StopReason::CalledOff } else { StopReason::Exited },
            again: policy.wants(exit),
        });
        open(state, given, work, None);
    }
}

/// Nothing runs, and nothing is known of a run.
fn rest(state: &mut Container) {
    state.life = Life::Stopped;
    state.short_of_space = false;
    (state.started, state.ended, state.told_to_end) = (None, None, None);
}

fn life(state: &mut Container, event: &ContainerEvent, given: Given) {
    match event {
        ContainerEvent::ContainerCreated
        | ContainerEvent::StartFailed { .. }
        | ContainerEvent::ContainerStopped { .. }
        | ContainerEvent::ContainerInterrupted { .. }
        | ContainerEvent::ContainerUndeleted => {
            rest(state);
            state.restarts = 0;
            state.remains = false;
        }
        ContainerEvent::ContainerHalted { restarts, .. } => {
            rest(state);
            state.restarts = *restarts;
        }
        ContainerEvent::ContainerStarted { init, .. } => {
            (state.ready, state.begun) = (false, true);
            (state.started, state.ended, state.told_to_end) = (Some(given.at), None, None);
            state.life = Life::Running(init.clone());
        }
        ContainerEvent::OperationCalledOff { .. } => {
            state.restarts = 0;
            let starting = state.open.as_ref().is_some_and(|open| matches!(open.work, Work::Start { .. }));
            state.remains |= starting; // it may have got anywhere
            let told = state.open.as_ref().is_some_and(|open| match &open.work {
                Work::Stop(stopping) => stopping.phase != StopPhase::Clearing,
                _ => false,
            });
            state.told_to_end = told.then_some(given.at).or(state.told_to_end);
        }
        ContainerEvent::RemainsCleared => {
            rest(state);
            state.remains = false;
        }
        ContainerEvent::ContainerReady => state.ready = true,
        ContainerEvent::ContainerPaused => {
            if let Life::Running(init) = &state.life {
                state.life = Life::Paused(init.clone());
            }
        }
        ContainerEvent::PauseFailed { .. } => state.short_of_space = false,
        ContainerEvent::ContainerResumed => {
            state.short_of_space = false;
            if let Life::Paused(init) = &state.life {
                state.life = Life::Running(init.clone());
            }
        }
        ContainerEvent::InitExited { exit } => ended(state, *exit, given),
        ContainerEvent::ContainerBuried { until } => {
            state.life = Life::Buried { until: *until, since: given.at };
        }
        // Somebody wanted it back: it lies there as long as at first. Its end is by the clock of now again.
        ContainerEvent::UndeleteFailed { .. } => {
            if let Life::Buried { until, since } = state.life {
                state.life = Life::Buried { until: given.at.after(until.since(since)), since: given.at };
            }
        }
        ContainerEvent::CreateUndone { .. } | ContainerEvent::ContainerPurged => state.life = Life::Purged,
        ContainerEvent::UndoStuck { reason } | ContainerEvent::PurgeStuck { reason } => {
            state.life = Life::Stuck { reason: reason.clone() };
        }
        _ => {}
    }
}

fn record(state: &mut Container, event: &ContainerEvent) {
    let Some(record) = &mut state.record else { return };
    match event {
        ContainerEvent::NameClaimed => record.named = true,
        ContainerEvent::NameReleased => record.named = false,
        ContainerEvent::IdRangeClaimed { base, count } => record.ids = Some(IdRange { base: *base, count: *count }),
        ContainerEvent::IdRangeReleased => record.ids = None,
        ContainerEvent::TemplateClaimed { digest, init } => record.template = Some((digest.clone(), *init)),
        ContainerEvent::TemplateReleased => record.template = None,
        ContainerEvent::AddressClaimed(lease) => record.lease = Some(lease.clone()),
        ContainerEvent::AddressReleased => record.lease = None,
        ContainerEvent::DiskPrepared => record.disk = true,
        ContainerEvent::DiskRemoved => record.disk = false,
        ContainerEvent::DiskGrown { size } => record.configuration.limits.disk = *size,
        ContainerEvent::LimitsSet { limits } => record.configuration.limits = *limits,
        ContainerEvent::ContainerRenamed { name } | ContainerEvent::UndeleteFailed { name, .. } => {
            record.name = name.clone();
        }
        ContainerEvent::AutostartSet { autostart } => record.configuration.autostart = *autostart,
        ContainerEvent::RestartPolicySet { policy } => record.configuration.restart = *policy,
        ContainerEvent::HostNameSet { hostname } => record.configuration.hostname = hostname.clone(),
        ContainerEvent::NetworkSet { network, address } => {
            (record.configuration.network, record.configuration.address) = (*network, *address);
        }
        ContainerEvent::NestingSet { nesting } => record.configuration.nesting = *nesting,
        ContainerEvent::ManagedFilesSet { managed } => record.configuration.managed = managed.clone(),
        ContainerEvent::LabelSet { key, value } => {
            record.configuration.labels.insert(key.clone(), value.clone());
        }
        ContainerEvent::LabelRemoved { key } => {
            record.configuration.labels.remove(key);
        }
        _ => {}
    }
}
