//! Folds facts into the state. Judges nothing.

use super::{Life, Open, Progress, Request, RestoreJob, RollBack, Work};
use crate::domain::Given;
use crate::events::{DomainEvent, Mark, RestoreEvent};

pub(super) fn evolve(state: &mut RestoreJob, event: &RestoreEvent, given: Given) {
    let mut begin = |work| state.open = Some(Open { operation: given.operation, work });
    match event {
        RestoreEvent::RestoreRequested { .. } => begin(Work::Restore),
        RestoreEvent::ConfirmRequested => begin(Work::Confirm { discarded: false }),
        RestoreEvent::RollBackRequested => begin(Work::RollBack(RollBack::default())),
        _ => {}
    }
    if let RestoreEvent::RestoreRequested { id, backup, source, store, target, start } = event {
        let (id, backup, source, store, start) = (*id, *backup, *source, *store, *start);
        state.request = Some(Request { id, backup, source, store, target: target.clone(), start });
    }
    progress(&mut state.progress, event);
    if let Some(Open { work: Work::RollBack(back), .. }) = &mut state.open {
        rolling_back(back, event);
    }
    if *event == RestoreEvent::OldFilesDiscarded
        && let Some(Open { work: Work::Confirm { discarded }, .. }) = &mut state.open
    {
        *discarded = true;
    }
    match event {
        RestoreEvent::RestoreCompleted | RestoreEvent::RestoreCompletedWithExceptions { .. } => {
            state.life = Life::Completed;
        }
        RestoreEvent::RestoreConfirmed => state.life = Life::Confirmed,
        RestoreEvent::RestoreRolledBack | RestoreEvent::RestoreRolledBackWithExceptions { .. } => {
            state.life = Life::RolledBack;
        }
        RestoreEvent::RestoreFailed { .. } | RestoreEvent::RestoreCancelled => state.life = Life::Failed,
        RestoreEvent::RestoreStuck { .. } => state.life = Life::Stuck,
        _ => {}
    }
    if let Mark::Closed { .. } = event.mark() {
        state.open = None;
    }
}

fn progress(progress: &mut Progress, event: &RestoreEvent) {
    // Whatever is told next ends the waiting, but for a wish to call it off.
    progress.waiting = match event {
        RestoreEvent::TargetAsked => true,
        RestoreEvent::RestoreCancelRequested => progress.waiting,
        _ => false,
    };
    match event {
        RestoreEvent::BackupPinned => progress.pinned = true,
        RestoreEvent::TargetCreated => progress.created = true,
        RestoreEvent::TargetStopped => progress.stopped = true,
        RestoreEvent::TargetHeld => progress.held = true,
        RestoreEvent::TargetHeldStill => progress.held_still = true,
        RestoreEvent::FilesRestored { trouble, .. } => {
            (progress.files, progress.exception) = (true, trouble.clone());
        }
        RestoreEvent::RootExchanged => progress.exchanged = true,
        RestoreEvent::RestoreFailing { reason } => progress.failing = Some(reason.clone()),
        RestoreEvent::RestoreCancelRequested => progress.cancelled = true,
        RestoreEvent::FilesRemoved => progress.reverted = true,
        RestoreEvent::FilesLeft { reason } => progress.left = Some(reason.clone()),
        RestoreEvent::TargetUnheld => progress.unheld = true,
        RestoreEvent::TargetRemoved => progress.removed = true,
        RestoreEvent::TargetStarted => {
            (progress.settled, progress.started, progress.left_stopped) = (true, true, false);
        }
        RestoreEvent::TargetSettled => progress.settled = true,
        RestoreEvent::TargetLeftStopped => (progress.settled, progress.left_stopped) = (true, true),
        RestoreEvent::TargetStartFailed { reason } => {
            (progress.settled, progress.start_failed) = (true, true);
            progress.exception = Some(not_started(reason));
        }
        // Nothing starts it now, whoever asks.
        RestoreEvent::TargetStillHeld { reason } => {
            (progress.settled, progress.start_failed) = (true, true);
            progress.exception = Some(still_held(reason));
        }
        _ => {}
    }
}

fn not_started(why: &str) -> String {
    format!("the container could not be started: {why}")
}

/// The sweep of the next start lets it go.
fn still_held(why: &str) -> String {
    format!(
        "the container could not be let go, and nothing starts or deletes it: {why}; when that is mended: systemctl restart \
         berth, and start it if it is to run"
    )
}

fn rolling_back(back: &mut RollBack, event: &RestoreEvent) {
    match event {
        RestoreEvent::RollBackHeld => back.held = true,
        RestoreEvent::TargetStopped => back.stopped = true,
        RestoreEvent::RootReverted => back.reverted = true,
        RestoreEvent::TargetUnheld => back.unheld = true,
        RestoreEvent::TargetStarted | RestoreEvent::TargetSettled => back.settled = true,
        RestoreEvent::TargetLeftStopped => (back.settled, back.left_stopped) = (true, true),
        RestoreEvent::TargetStartFailed { reason } => {
            (back.settled, back.exception) = (true, Some(not_started(reason)));
        }
        RestoreEvent::TargetStillHeld { reason } => {
            (back.settled, back.exception) = (true, Some(still_held(reason)));
        }
        RestoreEvent::RollBackFailing { reason } => back.failing = Some(reason.clone()),
        _ => {}
    }
}
