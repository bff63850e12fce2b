//! The saga of a backup: what the run owes next, and what reports mean.
//!
//! Releases cannot be refused: whoever does not know the claim has nothing to release. One that fails for good is left to
//! the sweep of its owner, and the run closes with the outcome it has.

use super::{BackupJob, Failing, Held, Request};
use crate::domain::effect::{
    Answer, Ask, Effect, Facts, FailureKind, HostEffect, Outcome, Report, SealSpecification, Step,
};
use crate::domain::notice::NOTIFY_PARENT;
use crate::domain::{Refusal, backup_group};
use crate::events::{BackupJobEvent, BackupSummary, HoldKind};
use crate::types::{BackupId, Category, OperationId, StreamName};

const HOLD: Step = "hold";
const OPEN_STORE: Step = "open-store";
const ADMIT: Step = "admit";
const LIVE_PASS: Step = "live-pass";
const FROZEN_PASS: Step = "frozen-pass";
const SEAL: Step = "seal";
const COMMIT: Step = "commit";
const DISCARD: Step = "discard";
const WITHDRAW: Step = "withdraw";
const CLOSE_STORE: Step = "close-store";
const UNHOLD: Step = "unhold";

/// The refusals of a hold that say that there is nothing to back up.
const GONE: &[&str] = &["container.not-found", "container.deleted", "container.purged"];

/// Returns what the state owes: first the news to whoever waits, then the run.
pub(super) fn next_effect(state: &BackupJob) -> Option<Effect> {
    if let Some(notice) = state.notices.first() {
        return Some(notice.effect());
    }
    let (operation, request) = (state.open?, state.request.as_ref()?);
    Some(match (&state.failing, &state.sealed) {
        (None, None) => reading(state, operation, request),
        (None, Some(summary)) => keeping(state, operation, request, summary),
        (Some(failing), _) => turning_back(state, operation, request, failing),
    })
}

fn reading(state: &BackupJob, operation: OperationId, request: &Request) -> Effect {
    let (run, container, store, mode) = (request.id, request.container, request.store, request.mode);
    let Some(held) = &state.held else {
        return Effect::ask(operation, HOLD, container_stream(request), Ask::Hold(HoldKind::Reading));
    };
    if !state.store_open {
        return Effect::ask(operation, OPEN_STORE, store_stream(request), Ask::OpenWriter);
    }
    if !state.admitted {
        return Effect::ask(operation, ADMIT, backup_group::stream(store, container), Ask::AdmitBackup);
    }
    let base = state.base;
    if !state.live {
        return Effect::host(operation, LIVE_PASS, HostEffect::LivePass { run, container, store, mode, base });
    }
    if !state.frozen {
        return Effect::host(operation, FROZEN_PASS, HostEffect::FrozenPass { run, container });
    }
    Effect::host(operation, SEAL, HostEffect::SealBackup(Box::new(specification(request, held, base))))
}

fn specification(request: &Request, held: &Held, base: Option<BackupId>) -> SealSpecification {
    SealSpecification {
        run: request.id,
        backup: request.backup,
        container: request.container,
        container_name: held.name.clone(),
        configuration: held.configuration.clone(),
        template_digest: held.template_digest.clone(),
        store: request.store,
        mode: request.mode,
        base,
        schedule: request.schedule.clone(),
    }
}

fn keeping(state: &BackupJob, operation: OperationId, request: &Request, summary: &BackupSummary) -> Effect {
    if !state.committed {
        let group = backup_group::stream(request.store, request.container);
        let commit = Ask::CommitBackup(Box::new(summary.clone()));
        return Effect::ask(operation, COMMIT, group, commit).undoing(); // tried as long as a way back
    }
    if state.store_open { close_store(operation, request) } else { unhold(operation, request) }
}

/// Every claim is released, answered or not: an answer may have been lost in a crash.
fn turning_back(state: &BackupJob, operation: OperationId, request: &Request, failing: &Failing) -> Effect {
    let sealed = state.sealed.is_some();
    if !failing.discarded && !sealed {
        let work = HostEffect::DiscardBackup { run: request.id, container: request.container };
        return Effect::host(operation, DISCARD, work).undoing();
    }
    if !failing.withdrawn && !sealed {
        let group = backup_group::stream(request.store, request.container);
        return Effect::ask(operation, WITHDRAW, group, Ask::WithdrawBackup).undoing();
    }
    if failing.closed { unhold(operation, request) } else { close_store(operation, request) }
}

fn close_store(operation: OperationId, request: &Request) -> Effect {
    Effect::ask(operation, CLOSE_STORE, store_stream(request), Ask::CloseWriter).undoing()
}

fn unhold(operation: OperationId, request: &Request) -> Effect {
    Effect::ask(operation, UNHOLD, container_stream(request), Ask::Unhold).undoing()
}

fn container_stream(request: &Request) -> StreamName {
    StreamName::new(Category::Container, request.container)
}

fn store_stream(request: &Request) -> StreamName {
    StreamName::new(Category::Store, request.store)
}

/// Says what follows from a report. One that fits no effect owed now is stale: nothing follows.
pub(super) fn decide_report(state: &BackupJob, report: &Report) -> Vec<BackupJobEvent> {
    if !next_effect(state).is_some_and(|owed| owed.is_reported_by(report)) {
        return vec![];
    }
    match (report.step, &report.outcome) {
        (NOTIFY_PARENT, _) => vec![BackupJobEvent::ParentNotified],
        (WITHDRAW | CLOSE_STORE | UNHOLD, outcome) => released(state, report.step, outcome),
        (HOLD, Outcome::Refused(refusal)) => not_held(refusal),
        (step, Outcome::Answered(answer)) => answered(step, answer),
        (step, Outcome::Done(facts)) => done(step, facts),
        (_, Outcome::Failed(failure)) if failure.kind == FailureKind::Cancelled && state.failing.is_none() => {
            failed(state, report.step, "cancelled")
        }
        (step, Outcome::Failed(failure)) => failed(state, step, &failure.reason),
        (step, Outcome::Refused(refusal)) => failed(state, step, &refusal.message),
        (_, Outcome::Woken) => vec![],
    }
}

/// A container that is not there is nothing to back up; a busy one should have been backed up and is not.
fn not_held(refusal: &Refusal) -> Vec<BackupJobEvent> {
    let reason = refusal.message.clone();
    if GONE.contains(&refusal.code.as_str()) {
        vec![BackupJobEvent::BackupSkipped { reason }]
    } else {
        vec![BackupJobEvent::BackupFailing { reason }]
    }
}

fn answered(step: Step, answer: &Answer) -> Vec<BackupJobEvent> {
    match (step, answer) {
        (HOLD, Answer::Held { name, configuration, template_digest, .. }) => vec![BackupJobEvent::ContainerHeld {
            name: name.clone(),
            configuration: configuration.clone(),
            template_digest: template_digest.clone(),
        }],
        (OPEN_STORE, _) => vec![BackupJobEvent::StoreOpened],
        (ADMIT, Answer::Base(base)) => vec![BackupJobEvent::GroupAdmitted { base: *base }],
        (COMMIT, _) => vec![BackupJobEvent::GroupCommitted],
        _ => vec![],
    }
}

fn done(step: Step, facts: &Facts) -> Vec<BackupJobEvent> {
    match (step, facts) {
        (LIVE_PASS, Facts::LivePass { entries, read }) => {
            vec![BackupJobEvent::LivePassCompleted { entries: *entries, read: *read }]
        }
        (FROZEN_PASS, Facts::FrozenPass { frozen }) => vec![BackupJobEvent::FrozenPassCompleted { frozen: *frozen }],
        (SEAL, Facts::Sealed(summary)) => vec![BackupJobEvent::BackupSealed((**summary).clone())],
        (DISCARD, _) => vec![BackupJobEvent::BackupDiscarded],
        _ => vec![],
    }
}

fn failed(state: &BackupJob, step: Step, reason: &str) -> Vec<BackupJobEvent> {
    let reason = reason.to_owned();
    match (step, &state.failing) {
        (_, None) => vec![BackupJobEvent::BackupFailing { reason }],
        (_, Some(_)) => vec![BackupJobEvent::BackupStuck { reason }],
    }
}

fn released(state: &BackupJob, step: Step, outcome: &Outcome) -> Vec<BackupJobEvent> {
    match (step, outcome) {
        (_, Outcome::Failed(_)) => vec![over(state)],
        (WITHDRAW, _) => vec![BackupJobEvent::GroupWithdrawn],
        (CLOSE_STORE, _) => vec![BackupJobEvent::StoreClosed],
        _ => vec![BackupJobEvent::ContainerUnheld, over(state)],
    }
}

fn over(state: &BackupJob) -> BackupJobEvent {
    match (&state.failing, &state.sealed) {
        (Some(Failing { reason, .. }), Some(_)) => {
            let reason = reason.as_deref().unwrap_or("cancelled");
            BackupJobEvent::BackupStuck { reason: format!("sealed, but not recorded in its group: {reason}") }
        }
        (Some(Failing { reason: Some(reason), .. }), None) => BackupJobEvent::BackupFailed { reason: reason.clone() },
        (Some(Failing { reason: None, .. }), None) => BackupJobEvent::BackupCancelled,
        (None, Some(summary)) if summary.unreadable > 0 => {
            BackupJobEvent::BackupCompletedWithExceptions { unreadable: summary.unreadable }
        }
        (None, _) => BackupJobEvent::BackupCompleted,
    }
}
