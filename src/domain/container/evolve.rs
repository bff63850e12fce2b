//! Folds facts into the state. Judges nothing.

use super::{Container, Dissolution, Life, Open, Record, StopPhase, Stopping, Work};
use crate::domain::{Given, Notice};
use crate::events::{Closing, ContainerEvent, DomainEvent, Exit, Mark, StopReason};
use crate::types::{IdRange, StreamName};

pub(super) fn evolve(state: &mut Container, event: &ContainerEvent, given: Given) {
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
        ContainerEvent::StartRequested { parent } => open(state, given, Work::Start { failing: None }, parent.as_ref()),
        ContainerEvent::StopRequested { deadline, parent } => {
            open(state, given, stopping(*deadline, false), parent.as_ref());
        }
        ContainerEvent::RestartRequested { deadline } => open(state, given, stopping(*deadline, true), None),
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
        ContainerEvent::DeleteRequested { until } => open(state, given, Work::Bury { until: *until }, None),
        ContainerEvent::UndeleteRequested { name } => undelete(state, given, name),
        ContainerEvent::PurgeRequested => open(state, given, Work::Dissolve(Dissolution::begin(None)), None),
        ContainerEvent::HoldPlaced { operation, kind } => {
            state.holds.insert(*operation, *kind);
        }
        ContainerEvent::HoldReleased { operation } => {
            state.holds.remove(operation);
        }
        ContainerEvent::ParentNotified if !state.notices.is_empty() => {
            state.notices.remove(0);
        }
        _ => {
            progress(state, event);
            life(state, event, given);
            record(state, event);
        }
    }
    if let Mark::Closed { outcome } = event.mark() {
        close(state, outcome);
    }
}

fn open(state: &mut Container, given: Given, work: Work, parent: Option<&StreamName>) {
    state.open = Some(Open { operation: given.operation, parent: parent.cloned(), work });
}

fn close(state: &mut Container, outcome: Closing) {
    let (Some(open), Some(record)) = (state.open.take(), &state.record) else { return };
    state.notices.extend(open.parent.map(|parent| Notice {
        parent,
        child: Container::holder_name(record.id),
        operation: open.operation,
        outcome,
    }));
}

fn stopping(deadline: crate::types::Timestamp, again: bool) -> Work {
    Work::Stop(Stopping { deadline, phase: StopPhase::Signalling, exit: None, reason: StopReason::Requested, again })
}

fn undelete(state: &mut Container, given: Given, name: &crate::types::Name) {
    let until = if let Life::Buried { until } = state.life { until } else { given.at };
    if let Some(record) = &mut state.record {
        record.name = name.clone();
    }
    open(state, given, Work::Undelete { until, failing: None }, None);
}

impl Dissolution {
    fn begin(failure: Option<String>) -> Self {
        Self { failure, disk: true, lease: true, template: true, ids: true, name: true }
    }
}

/// Moves the open operation on.
fn progress(state: &mut Container, event: &ContainerEvent) {
    if let ContainerEvent::InitExited { exit } = event {
        return init_exited(state, *exit);
    }
    let Some(open) = &mut state.open else { return };
    match (&mut open.work, event) {
        (work @ Work::Create, ContainerEvent::CreateFailed { reason }) => {
            *work = Work::Dissolve(Dissolution::begin(Some(reason.clone())));
        }
        (Work::Start { failing }, ContainerEvent::StartFailing { reason })
        | (Work::ChangeLimits { failing, .. }, ContainerEvent::LimitChangeFailing { reason })
        | (Work::Undelete { failing, .. }, ContainerEvent::UndeleteFailing { reason }) => {
            *failing = Some(reason.clone());
        }
        (Work::Stop(stopping), ContainerEvent::StopSignalled) => stopping.phase = StopPhase::Waiting,
        (Work::Stop(stopping), ContainerEvent::GraceExpired) => {
            stopping.phase = StopPhase::Clearing;
            stopping.reason = StopReason::Killed;
        }
        (work @ Work::Stop(_), ContainerEvent::ContainerHalted { .. }) => *work = Work::Start { failing: None },
        (Work::Dissolve(left), ContainerEvent::DiskRemoved) => left.disk = false,
        (Work::Dissolve(left), ContainerEvent::AddressReleased) => left.lease = false,
        (Work::Dissolve(left), ContainerEvent::TemplateReleased) => left.template = false,
        (Work::Dissolve(left), ContainerEvent::IdRangeReleased) => left.ids = false,
        (Work::Dissolve(left), ContainerEvent::NameReleased) => left.name = false,
        _ => {}
    }
}

/// An init that ended is cleared away: by the stop that waited for it, or by itself. A reboot starts it again.
fn init_exited(state: &mut Container, exit: Exit) {
    if let Some(Open { work: Work::Stop(stopping), .. }) = &mut state.open {
        stopping.phase = StopPhase::Clearing;
        stopping.exit = Some(exit);
    }
}

fn life(state: &mut Container, event: &ContainerEvent, given: Given) {
    match event {
        ContainerEvent::ContainerCreated
        | ContainerEvent::StartFailed { .. }
        | ContainerEvent::ContainerStopped { .. }
        | ContainerEvent::ContainerHalted { .. }
        | ContainerEvent::ContainerInterrupted { .. }
        | ContainerEvent::ContainerUndeleted => {
            state.short_of_space = false;
            state.life = Life::Stopped;
        }
        ContainerEvent::ContainerStarted { init, .. } => {
            state.ready = false;
            state.life = Life::Running(init.clone());
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
        ContainerEvent::InitExited { exit } if state.open.is_none() => {
            let work = Work::Stop(Stopping {
                deadline: given.at,
                phase: StopPhase::Clearing,
                exit: Some(*exit),
                reason: StopReason::Exited,
                again: *exit == Exit::Reboot,
            });
            open(state, given, work, None);
        }
        ContainerEvent::ContainerBuried { until } => state.life = Life::Buried { until: *until },
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
        ContainerEvent::ContainerRenamed { name } => record.name = name.clone(),
        ContainerEvent::AutostartSet { autostart } => record.configuration.autostart = *autostart,
        ContainerEvent::LabelSet { key, value } => {
            record.configuration.labels.insert(key.clone(), value.clone());
        }
        ContainerEvent::LabelRemoved { key } => {
            record.configuration.labels.remove(key);
        }
        _ => {}
    }
}
