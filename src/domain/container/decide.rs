//! Judges commands against the state. Three answers: facts, nothing (it is so already), or a rejection.

use std::collections::BTreeSet;

use super::{Before, Command, Container, Life, Open, Record, Rejection, StopPhase, Stopping, Work, hits, plan};
use crate::domain::Given;
use crate::events::{
    AddressRequest, Configuration, ContainerEvent, DiskKind, Exit, HoldKind, LimitChange, Limits, ProcessIdentity,
    RestartPolicy,
};
use crate::types::{
    ContainerId, Hits, HostName, Managed, Name, NetworkId, OperationId, Size, Span, StreamName, Timestamp,
};

/// The most programs that a fact names.
const PROGRAMS_MAX: usize = 10;

type Decision = Result<Vec<ContainerEvent>, Rejection>;

pub(super) fn decide(state: &Container, command: &Command, given: Given) -> Decision {
    match command {
        Command::Create { id, name, configuration, parent } => create(state, *id, name, configuration, parent.as_ref()),
        Command::Start { parent } => start(state, parent.as_ref(), given),
        Command::Autostart => autostart(state, given),
        Command::CarryOn { holder, keeping, parent } => Ok(carry_on(state, *holder, *keeping, parent)),
        Command::Stop { grace, parent: None } => stop(state, *grace, given),
        Command::Stop { grace, parent: Some(parent) } => stop_for_a_while(state, *grace, parent, given),
        Command::Restart { grace } => restart(state, *grace, given),
        Command::Pause => pause(state),
        Command::PauseForSpace { left } => pause_for_space(state, *left),
        Command::ReportWritersEnded { names } => Ok(writers_ended(state, names)),
        Command::Resume => resume(state),
        Command::ResumeWithSpace if state.short_of_space => resume(state),
        Command::ResumeWithSpace => Ok(vec![]),
        Command::ChangeLimits(change) => change_limits(state, *change),
        Command::Rename(name) => rename(state, name),
        Command::SetAutostart(autostart) => set_autostart(state, *autostart),
        Command::SetRestart(policy) => set_restart(state, *policy),
        Command::SetHostName(hostname) => set_host_name(state, hostname),
        Command::SetNesting(nesting) => set_nesting(state, *nesting),
        Command::SetManaged(managed) => set_managed(state, managed),
        Command::SetLabel { key, value } => set_label(state, key, value),
        Command::RemoveLabel { key } => remove_label(state, key),
        Command::Hold { kind, by } => hold(state, *kind, by, given.operation),
        Command::Unhold => Ok(unhold(state, given.operation)),
        Command::ReleaseOldFiles { by } => Ok(release_old_files(state, by)),
        Command::Delete { grave } => delete(state, *grave, given),
        Command::Undelete { name, place } => undelete(state, name.as_ref(), *place),
        Command::Purge => purge(state),
        Command::Remove { .. } => remove(state, given.operation),
        Command::Cancel { operation } => cancel(state, *operation),
        Command::ReportExit { init, exit, hits } => Ok(report_exit(state, init, *exit, hits, given)),
        Command::ReportHits { init, hits } => Ok(hits::report(state, init, hits)),
        Command::ReportReady { init } => Ok(report_ready(state, init)),
        Command::ReportBoot { boot } => Ok(report_boot(state, boot)),
        Command::Report(report) => Ok(plan::decide_report(state, report, given)),
    }
}

/// Returns the record of a container that is made and not gone.
fn made(state: &Container) -> Result<&Record, Rejection> {
    match (&state.life, &state.record) {
        (Life::Purged, _) => Err(Rejection::Purged),
        (Life::Buried { .. }, _) => Err(Rejection::Buried),
        (Life::Stuck { reason }, _) => Err(Rejection::Stuck { reason: reason.clone() }),
        (_, None) => Err(Rejection::Unknown),
        (Life::Absent, Some(_)) => Err(Rejection::NotMade),
        (Life::Stopped | Life::Running(_) | Life::Paused(_), Some(record)) => Ok(record),
    }
}

fn not_busy(state: &Container) -> Result<(), Rejection> {
    match &state.open {
        None => Ok(()),
        Some(open) => Err(Rejection::Busy { verb: open.work.verb(), operation: open.operation }),
    }
}

/// Refuses while any other operation than `own` holds the container in one of these ways.
fn not_held(state: &Container, kinds: &[HoldKind], own: Option<OperationId>) -> Result<(), Rejection> {
    let holder = state.holds.iter().find(|(operation, kind)| kinds.contains(kind) && Some(**operation) != own);
    holder.map_or(Ok(()), |(operation, _)| Err(Rejection::Held { operation: *operation }))
}

const ANY: &[HoldKind] = &[HoldKind::Reading, HoldKind::Writing, HoldKind::Exchanging];
const WRITING: &[HoldKind] = &[HoldKind::Writing, HoldKind::Exchanging];
const EXCHANGING: &[HoldKind] = &[HoldKind::Exchanging];

fn create(
    state: &Container,
    id: ContainerId,
    name: &Name,
    configuration: &Configuration,
    parent: Option<&StreamName>,
) -> Decision {
    if let Some(record) = &state.record {
        let same = record.id == id && record.configuration == *configuration && state.life != Life::Purged;
        return if same { Ok(vec![]) } else { Err(Rejection::Exists) };
    }
    if state.life != Life::Absent {
        return Err(Rejection::Exists);
    }
    limits_make_sense(configuration.limits, configuration.disk)?;
    Ok(vec![ContainerEvent::CreateRequested {
        id,
        name: name.clone(),
        configuration: configuration.clone(),
        parent: parent.cloned(),
    }])
}

fn limits_make_sense(limits: Limits, disk: DiskKind) -> Result<(), Rejection> {
    if disk == DiskKind::Image && limits.disk < super::DISK_SIZE_MIN {
        return Err(Rejection::DiskTooSmall { size: limits.disk });
    }
    if limits.disk > super::DISK_SIZE_MAX {
        return Err(Rejection::DiskTooLarge { size: limits.disk });
    }
    if let Some(size) = limits.memory.filter(|size| *size < super::MEMORY_MIN) {
        return Err(Rejection::MemoryTooSmall { size });
    }
    if let Some(size) = limits.memory.filter(|size| *size > super::MEMORY_MAX) {
        return Err(Rejection::MemoryTooLarge { size });
    }
    if let Some(pids) = limits.pids.filter(|pids| *pids < super::PIDS_MIN) {
        return Err(Rejection::PidsTooFew { pids });
    }
    if let Some(pids) = limits.pids.filter(|pids| *pids > super::PIDS_MAX) {
        return Err(Rejection::PidsTooMany { pids });
    }
    Ok(())
}

/// Says whether the open operation is the asker's own: recovery asks again while the first ask is being carried out.
fn is_own(state: &Container, given: Given, fits: impl Fn(&Work) -> bool) -> bool {
    state.open.as_ref().is_some_and(|open| open.operation == given.operation && fits(&open.work))
}

fn start(state: &Container, parent: Option<&StreamName>, given: Given) -> Decision {
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
fn autostart(state: &Container, given: Given) -> Decision {
    let waits = stands_still(state) && state.is_held_still();
    match state.before {
        Some(Before::Running) if waits => Ok(vec![]),
        _ if waits => Ok(vec![ContainerEvent::ReturnPromised { paused: false }]),
        _ => start(state, None, given),
    }
}

/// It runs again if it ran before it was stopped for a while, and nobody wanted otherwise since. It is let go with the same
/// commit: nobody comes in between.
fn carry_on(state: &Container, holder: OperationId, keeping: bool, parent: &StreamName) -> Vec<ContainerEvent> {
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
fn stop(state: &Container, grace: Span, given: Given) -> Decision {
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
        _ => stop_anew(state, ContainerEvent::StopRequested { deadline, parent: None }, grace, given),
    }
}

/// A saga's stop hurries nobody, and leaves alone what stands still by itself: that waits while it is held.
fn stop_for_a_while(state: &Container, grace: Span, parent: &StreamName, given: Given) -> Decision {
    let parent = Some(parent.clone());
    match state.open.as_ref().map(|open| &open.work) {
        Some(Work::Stop(_)) if state.will_tell(given.operation) => return Ok(vec![]),
        Some(Work::Stop(stopping)) if stopping.is_asked_for() => {
            return Ok(vec![ContainerEvent::StopAskedAgain { deadline: stopping.deadline, parent }]);
        }
        Some(Work::Wait { .. }) => return Ok(vec![]),
        _ => {}
    }
    let requested = ContainerEvent::StopRequested { deadline: given.at.after(grace), parent };
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
    let fresh = || if runs { with_haste(requested.clone(), grace) } else { vec![requested.clone()] };
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
    if stopping.phase == StopPhase::Clearing { vec![asked] } else { with_haste(asked, grace) }
}

fn called_off(operation: OperationId, verb: &str, wish: &str) -> ContainerEvent {
    ContainerEvent::OperationCalledOff { operation, verb: verb.to_owned(), wish: wish.to_owned() }
}

/// A start that could be neither made nor cleared away is cleared away by a stop: the container keeps its files.
fn is_stuck_with_disk(state: &Container) -> bool {
    matches!(state.life, Life::Stuck { .. }) && state.record.as_ref().is_some_and(|record| record.disk)
}

/// Skips the waiting where nobody wants to wait.
fn with_haste(requested: ContainerEvent, grace: Span) -> Vec<ContainerEvent> {
    if grace == Span::default() { vec![requested, ContainerEvent::GraceExpired] } else { vec![requested] }
}

fn restart(state: &Container, grace: Span, given: Given) -> Decision {
    made(state)?;
    not_busy(state)?;
    not_held(state, EXCHANGING, None)?;
    match state.life {
        Life::Running(_) | Life::Paused(_) => {
            Ok(with_haste(ContainerEvent::RestartRequested { deadline: given.at.after(grace) }, grace))
        }
        _ => Err(Rejection::NotRunning),
    }
}

fn pause(state: &Container) -> Decision {
    made(state)?;
    not_busy(state)?;
    match state.life {
        Life::Running(_) => Ok(vec![ContainerEvent::PauseRequested]),
        Life::Paused(_) => Ok(vec![]),
        _ => Err(Rejection::NotRunning),
    }
}

fn pause_for_space(state: &Container, left: Size) -> Decision {
    let wanted = pause(state)?;
    Ok(if wanted.is_empty() { wanted } else { vec![ContainerEvent::SpacePauseRequested { left }] })
}

fn writers_ended(state: &Container, names: &[String]) -> Vec<ContainerEvent> {
    if state.init().is_none() {
        return vec![];
    }
    let mut programs: Vec<String> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    programs.truncate(PROGRAMS_MAX);
    vec![ContainerEvent::WritersEnded { count: names.len() as u64, names: programs }]
}

fn resume(state: &Container) -> Decision {
    made(state)?;
    not_busy(state)?;
    match state.life {
        Life::Paused(_) => Ok(vec![ContainerEvent::ResumeRequested]),
        Life::Running(_) => Ok(vec![]),
        _ => Err(Rejection::NotRunning),
    }
}

fn change_limits(state: &Container, change: LimitChange) -> Decision {
    let record = made(state)?;
    not_busy(state)?;
    let present = record.configuration.limits;
    let wanted = present.with(change);
    if wanted == present {
        return Ok(vec![]);
    }
    limits_make_sense(wanted, record.configuration.disk)?;
    if wanted.disk < present.disk {
        return Err(Rejection::DiskShrinks { present: present.disk, size: wanted.disk });
    }
    if wanted.disk > present.disk {
        not_held(state, ANY, None)?;
    }
    let requested = ContainerEvent::LimitChangeRequested { change };
    let host_has_work = wanted.disk != present.disk || state.init().is_some();
    Ok(if host_has_work { vec![requested] } else { vec![requested, ContainerEvent::LimitsSet { limits: wanted }] })
}

fn rename(state: &Container, name: &Name) -> Decision {
    let record = made(state)?;
    not_busy(state)?;
    Ok(if record.name == *name { vec![] } else { vec![ContainerEvent::RenameRequested { name: name.clone() }] })
}

fn set_autostart(state: &Container, autostart: bool) -> Decision {
    let present = made(state)?.configuration.autostart;
    Ok(if present == autostart { vec![] } else { vec![ContainerEvent::AutostartSet { autostart }] })
}

fn set_restart(state: &Container, policy: RestartPolicy) -> Decision {
    let present = made(state)?.configuration.restart;
    Ok(if present == policy { vec![] } else { vec![ContainerEvent::RestartPolicySet { policy }] })
}

fn set_host_name(state: &Container, hostname: &HostName) -> Decision {
    let same = made(state)?.configuration.hostname == *hostname;
    Ok(if same { vec![] } else { vec![ContainerEvent::HostNameSet { hostname: hostname.clone() }] })
}

fn set_nesting(state: &Container, nesting: bool) -> Decision {
    let same = made(state)?.configuration.nesting == nesting;
    Ok(if same { vec![] } else { vec![ContainerEvent::NestingSet { nesting }] })
}

fn set_managed(state: &Container, managed: &Managed) -> Decision {
    let same = made(state)?.configuration.managed == *managed;
    Ok(if same { vec![] } else { vec![ContainerEvent::ManagedFilesSet { managed: managed.clone() }] })
}

fn set_label(state: &Container, key: &str, value: &str) -> Decision {
    let same = made(state)?.configuration.labels.get(key).is_some_and(|present| present == value);
    Ok(if same { vec![] } else { vec![ContainerEvent::LabelSet { key: key.to_owned(), value: value.to_owned() }] })
}

fn remove_label(state: &Container, key: &str) -> Decision {
    let present = made(state)?.configuration.labels.contains_key(key);
    Ok(if present { vec![ContainerEvent::LabelRemoved { key: key.to_owned() }] } else { vec![] })
}

fn hold(state: &Container, kind: HoldKind, by: &StreamName, operation: OperationId) -> Decision {
    made(state)?;
    if state.holds.get(&operation) == Some(&kind) {
        return Ok(vec![]);
    }
    let placed = ContainerEvent::HoldPlaced { operation, kind };
    match kind {
        HoldKind::Reading => {
            not_held(state, WRITING, Some(operation))?;
            let rearranging = state
                .open
                .as_ref()
                .filter(|open| matches!(open.work, Work::Bury { .. } | Work::Dissolve(_) | Work::Create));
            if let Some(open) = rearranging {
                return Err(Rejection::Busy { verb: open.work.verb(), operation: open.operation });
            }
        }
        // Whoever wrote beside its files goes on, whatever is under way: the stop that follows sees to that. The files of
        // now are his from here on.
        HoldKind::Exchanging if state.holds.contains_key(&operation) => {
            return Ok(vec![placed, ContainerEvent::OldFilesClaimed { by: by.clone() }]);
        }
        HoldKind::Writing | HoldKind::Exchanging => {
            match state.open.as_ref().map(|open| &open.work) {
                Some(Work::Wait { .. }) => {}
                Some(Work::Stop(stopping)) if stopping.is_asked_for() => {}
                _ => not_busy(state)?,
            }
            not_held(state, ANY, Some(operation))?;
            nothing_aside(state, by)?;
        }
    }
    Ok(vec![placed])
}

/// Refuses while another restore keeps files of before beside its own.
fn nothing_aside(state: &Container, by: &StreamName) -> Result<(), Rejection> {
    let other = state.aside.as_ref().filter(|keeper| *keeper != by);
    other.map_or(Ok(()), |restore| Err(Rejection::Unsettled { restore: restore.clone() }))
}

fn release_old_files(state: &Container, by: &StreamName) -> Vec<ContainerEvent> {
    let kept = state.aside.as_ref() == Some(by);
    if kept { vec![ContainerEvent::OldFilesReleased { by: by.clone() }] } else { vec![] }
}

fn unhold(state: &Container, operation: OperationId) -> Vec<ContainerEvent> {
    let held = state.holds.contains_key(&operation);
    if held { vec![ContainerEvent::HoldReleased { operation }] } else { vec![] }
}

/// A container that runs is not deleted; whatever else is under way is called off.
fn delete(state: &Container, grave: Span, given: Given) -> Decision {
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

fn undelete(state: &Container, name: Option<&Name>, place: Option<(Option<NetworkId>, AddressRequest)>) -> Decision {
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

fn purge(state: &Container) -> Decision {
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
fn remove(state: &Container, operation: OperationId) -> Decision {
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

fn cancel(state: &Container, operation: OperationId) -> Decision {
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

/// An exit ends whatever had a running init for its object; a rename goes on, and the exit is reported again after it.
fn report_exit(
    state: &Container,
    init: &ProcessIdentity,
    exit: Exit,
    hits: &Hits,
    given: Given,
) -> Vec<ContainerEvent> {
    if state.init() != Some(init) {
        return vec![];
    }
    match state.open.as_ref().map(|open| &open.work) {
        Some(Work::Stop(_)) if state.ended.is_some() => vec![],
        Some(Work::Stop(_)) | None => hits::end(state, exit, hits, given),
        Some(work) => match without_object(work, "its init ended") {
            Some(closing) => [closing].into_iter().chain(hits::end(state, exit, hits, given)).collect(),
            None => vec![],
        },
    }
}

/// Returns the fact that closes work on an init which is not there any more.
fn without_object(work: &Work, reason: &str) -> Option<ContainerEvent> {
    let reason = reason.to_owned();
    match work {
        Work::Pause => Some(ContainerEvent::PauseFailed { reason }),
        Work::Resume => Some(ContainerEvent::ResumeFailed { reason }),
        Work::ChangeLimits { .. } => Some(ContainerEvent::LimitChangeFailed { reason }),
        _ => None,
    }
}

fn report_ready(state: &Container, init: &ProcessIdentity) -> Vec<ContainerEvent> {
    let news = state.life == Life::Running(init.clone()) && !state.ready;
    if news { vec![ContainerEvent::ContainerReady] } else { vec![] }
}

fn report_boot(state: &Container, boot: &str) -> Vec<ContainerEvent> {
    let ours = state.init().is_none_or(|init| init.boot == boot);
    match state.open.as_ref().map(|open| &open.work) {
        _ if ours => vec![],
        Some(Work::Stop(_)) => vec![], // what it waits for is so already: clearing away goes on
        Some(work) => without_object(work, "the node went down")
            .into_iter()
            .chain([ContainerEvent::ContainerInterrupted { boot: boot.to_owned() }])
            .collect(),
        None => vec![ContainerEvent::ContainerInterrupted { boot: boot.to_owned() }],
    }
}
