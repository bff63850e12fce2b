//! The saga of a template: what its open operation owes next, and what reports mean.
//!
//! A release that fails for good is left to the sweep of the directory: the operation closes all the same.

use super::{Life, Open, Record, Template, Work};
use crate::domain::effect::{Ask, Effect, Facts, HostEffect, Outcome, Report, Step};
use crate::events::TemplateEvent;
use crate::types::{Category, StreamName};

const CLAIM_NAME: Step = "claim-name";
const COPY: Step = "copy";
const REMOVE_TREE: Step = "remove-tree";
const RELEASE_NAME: Step = "release-name";
const VERIFY: Step = "verify";

/// Returns what the open operation owes.
pub(super) fn next_effect(state: &Template) -> Option<Effect> {
    let (record, open) = (state.record.as_ref()?, state.open.as_ref()?);
    let host = |step, work| Effect::host(open.operation, step, work);
    let directory = || StreamName::new(Category::Directory, Category::Template);
    let template = record.id;
    match &open.work {
        Work::Import if !record.named => {
            Some(Effect::ask(open.operation, CLAIM_NAME, directory(), Ask::ReserveName(record.name.clone())))
        }
        Work::Import => Some(host(COPY, HostEffect::EnsureTemplate { template, source: record.source.clone() })),
        Work::Undo { removed: false, .. } | Work::Delete { removed: false } => {
            Some(host(REMOVE_TREE, HostEffect::EnsureTemplateGone { template }).undoing())
        }
        Work::Undo { .. } | Work::Delete { .. } => {
            Some(Effect::ask(open.operation, RELEASE_NAME, directory(), Ask::ReleaseName).undoing())
        }
        Work::Verify => verification(state, record, open),
    }
}

fn verification(state: &Template, record: &Record, open: &Open) -> Option<Effect> {
    let Life::Sealed(summary) = &state.life else { return None };
    let work = HostEffect::VerifyTemplate { template: record.id, digest: summary.digest.clone() };
    Some(Effect::host(open.operation, VERIFY, work))
}

/// Says what follows from a report. One that fits no effect owed now is stale: nothing follows.
pub(super) fn decide_report(state: &Template, report: &Report) -> Vec<TemplateEvent> {
    let owed = next_effect(state);
    let (Some(open), Some(true)) = (&state.open, owed.map(|effect| effect.is_reported_by(report))) else {
        return vec![];
    };
    match (report.step, &report.outcome) {
        (RELEASE_NAME, _) => vec![over(&open.work)],
        (CLAIM_NAME, Outcome::Answered(_)) => vec![TemplateEvent::TemplateNameClaimed],
        (COPY, Outcome::Done(Facts::Template(summary))) => vec![TemplateEvent::TemplateSealed(summary.clone())],
        (REMOVE_TREE, Outcome::Done(_)) => vec![TemplateEvent::TemplateTreeRemoved],
        (VERIFY, Outcome::Done(Facts::Drift { paths, count })) => {
            vec![TemplateEvent::TemplateDriftFound { paths: paths.clone(), count: *count }]
        }
        (VERIFY, Outcome::Done(_)) => vec![TemplateEvent::TemplateVerified],
        (_, Outcome::Failed(failure)) => vec![failed(&open.work, failure.reason.clone())],
        (_, Outcome::Refused(refusal)) => vec![failed(&open.work, refusal.message.clone())],
        (_, Outcome::Done(_) | Outcome::Answered(_) | Outcome::Woken) => vec![],
    }
}

fn over(work: &Work) -> TemplateEvent {
    match work {
        Work::Undo { reason: Some(reason), .. } => TemplateEvent::TemplateImportFailed { reason: reason.clone() },
        Work::Undo { reason: None, .. } => TemplateEvent::TemplateImportCancelled,
        Work::Import | Work::Verify | Work::Delete { .. } => TemplateEvent::TemplateDeleted,
    }
}

fn failed(work: &Work, reason: String) -> TemplateEvent {
    match work {
        Work::Import => TemplateEvent::TemplateImportFailing { reason },
        Work::Undo { .. } => TemplateEvent::TemplateImportStuck { reason },
        Work::Verify => TemplateEvent::TemplateVerifyFailed { reason },
        Work::Delete { .. } => TemplateEvent::TemplateDeleteStuck { reason },
    }
}
