//! The saga of a restore: what the open operation owes next, and what reports and ends mean.

use super::{Life, Open, Progress, Request, RestoreJob, RollBack, Work};
use crate::domain::effect::{Action, Answer, Ask, Due, Effect, Facts, HostEffect, Outcome, Report, Step};
use crate::domain::{Refusal, backup_group};
use crate::events::{Closing, HoldKind, RestoreEvent, RestoreTarget};
use crate::types::{Category, ContainerId, OperationId, StreamName};

const PIN: Step = "pin";
const CREATE: Step = "create";
const HOLD: Step = "hold";
const RESTORE: Step = "restore";
const HOLD_STILL: Step = "hold-still";
const STOP: Step = "stop";
const EXTRACT: Step = "extract";
const EXCHANGE: Step = "exchange";
const REVERT: Step = "revert";
const UNHOLD: Step = "unhold";
const REMOVE: Step = "remove";
const CARRY_ON: Step = "carry-on";
const START: Step = "start";
const UNPIN: Step = "unpin";
const DISCARD_OLD: Step = "discard-old";
const RELEASE_OLD: Step = "release-old";
const HOLD_AGAIN: Step = "hold-again";
const STOP_AGAIN: Step = "stop-again";
const PUT_BACK: Step = "put-back";
const UNHOLD_AGAIN: Step = "unhold-again";
const REMOVE_AGAIN: Step = "remove-again";
const CARRY_ON_AGAIN: Step = "carry-on-again";
const CLOSE: Step = "close";

/// What is not as it was with a container that was paused.
const LEFT_STOPPED: &str = "the container was paused and is stopped now; start it when it is wanted";

/// The refusals of a hold that say that no files of the run are left.
const GONE: &[&str] = &["container.not-found", "container.purged"];

/// Returns what the state owes; nothing while a container works on what it was asked.
pub(super) fn next_effect(state: &RestoreJob) -> Option<Effect> {
    if state.progress.waiting { None } else { owed(state) }
}

fn owed(state: &RestoreJob) -> Option<Effect> {
    let (open, request) = (state.open.as_ref()?, state.request.as_ref()?);
    let steps = Steps { operation: open.operation, request };
    let progress = &state.progress;
    match (&open.work, request.container()) {
        (Work::Restore, None) => Some(steps.directory(progress)),
        (Work::Restore, Some(container)) if progress.is_turning_back(&request.target) => {
            Some(steps.back(progress, container))
        }
        (Work::Restore, Some(container)) => Some(steps.forward(progress, container)),
        (Work::Confirm { discarded: true }, Some(container)) => {
            Some(steps.ask(RELEASE_OLD, container, Ask::ReleaseOldFiles).undoing())
        }
        (Work::Confirm { discarded: false }, Some(container)) => {
            let work = HostEffect::DiscardOldRoot { run: request.id, container };
            Some(Effect::host(open.operation, DISCARD_OLD, work))
        }
        (Work::RollBack(back), Some(container)) => Some(steps.roll_back(back, container)),
        (Work::Confirm { .. } | Work::RollBack(_), None) => None,
    }
}

/// Makes the effects of one operation.
struct Steps<'a> {
    operation: OperationId,
    request: &'a Request,
}

impl Steps<'_> {
    fn directory(&self, progress: &Progress) -> Effect {
        let RestoreTarget::Directory { paths, into, owner, privileges } = &self.request.target else {
            return self.unpin();
        };
        if progress.failing.is_some() || progress.cancelled || progress.files {
            return self.unpin();
        }
        if !progress.pinned {
            return self.pin();
        }
        let Request { id: run, backup, store, .. } = *self.request;
        let (paths, into, owner, privileges) = (paths.clone(), into.clone(), *owner, *privileges);
        let work = HostEffect::ExtractFiles { run, backup, store, paths, into, owner, privileges };
        Effect::host(self.operation, EXTRACT, work)
    }

    fn forward(&self, progress: &Progress, container: ContainerId) -> Effect {
        let Request { id: run, backup, store, .. } = *self.request;
        if !progress.pinned {
            return self.pin();
        }
        if let RestoreTarget::New { name, configuration, .. } = &self.request.target
            && !progress.created
        {
            let (name, configuration) = (name.clone(), configuration.clone());
            return self.ask(CREATE, container, Ask::CreateContainer { id: container, name, configuration });
        }
        if !progress.held {
            // A container without its files yet is not to start at all.
            let kind = if self.made_for_it() { HoldKind::Exchanging } else { HoldKind::Writing };
            return self.ask(HOLD, container, Ask::Hold(kind));
        }
        if !progress.files {
            return self.host(RESTORE, HostEffect::RestoreFiles { run, backup, store, container });
        }
        if !progress.held_still {
            return self.ask(HOLD_STILL, container, Ask::Hold(HoldKind::Exchanging));
        }
        if !progress.stopped {
            return self.ask(STOP, container, Ask::StopContainer);
        }
        if !progress.exchanged {
            return self.host(EXCHANGE, HostEffect::ExchangeRoot { run, container });
        }
        if !progress.settled {
            return self.carry_on(CARRY_ON, container, true);
        }
        if self.request.start && !progress.started && !progress.start_failed {
            return self.ask(START, container, Ask::StartContainer);
        }
        self.unpin()
    }

    fn back(&self, progress: &Progress, container: ContainerId) -> Effect {
        if !progress.pinned {
            return self.unpin();
        }
        if progress.held && !progress.reverted && progress.left.is_none() {
            let work = HostEffect::RevertRoot { run: self.request.id, container };
            return self.host(REVERT, work).undoing();
        }
        // Whether it was told to stand still is known only if its answer came before the way back began.
        if progress.files && progress.left.is_none() && !self.made_for_it() {
            return if progress.settled { self.unpin() } else { self.carry_on(CARRY_ON, container, false) };
        }
        if !progress.unheld {
            return self.ask(UNHOLD, container, Ask::Unhold).undoing();
        }
        if self.made_for_it() && !progress.removed {
            return self.ask(REMOVE, container, Ask::RemoveContainer).undoing();
        }
        self.unpin()
    }

    fn roll_back(&self, back: &RollBack, container: ContainerId) -> Effect {
        if back.is_whole() || back.failing.is_some() {
            return self.settle(back, container);
        }
        if !back.held {
            return self.ask(HOLD_AGAIN, container, Ask::Hold(HoldKind::Exchanging));
        }
        if !back.stopped {
            return self.ask(STOP_AGAIN, container, Ask::StopContainer);
        }
        self.host(PUT_BACK, HostEffect::RevertRoot { run: self.request.id, container })
    }

    /// What was made for the restore goes, too, and what was there before carries on.
    fn settle(&self, back: &RollBack, container: ContainerId) -> Effect {
        let goes = back.is_whole() && self.made_for_it();
        if back.settled {
            return Effect::wake(self.operation, CLOSE, Due::Now);
        }
        if back.held && !goes {
            return self.carry_on(CARRY_ON_AGAIN, container, !back.is_whole());
        }
        if !back.unheld {
            return self.ask(UNHOLD_AGAIN, container, Ask::Unhold).undoing();
        }
        self.ask(REMOVE_AGAIN, container, Ask::RemoveContainer).undoing()
    }

    /// It gives back what it held, too, but for files that are kept.
    fn carry_on(&self, step: Step, container: ContainerId, keeping: bool) -> Effect {
        self.ask(step, container, Ask::CarryOn { holder: self.operation, keeping }).undoing()
    }

    fn made_for_it(&self) -> bool {
        matches!(self.request.target, RestoreTarget::New { .. })
    }

    fn pin(&self) -> Effect {
        Effect::ask(self.operation, PIN, self.group(), Ask::PinBackup(self.request.backup))
    }

    fn unpin(&self) -> Effect {
        Effect::ask(self.operation, UNPIN, self.group(), Ask::UnpinBackup(self.request.backup)).undoing()
    }

    fn group(&self) -> StreamName {
        backup_group::stream(self.request.store, self.request.source)
    }

    fn host(&self, step: Step, work: HostEffect) -> Effect {
        Effect::host(self.operation, step, work)
    }

    fn ask(&self, step: Step, container: ContainerId, wish: Ask) -> Effect {
        Effect::ask(self.operation, step, StreamName::new(Category::Container, container), wish)
    }
}

/// Says what follows when a container tells the end of what it was asked. It may come before the answer to the ask, and
/// again when the run has gone on: only the end of what is owed now counts.
pub(super) fn decide_end(
    state: &RestoreJob,
    child: &StreamName,
    operation: OperationId,
    outcome: &Closing,
) -> Vec<RestoreEvent> {
    let container = state.request.as_ref().and_then(Request::container);
    let ours = container.is_some_and(|id| StreamName::new(Category::Container, id) == *child);
    let owed = owed(state).filter(|owed| ours && asked_operation(owed) == Some(operation));
    let failure = if outcome.is_success() { None } else { Some(outcome.words()) };
    owed.map(|owed| ended(owed.step, failure)).unwrap_or_default()
}

/// Returns the operation that the container works under when it does what this effect asks.
fn asked_operation(effect: &Effect) -> Option<OperationId> {
    match &effect.action {
        Action::Ask(_, ask) => Some(ask.operation(effect.operation, effect.step)),
        Action::Host(_) | Action::Wake(_) => None,
    }
}

fn ended(step: Step, failure: Option<String>) -> Vec<RestoreEvent> {
    match (step, failure) {
        (CREATE, None) => vec![RestoreEvent::TargetCreated],
        (STOP | STOP_AGAIN, None) => vec![RestoreEvent::TargetStopped],
        (STOP_AGAIN, Some(reason)) => vec![RestoreEvent::RollBackFailing { reason }],
        (CARRY_ON | START | CARRY_ON_AGAIN, None) => vec![RestoreEvent::TargetStarted],
        (CARRY_ON | START | CARRY_ON_AGAIN, Some(reason)) => vec![RestoreEvent::TargetStartFailed { reason }],
        (CREATE | STOP, Some(reason)) => vec![RestoreEvent::RestoreFailing { reason }],
        _ => vec![],
    }
}

/// Says what follows from a report. One that fits no effect owed now is stale: nothing follows.
pub(super) fn decide_report(state: &RestoreJob, report: &Report) -> Vec<RestoreEvent> {
    let awaited = next_effect(state).is_some_and(|owed| owed.is_reported_by(report));
    let Some(open) = state.open.as_ref().filter(|_| awaited) else { return vec![] };
    match (report.step, &report.outcome) {
        (UNPIN, Outcome::Failed(_)) => vec![over(state)], // left to the sweep of the group
        (UNPIN, _) => vec![RestoreEvent::BackupUnpinned, over(state)],
        (RELEASE_OLD, _) => vec![RestoreEvent::RestoreConfirmed], // what the container does not hear is left to the sweep
        (UNHOLD_AGAIN, outcome) => unheld_again(state, open, outcome),
        (HOLD_AGAIN, Outcome::Refused(refusal)) if state.life == Life::Stuck && is_gone(refusal) => {
            vec![RestoreEvent::RestoreRolledBack]
        }
        (UNHOLD, Outcome::Refused(_)) => vec![RestoreEvent::TargetUnheld], // it knows of no hold
        (CARRY_ON | CARRY_ON_AGAIN, Outcome::Answered(Answer::AlreadySo)) => vec![RestoreEvent::TargetSettled],
        (CARRY_ON | CARRY_ON_AGAIN, Outcome::Answered(Answer::LeftStopped)) => vec![RestoreEvent::TargetLeftStopped],
        (CREATE | STOP | START | STOP_AGAIN, Outcome::Answered(Answer::AlreadySo)) => ended(report.step, None),
        (CREATE | STOP | CARRY_ON | START | STOP_AGAIN | CARRY_ON_AGAIN, Outcome::Answered(_)) => {
            vec![RestoreEvent::TargetAsked]
        }
        (CREATE, Outcome::Refused(refusal)) => {
            // Nothing was made, so nothing of that id is ours to remove.
            vec![RestoreEvent::TargetRemoved, RestoreEvent::RestoreFailing { reason: refusal.message.clone() }]
        }
        (step, Outcome::Answered(answer)) => answered(step, answer),
        (step, Outcome::Done(facts)) => done(step, facts),
        (step, Outcome::Refused(refusal)) => failed(state, step, refusal.message.clone()),
        (step, Outcome::Failed(failure)) => failed(state, step, failure.reason.clone()),
        (_, Outcome::Woken) => vec![rolled_back(state)],
    }
}

fn answered(step: Step, answer: &Answer) -> Vec<RestoreEvent> {
    match (step, answer) {
        (PIN, _) => vec![RestoreEvent::BackupPinned],
        (HOLD, Answer::Held { .. }) => vec![RestoreEvent::TargetHeld],
        (HOLD_STILL, Answer::Held { .. }) => vec![RestoreEvent::TargetHeldStill],
        (HOLD_AGAIN, Answer::Held { .. }) => vec![RestoreEvent::RollBackHeld],
        (UNHOLD, _) => vec![RestoreEvent::TargetUnheld],
        (REMOVE, _) => vec![RestoreEvent::TargetRemoved],
        (REMOVE_AGAIN, _) => vec![RestoreEvent::TargetRemoved, RestoreEvent::RestoreRolledBack],
        _ => vec![],
    }
}

fn done(step: Step, facts: &Facts) -> Vec<RestoreEvent> {
    match (step, facts) {
        (RESTORE | EXTRACT, Facts::Restored { entries, written, left_out, trouble }) => {
            let (entries, written, left_out, trouble) = (*entries, *written, *left_out, trouble.clone());
            vec![RestoreEvent::FilesRestored { entries, written, left_out, trouble }]
        }
        (EXCHANGE, _) => vec![RestoreEvent::RootExchanged],
        (REVERT, _) => vec![RestoreEvent::FilesRemoved],
        (PUT_BACK, _) => vec![RestoreEvent::RootReverted],
        (DISCARD_OLD, _) => vec![RestoreEvent::OldFilesDiscarded],
        _ => vec![],
    }
}

fn failed(state: &RestoreJob, step: Step, reason: String) -> Vec<RestoreEvent> {
    vec![match step {
        CARRY_ON | CARRY_ON_AGAIN => RestoreEvent::TargetStillHeld { reason },
        START => RestoreEvent::TargetStartFailed { reason },
        REVERT => RestoreEvent::FilesLeft { reason },
        UNHOLD | REMOVE => stuck(state, &reason),
        REMOVE_AGAIN => RestoreEvent::RollBackFailed { reason },
        DISCARD_OLD => RestoreEvent::ConfirmFailed { reason },
        HOLD_AGAIN | STOP_AGAIN | PUT_BACK => RestoreEvent::RollBackFailing { reason },
        _ => RestoreEvent::RestoreFailing { reason },
    }]
}

/// Names the command that gets out of it.
fn stuck(state: &RestoreJob, reason: &str) -> RestoreEvent {
    let run = state.request.as_ref().map(|request| request.id.short()).unwrap_or_default();
    RestoreEvent::RestoreStuck { reason: format!("{reason}; when that is mended: berth backup roll-back {run}") }
}

fn is_gone(refusal: &Refusal) -> bool {
    GONE.contains(&refusal.code.as_str())
}

/// This is the end, unless what was made for the restore is to go, or what was held is to carry on.
fn unheld_again(state: &RestoreJob, open: &Open, outcome: &Outcome) -> Vec<RestoreEvent> {
    // A hold that cannot be let go is left to the sweep of the container.
    if let Outcome::Failed(_) = outcome {
        return vec![rolled_back(state)];
    }
    let Work::RollBack(back) = &open.work else { return vec![] };
    if back.held {
        return vec![RestoreEvent::TargetUnheld];
    }
    vec![RestoreEvent::TargetUnheld, rolled_back(state)]
}

fn rolled_back(state: &RestoreJob) -> RestoreEvent {
    let Some(Open { work: Work::RollBack(back), .. }) = &state.open else { return RestoreEvent::RestoreRolledBack };
    match (back.failing.clone(), exception(back.exception.as_ref(), back.left_stopped)) {
        (None, None) => RestoreEvent::RestoreRolledBack,
        (None, Some(reason)) => RestoreEvent::RestoreRolledBackWithExceptions { reason },
        (Some(reason), None) => RestoreEvent::RollBackFailed { reason },
        (Some(reason), Some(too)) => RestoreEvent::RollBackFailed { reason: format!("{reason}; {too}") },
    }
}

/// Says what is not as it was. A start that failed says more than that there was none.
fn exception(told: Option<&String>, left_stopped: bool) -> Option<String> {
    told.cloned().or_else(|| left_stopped.then(|| LEFT_STOPPED.to_owned()))
}

fn over(state: &RestoreJob) -> RestoreEvent {
    let progress = &state.progress;
    if let Some(reason) = progress.left.as_ref().filter(|_| !progress.removed) {
        return stuck(state, reason);
    }
    match (&progress.failing, exception(progress.exception.as_ref(), progress.left_stopped)) {
        (_, None) if progress.cancelled => RestoreEvent::RestoreCancelled,
        (None, Some(reason)) if progress.cancelled => {
            RestoreEvent::RestoreFailed { reason: format!("cancelled; {reason}") }
        }
        (Some(reason), None) => RestoreEvent::RestoreFailed { reason: reason.clone() },
        (Some(reason), Some(too)) => RestoreEvent::RestoreFailed { reason: format!("{reason}; {too}") },
        (None, Some(reason)) => RestoreEvent::RestoreCompletedWithExceptions { reason },
        (None, None) => RestoreEvent::RestoreCompleted,
    }
}
