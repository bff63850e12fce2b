//! The saga of a network: what its open operation owes next, and what reports mean.
//!
//! A release that fails for good is left to the sweep of the directory: the operation closes all the same.

use super::{Network, Record, Work};
use crate::domain::effect::{Ask, Effect, Facts, HostEffect, Outcome, Report, Step};
use crate::events::NetworkEvent;
use crate::types::{Category, StreamName};

const CLAIM_NAME: Step = "claim-name";
const MAKE: Step = "make";
const REMOVE: Step = "remove";
const RELEASE_NAME: Step = "release-name";

/// Returns what the open operation owes.
pub(super) fn next_effect(state: &Network) -> Option<Effect> {
    let (record, open) = (state.record.as_ref()?, state.open.as_ref()?);
    let operation = open.operation;
    let directory = || StreamName::new(Category::Directory, Category::Network);
    Some(match &open.work {
        Work::Create if !record.named => {
            Effect::ask(operation, CLAIM_NAME, directory(), Ask::ReserveName(record.name.clone()))
        }
        Work::Create | Work::Restore { .. } => Effect::host(operation, MAKE, make(record)),
        Work::Undo { removed: false, .. } | Work::Delete { removed: false } => {
            let work = HostEffect::EnsureNetworkGone { network: record.id, bridge: record.bridge.clone() };
            Effect::host(operation, REMOVE, work).undoing()
        }
        Work::Undo { .. } | Work::Delete { .. } => {
            Effect::ask(operation, RELEASE_NAME, directory(), Ask::ReleaseName).undoing()
        }
    })
}

fn make(record: &Record) -> HostEffect {
    HostEffect::EnsureNetwork { network: record.id, bridge: record.bridge.clone(), subnet: record.subnet }
}

/// Says what follows from a report. One that fits no effect owed now is stale: nothing follows.
pub(super) fn decide_report(state: &Network, report: &Report) -> Vec<NetworkEvent> {
    let owed = next_effect(state);
    let (Some(open), Some(true)) = (&state.open, owed.map(|effect| effect.is_reported_by(report))) else {
        return vec![];
    };
    match (report.step, &report.outcome, &open.work) {
        (RELEASE_NAME, _, Work::Undo { reason, .. }) => {
            vec![NetworkEvent::NetworkCreateFailed { reason: reason.clone() }]
        }
        (RELEASE_NAME, ..) => vec![NetworkEvent::NetworkDeleted],
        (CLAIM_NAME, Outcome::Answered(_), _) => vec![NetworkEvent::NetworkNameClaimed],
        (MAKE, Outcome::Done(facts), Work::Restore { .. }) => made(state, facts, NetworkEvent::NetworkRestored),
        (MAKE, Outcome::Done(facts), _) => made(state, facts, NetworkEvent::NetworkCreated),
        (REMOVE, Outcome::Done(_), _) => vec![NetworkEvent::NetworkRemoved],
        (_, Outcome::Failed(failure), work) => vec![failed(work, failure.reason.clone())],
        (_, Outcome::Refused(refusal), work) => vec![failed(work, refusal.message.clone())],
        (_, Outcome::Done(_) | Outcome::Answered(_) | Outcome::Woken, _) => vec![],
    }
}

/// Tells what falls short only where that is news.
fn made(state: &Network, facts: &Facts, closing: NetworkEvent) -> Vec<NetworkEvent> {
    match facts {
        Facts::Network { shortcomings } if *shortcomings != state.shortcomings => {
            vec![NetworkEvent::ShortcomingsFound { shortcomings: shortcomings.clone() }, closing]
        }
        _ => vec![closing],
    }
}

fn failed(work: &Work, reason: String) -> NetworkEvent {
    match work {
        Work::Create => NetworkEvent::NetworkCreateFailing { reason },
        Work::Undo { .. } => NetworkEvent::NetworkCreateStuck { reason },
        Work::Restore { .. } => NetworkEvent::NetworkRestoreFailed { reason },
        Work::Delete { .. } => NetworkEvent::NetworkDeleteStuck { reason },
    }
}
