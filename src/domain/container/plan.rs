//! The saga: what the open operation owes next, and what its reports mean.
//!
//! ```text
//! create    claim-name ▸ claim-ids ▸ claim-template ▸ lease-address ▸ prepare-disk ▸ done     failure: dissolve
//! dissolve  remove-disk ▸ release-address ▸ release-template ▸ release-ids ▸ release-name ▸ undone or purged
//! start     run ▸ started                                                                     failure: clear ▸ failed
//! stop      signal ▸ wait-grace ▸ clear ▸ stopped        restart: … clear ▸ halted ▸ (wait-restart ▸) run ▸ started
//! pause     pause      resume  resume      set  disk-size ▸ limits     rename  exchange-name
//! delete    (clear ▸) release-address ▸ release-name ▸ buried (▸ grave: wait, then purge)
//! undelete  claim-name ▸ lease-address ▸ back
//! ```
//!
//! Every claim of a failed creation is released, asked for or not: releasing what was never held changes nothing, and an
//! ask whose answer got lost in a crash is covered the same way.

use super::{Burial, Container, Dissolution, Life, Open, Record, StopPhase, Stopping, Work};
use crate::domain::Given;
use crate::domain::effect::{
    Action, Answer, Ask, Due, Effect, Facts, HostEffect, InitSignal, Outcome, Report, RunSpecification, Step,
};
use crate::domain::notice::NOTIFY_PARENT;
use crate::events::{ContainerEvent, Exit, KillReason, LimitChange, Limits};
use crate::types::{Category, OperationId, Span, StreamName};

const CLAIM_NAME: Step = "claim-name";
const CLAIM_IDS: Step = "claim-ids";
const CLAIM_TEMPLATE: Step = "claim-template";
const LEASE_ADDRESS: Step = "lease-address";
const PREPARE_DISK: Step = "prepare-disk";
const REMOVE_DISK: Step = "remove-disk";
const RELEASE_ADDRESS: Step = "release-address";
const RELEASE_TEMPLATE: Step = "release-template";
const RELEASE_IDS: Step = "release-ids";
const RELEASE_NAME: Step = "release-name";
const RUN: Step = "run";
const CLEAR: Step = "clear";
const SIGNAL: Step = "signal";
const WAIT_GRACE: Step = "wait-grace";
const WAIT_RESTART: Step = "wait-restart";
const PAUSE: Step = "pause";
const RESUME: Step = "resume";
const LIMITS: Step = "limits";
const LIMITS_BACK: Step = "limits-back";
const DISK_SIZE: Step = "disk-size";
const EXCHANGE_NAME: Step = "exchange-name";
const GRAVE: Step = "grave";

/// Returns what the state owes: first the news to a waiting saga, then the open operation, then the grave's end.
pub(super) fn next_effect(state: &Container) -> Option<Effect> {
    if let Some(notice) = state.notices.first() {
        return Some(notice.effect());
    }
    let record = state.record.as_deref()?;
    match (state.acting(), &state.life) {
        // It does not start while its files change places: then it waits no longer than it has to.
        (Some(Open { work: Work::Wait { .. }, .. }), _) if state.is_held_still() => None,
        (Some(open), _) => owed(record, open, state.begun),
        (None, Life::Buried { until, .. }) => {
            let operation = OperationId::derived(&format!("purge/{}", record.id));
            Some(Effect { operation, step: GRAVE, undo: false, action: Action::Wake(Due::Trusted(*until)) })
        }
        (None, _) => None,
    }
}

fn owed(record: &Record, open: &Open, begun: bool) -> Option<Effect> {
    match &open.work {
        Work::Create => Some(creation(record, open)),
        Work::Dissolve(left) => Some(dissolution(record, open, left)),
        Work::Start { failing: None } => Some(host(open, RUN, run(record, !begun))),
        Work::Start { failing: Some(_) } => Some(undo(open, CLEAR, HostEffect::EnsureStopped { container: record.id })),
        Work::Stop(stopping) => Some(stop(record, open, stopping)),
        Work::Wait { until } => Some(effect(open, WAIT_RESTART, false, Action::Wake(Due::Soon(*until)))),
        Work::Pause => Some(host(open, PAUSE, HostEffect::EnsurePaused { container: record.id })),
        Work::Resume => Some(host(open, RESUME, HostEffect::EnsureResumed { container: record.id })),
        Work::ChangeLimits { failing, change } => {
            let present = record.configuration.limits;
            let wanted = present.with(*change);
            Some(limits(record, open, present, wanted, failing.is_some()))
        }
        Work::Rename { name } => Some(ask(open, EXCHANGE_NAME, directory(), Ask::ExchangeName(name.clone()))),
        Work::Bury { remains: true, .. } => Some(undo(open, CLEAR, HostEffect::EnsureStopped { container: record.id })),
        Work::Bury { .. } if record.lease.is_some() => release_address(record, open),
        Work::Bury { .. } => Some(undo_ask(open, RELEASE_NAME, directory(), Ask::ReleaseName)),
        Work::Undelete { failing: Some(_), .. } => Some(undo_ask(open, RELEASE_NAME, directory(), Ask::ReleaseName)),
        Work::Undelete { .. } if !record.named => Some(claim_name(record, open)),
        Work::Undelete { .. } => lease_address(record, open),
    }
}

fn creation(record: &Record, open: &Open) -> Effect {
    if !record.named {
        return claim_name(record, open);
    }
    if record.ids.is_none() && !record.configuration.privileged {
        return ask(open, CLAIM_IDS, node(), Ask::ClaimIdRange);
    }
    if record.template.is_none() {
        return ask(open, CLAIM_TEMPLATE, template(record), Ask::ClaimTemplate);
    }
    if record.lease.is_none()
        && let Some(effect) = lease_address(record, open)
    {
        return effect;
    }
    let configuration = &record.configuration;
    let disk =
        HostEffect::EnsureDisk { container: record.id, kind: configuration.disk, size: configuration.limits.disk };
    host(open, PREPARE_DISK, disk)
}

fn dissolution(record: &Record, open: &Open, left: &Dissolution) -> Effect {
    if left.disk {
        return undo(open, REMOVE_DISK, HostEffect::EnsureDiskGone { container: record.id });
    }
    if left.lease
        && let Some(effect) = release_address(record, open)
    {
        return effect;
    }
    if left.template {
        return undo_ask(open, RELEASE_TEMPLATE, template(record), Ask::ReleaseTemplate);
    }
    if left.ids {
        return undo_ask(open, RELEASE_IDS, node(), Ask::ReleaseIdRange);
    }
    undo_ask(open, RELEASE_NAME, directory(), Ask::ReleaseName)
}

fn stop(record: &Record, open: &Open, stopping: &Stopping) -> Effect {
    let container = record.id;
    match stopping.phase {
        StopPhase::Signalling => {
            let signal = match (&record.configuration.command, record.template.as_ref().and_then(|(_, init)| *init)) {
                (None, Some(init)) => InitSignal::Of(init),
                _ => InitSignal::Terminate,
            };
            host(open, SIGNAL, HostEffect::SignalInit { container, signal })
        }
        StopPhase::Waiting => effect(open, WAIT_GRACE, false, Action::Wake(Due::Soon(stopping.deadline))),
        StopPhase::Clearing => undo(open, CLEAR, HostEffect::EnsureStopped { container }),
    }
}

fn limits(record: &Record, open: &Open, present: Limits, wanted: Limits, back: bool) -> Effect {
    let container = record.id;
    if back {
        return undo(open, LIMITS_BACK, HostEffect::EnsureLimits { container, limits: present });
    }
    // The disk comes first: it may fail for want of space, and having grown it needs no way back.
    if wanted.disk != present.disk {
        let disk = HostEffect::EnsureDiskSize { container, kind: record.configuration.disk, size: wanted.disk };
        return host(open, DISK_SIZE, disk);
    }
    host(open, LIMITS, HostEffect::EnsureLimits { container, limits: wanted })
}

fn run(record: &Record, first: bool) -> HostEffect {
    HostEffect::EnsureRunning(Box::new(RunSpecification {
        container: record.id,
        configuration: record.configuration.clone(),
        ids: record.ids,
        lease: record.lease.clone(),
        init: record.template.as_ref().and_then(|(_, init)| *init),
        first,
    }))
}

fn claim_name(record: &Record, open: &Open) -> Effect {
    ask(open, CLAIM_NAME, directory(), Ask::ReserveName(record.name.clone()))
}

fn lease_address(record: &Record, open: &Open) -> Option<Effect> {
    let network = StreamName::new(Category::Network, record.configuration.network?);
    Some(ask(open, LEASE_ADDRESS, network, Ask::LeaseAddress(record.configuration.address)))
}

fn release_address(record: &Record, open: &Open) -> Option<Effect> {
    let network = StreamName::new(Category::Network, record.configuration.network?);
    Some(undo_ask(open, RELEASE_ADDRESS, network, Ask::ReleaseAddress))
}

fn directory() -> StreamName {
    StreamName::new(Category::Directory, Category::Container)
}

/// The runner knows which node is meant: there is one in each log's first stream.
fn node() -> StreamName {
    StreamName::new(Category::Node, "self")
}

fn template(record: &Record) -> StreamName {
    StreamName::new(Category::Template, record.configuration.template)
}

fn effect(open: &Open, step: Step, undo: bool, action: Action) -> Effect {
    Effect { operation: open.operation, step, undo, action }
}

fn host(open: &Open, step: Step, work: HostEffect) -> Effect {
    effect(open, step, false, Action::Host(Box::new(work)))
}

fn undo(open: &Open, step: Step, work: HostEffect) -> Effect {
    effect(open, step, true, Action::Host(Box::new(work)))
}

fn ask(open: &Open, step: Step, of: StreamName, wish: Ask) -> Effect {
    effect(open, step, false, Action::Ask(of, wish))
}

fn undo_ask(open: &Open, step: Step, of: StreamName, wish: Ask) -> Effect {
    effect(open, step, true, Action::Ask(of, wish))
}

/// Says what follows from a report. One that fits no effect owed now is stale: nothing follows.
pub(super) fn decide_report(state: &Container, report: &Report, given: Given) -> Vec<ContainerEvent> {
    let awaited = next_effect(state).is_some_and(|owed| owed.operation == report.operation && owed.step == report.step);
    if !awaited {
        return vec![];
    }
    match (&report.outcome, report.step) {
        (_, NOTIFY_PARENT) => vec![ContainerEvent::ParentNotified],
        (Outcome::Woken, GRAVE) => vec![ContainerEvent::PurgeRequested],
        (Outcome::Woken, WAIT_GRACE) => vec![outlasted(state)],
        (Outcome::Woken, WAIT_RESTART) => vec![ContainerEvent::RestartDue],
        (Outcome::Done(facts), step) => done(state, step, facts, given),
        (Outcome::Answered(answer), step) => answered(state, step, answer),
        (Outcome::Refused(refusal), step) => refused(state, step, &refusal.message),
        (Outcome::Failed(failure), step) => failed(state, step, &failure.reason),
        (Outcome::Woken, _) => vec![],
    }
}

fn done(state: &Container, step: Step, facts: &Facts, given: Given) -> Vec<ContainerEvent> {
    let Some(open) = state.acting() else { return vec![] };
    match (step, facts, &open.work) {
        (PREPARE_DISK, _, _) => vec![ContainerEvent::DiskPrepared, ContainerEvent::ContainerCreated],
        (REMOVE_DISK, _, _) => vec![ContainerEvent::DiskRemoved],
        (RUN, Facts::Started { init, took, warnings, kept }, _) => {
            let (init, warnings, kept) = (init.clone(), warnings.clone(), kept.clone());
            vec![ContainerEvent::ContainerStarted { init, took: *took, warnings, kept }]
        }
        (CLEAR, _, Work::Start { failing: Some(reason) }) => {
            vec![ContainerEvent::StartFailed { reason: reason.clone() }]
        }
        (CLEAR, _, Work::Stop(stopping)) => vec![cleared(state, stopping)],
        (CLEAR, _, Work::Bury { .. }) => vec![ContainerEvent::RemainsCleared],
        (SIGNAL, Facts::InitEnded { exit, hits }, _) => super::hits::end(state, *exit, hits, given),
        (SIGNAL, _, _) => vec![ContainerEvent::StopSignalled],
        (PAUSE, _, _) => vec![ContainerEvent::ContainerPaused],
        (RESUME, _, _) => vec![ContainerEvent::ContainerResumed],
        (LIMITS | DISK_SIZE, _, Work::ChangeLimits { change, .. }) => limits_done(state, step, *change),
        (LIMITS_BACK, _, Work::ChangeLimits { failing: Some(reason), .. }) => {
            vec![ContainerEvent::LimitChangeFailed { reason: reason.clone() }]
        }
        _ => vec![],
    }
}

fn cleared(state: &Container, stopping: &Stopping) -> ContainerEvent {
    let killed = if stopping.is_kill() { Exit::Killed } else { Exit::Unknown };
    let exit = state.ended.unwrap_or(killed);
    if stopping.again && stopping.is_of_init() {
        let delay = super::delay_after(state.restarts);
        ContainerEvent::ContainerHalted { exit, restarts: state.restarts.saturating_add(1), delay }
    } else if stopping.again {
        ContainerEvent::ContainerHalted { exit, restarts: 0, delay: Span::default() }
    } else {
        ContainerEvent::ContainerStopped { reason: stopping.reason, exit }
    }
}

fn outlasted(state: &Container) -> ContainerEvent {
    let grace = match state.acting().map(|open| &open.work) {
        Some(Work::Stop(stopping)) => stopping.grace,
        _ => Span::default(),
    };
    ContainerEvent::GraceExpired { why: KillReason::Outlasted { grace } }
}

fn limits_done(state: &Container, step: Step, change: LimitChange) -> Vec<ContainerEvent> {
    let Some(record) = &state.record else { return vec![] };
    let wanted = record.configuration.limits.with(change);
    let grown = Limits { disk: wanted.disk, ..record.configuration.limits };
    match step {
        DISK_SIZE if grown == wanted || state.init().is_none() => {
            vec![ContainerEvent::DiskGrown { size: wanted.disk }, ContainerEvent::LimitsSet { limits: wanted }]
        }
        DISK_SIZE => vec![ContainerEvent::DiskGrown { size: wanted.disk }],
        _ => vec![ContainerEvent::LimitsSet { limits: wanted }],
    }
}

fn answered(state: &Container, step: Step, answer: &Answer) -> Vec<ContainerEvent> {
    let Some(open) = state.acting() else { return vec![] };
    match (step, answer, &open.work) {
        (CLAIM_NAME, _, Work::Undelete { .. }) if !needs_address(state) => {
            vec![ContainerEvent::NameClaimed, ContainerEvent::ContainerUndeleted]
        }
        (CLAIM_NAME, _, _) => vec![ContainerEvent::NameClaimed],
        (CLAIM_IDS, Answer::IdRange { base, count }, _) => {
            vec![ContainerEvent::IdRangeClaimed { base: *base, count: *count }]
        }
        (CLAIM_TEMPLATE, Answer::Template { digest, init }, _) => {
            vec![ContainerEvent::TemplateClaimed { digest: digest.clone(), init: *init }]
        }
        (LEASE_ADDRESS, Answer::Lease(lease), Work::Undelete { .. }) => {
            vec![ContainerEvent::AddressClaimed((**lease).clone()), ContainerEvent::ContainerUndeleted]
        }
        (LEASE_ADDRESS, Answer::Lease(lease), _) => vec![ContainerEvent::AddressClaimed((**lease).clone())],
        (EXCHANGE_NAME, _, Work::Rename { name }) => vec![ContainerEvent::ContainerRenamed { name: name.clone() }],
        _ => released(open, step),
    }
}

/// Releases cannot be refused: whoever does not know the claim has nothing to release.
fn released(open: &Open, step: Step) -> Vec<ContainerEvent> {
    match (step, &open.work) {
        (RELEASE_ADDRESS, _) => vec![ContainerEvent::AddressReleased],
        (RELEASE_TEMPLATE, _) => vec![ContainerEvent::TemplateReleased],
        (RELEASE_IDS, _) => vec![ContainerEvent::IdRangeReleased],
        (RELEASE_NAME, Work::Bury { until, .. }) => {
            vec![ContainerEvent::NameReleased, ContainerEvent::ContainerBuried { until: *until }]
        }
        (RELEASE_NAME, Work::Dissolve(Dissolution { failure: Some(reason), .. })) => {
            vec![ContainerEvent::NameReleased, ContainerEvent::CreateUndone { reason: reason.clone() }]
        }
        (RELEASE_NAME, Work::Dissolve(_)) => vec![ContainerEvent::NameReleased, ContainerEvent::ContainerPurged],
        (RELEASE_NAME, Work::Undelete { before, failing: Some(reason), .. }) => stays_buried(before, reason),
        _ => vec![],
    }
}

/// Gives a container in its grave back what it had before somebody wanted it otherwise.
fn stays_buried(before: &Burial, reason: &str) -> Vec<ContainerEvent> {
    let place = before.place.map(|(network, address)| ContainerEvent::NetworkSet { network, address });
    let failed = ContainerEvent::UndeleteFailed { name: before.name.clone(), reason: reason.to_owned() };
    [ContainerEvent::NameReleased].into_iter().chain(place).chain([failed]).collect()
}

fn needs_address(state: &Container) -> bool {
    state.record.as_ref().is_some_and(|record| record.configuration.network.is_some())
}

fn refused(state: &Container, step: Step, reason: &str) -> Vec<ContainerEvent> {
    let Some(open) = state.acting() else { return vec![] };
    match step {
        RELEASE_ADDRESS | RELEASE_TEMPLATE | RELEASE_IDS | RELEASE_NAME => released(open, step),
        _ => failed(state, step, reason),
    }
}

fn failed(state: &Container, step: Step, reason: &str) -> Vec<ContainerEvent> {
    let Some(open) = state.acting() else { return vec![] };
    let reason = reason.to_owned();
    vec![match (&open.work, step) {
        (Work::Create, _) => ContainerEvent::CreateFailed { reason },
        (Work::Start { failing: None }, _) => ContainerEvent::StartFailing { reason },
        (Work::Start { failing: Some(_) } | Work::Undelete { failing: Some(_), .. }, _) => {
            ContainerEvent::UndoStuck { reason }
        }
        // An init that cannot be told to end is not waited for.
        (Work::Stop(_), SIGNAL) => ContainerEvent::GraceExpired { why: KillReason::Untold },
        (Work::Stop(_) | Work::Wait { .. }, _) => ContainerEvent::StopStuck { reason },
        (Work::Pause, _) => ContainerEvent::PauseFailed { reason },
        (Work::Resume, _) => ContainerEvent::ResumeFailed { reason },
        (Work::ChangeLimits { .. }, LIMITS_BACK | DISK_SIZE) => ContainerEvent::LimitChangeFailed { reason },
        (Work::ChangeLimits { .. }, _) => ContainerEvent::LimitChangeFailing { reason },
        (Work::Rename { .. }, _) => ContainerEvent::RenameFailed { reason },
        (Work::Bury { .. }, _) => ContainerEvent::UndoStuck { reason },
        (Work::Undelete { failing: None, .. }, _) => ContainerEvent::UndeleteFailing { reason },
        (Work::Dissolve(Dissolution { failure: Some(_), .. }), _) => ContainerEvent::UndoStuck { reason },
        (Work::Dissolve(_), _) => ContainerEvent::PurgeStuck { reason },
    }]
}
