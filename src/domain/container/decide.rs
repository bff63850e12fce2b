//! Judges commands against the state. Three answers: facts, nothing (it is so already), or a rejection.

mod holding;
mod removal;
mod reports;
mod run;
mod settings;

use super::{Command, Container, Life, Record, Rejection, Work, hits, plan};
use crate::domain::Given;
use crate::events::{Configuration, ContainerEvent, DiskKind, HoldKind, Limits};
use crate::types::{ContainerId, Name, OperationId, StreamName};
use holding::{hold, release_old_files, unhold};
use removal::{cancel, delete, purge, remove, undelete};
use reports::{report_boot, report_exit, report_ready};
use run::{autostart, carry_on, pause, pause_for_space, restart, resume, start, stop, stop_for_a_while, writers_ended};
use settings::{
    change_limits, remove_label, rename, set_autostart, set_host_name, set_label, set_managed, set_nesting, set_restart,
};

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
        (Life::Buried { until, since }, _) => Err(Rejection::Buried { since: *since, until: *until }),
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
