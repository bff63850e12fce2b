//! What each fact says, in words an operator could read aloud.

use super::init::want_of_memory;
use super::{ContainerEvent, HoldKind, KillReason, StopReason};

/// Returns what is not as it should be, though it was done.
pub fn warnings(event: &ContainerEvent) -> Vec<String> {
    match event {
        ContainerEvent::ContainerStarted { warnings, .. } => warnings.clone(),
        ContainerEvent::GraceExpired { why: why @ (KillReason::Outlasted { .. } | KillReason::Untold) } => {
            vec![why.after("killed")]
        }
        // What was asked meanwhile is recorded for whoever asked; the end is for whoever waits.
        ContainerEvent::ContainerStopped {
            reason: StopReason::Killed { why: why @ KillReason::AskedMeanwhile },
            ..
        } => {
            vec![why.after("killed")]
        }
        _ => vec![],
    }
}

/// Returns a fact in words.
pub fn of(event: &ContainerEvent) -> String {
    match event {
        ContainerEvent::CreateRequested { name, .. } => format!("container {name} requested"),
        ContainerEvent::IdRangeClaimed { base, count } => format!("ids {base}+{count} claimed"),
        ContainerEvent::AddressClaimed(lease) => format!("address {} claimed", lease.address),
        ContainerEvent::ContainerStarted { init, took, warnings, kept } => {
            let kept = kept.iter().map(|file| format!("/etc/{} left as it is", file.file()));
            let begun = format!("started as process {} in {took}", init.pid);
            [begun].into_iter().chain(warnings.iter().cloned()).chain(kept).collect::<Vec<_>>().join("; ")
        }
        ContainerEvent::InitExited { exit } => format!("init ended: {}", exit.words()),
        ContainerEvent::GraceExpired { why } => why.after("killing"),
        ContainerEvent::ContainerStopped { reason: StopReason::Killed { why }, .. } => {
            format!("stopped, {}", why.after("killed"))
        }
        ContainerEvent::ContainerStopped { reason: StopReason::Requested, .. } => "stopped as requested".to_owned(),
        ContainerEvent::ContainerStopped { reason: StopReason::Exited, exit } => {
            format!("stopped by itself: {}", exit.words())
        }
        ContainerEvent::ContainerStopped { reason: StopReason::CalledOff, exit } => {
            format!("stopped by the stop that was called off after it had told init: {}", exit.words())
        }
        ContainerEvent::ContainerHalted { exit, restarts: 0, .. } => {
            format!("halted, starting again: {}", exit.words())
        }
        ContainerEvent::ContainerHalted { exit, restarts, delay } => {
            let times = if *restarts == 1 { "first time".to_owned() } else { format!("{restarts} times in a row") };
            format!("halted, starting again in {delay}: {}, {times}", exit.words())
        }
        ContainerEvent::ProcessesKilled { count, victims, limit, bound, .. } => {
            killed(*count, victims, &want_of_memory(*bound, *limit))
        }
        ContainerEvent::ProcessesRefused { count, limit, .. } => refused(*count, *limit),
        ContainerEvent::DiskFaulted { faults } => {
            format!("writes to its disk failed, and may be lost: {}", faults.words())
        }
        ContainerEvent::DiskFilled { size, .. } => format!("disk full: {size}"),
        ContainerEvent::OperationCalledOff { verb, wish, .. } => format!("{verb} called off: {wish} was asked for"),
        ContainerEvent::ContainerInterrupted { .. } => "interrupted: the node went down".to_owned(),
        ContainerEvent::RenameRequested { name } => format!("new name {name} requested"),
        ContainerEvent::ContainerRenamed { name } => format!("renamed to {name}"),
        ContainerEvent::HoldPlaced { operation, kind: HoldKind::Reading } => {
            format!("held for reading by {}", operation.short())
        }
        ContainerEvent::HoldPlaced { operation, kind: HoldKind::Writing } => {
            format!("held for writing by {}", operation.short())
        }
        ContainerEvent::HoldPlaced { operation, kind: HoldKind::Exchanging } => {
            format!("held while its files change places by {}", operation.short())
        }
        ContainerEvent::OldFilesClaimed { by } => {
            format!("its present files are kept by restore {} from now on", by.short_key())
        }
        ContainerEvent::OldFilesReleased { by } => format!("no files are kept any more by restore {}", by.short_key()),
        ContainerEvent::HoldReleased { operation } => format!("no longer held by {}", operation.short()),
        ContainerEvent::ContainerBuried { until } => format!("deleted; can be taken back until {until}"),
        ContainerEvent::SpacePauseRequested { left } => {
            format!("pause requested: {left} are left on the host's file system that its disk lies on")
        }
        ContainerEvent::WritersEnded { count, names } => writers_ended(*count, names),
        other => setting(other),
    }
}

/// Returns the words of facts that say how a container is from now on.
fn setting(event: &ContainerEvent) -> String {
    match event {
        ContainerEvent::HostNameSet { hostname } => format!("host name from the next start on: {hostname}"),
        ContainerEvent::NetworkSet { network: None, .. } => "to be in no network".to_owned(),
        ContainerEvent::NetworkSet { network: Some(network), .. } => format!("to be in network {}", network.short()),
        ContainerEvent::NestingSet { nesting: true } => {
            "every user inside may make user namespaces from the next start on".to_owned()
        }
        ContainerEvent::NestingSet { nesting: false } => {
            "only root inside may make user namespaces from the next start on".to_owned()
        }
        ContainerEvent::ManagedFilesSet { managed } => format!("files of /etc written at each start: {managed}"),
        ContainerEvent::RestartPolicySet { policy } => format!("starts again by itself: {}", policy.word()),
        ContainerEvent::DiskGrown { size } => format!("disk grown to {size}"),
        ContainerEvent::LimitsSet { limits } => format!("limits set: {}", limits.words()),
        ContainerEvent::AutostartSet { autostart: true } => "starts with the node".to_owned(),
        ContainerEvent::AutostartSet { autostart: false } => "does not start with the node".to_owned(),
        ContainerEvent::LabelSet { key, value } => format!("label {key}={value} set"),
        ContainerEvent::LabelRemoved { key } => format!("label {key} removed"),
        other => plain(other),
    }
}

fn writers_ended(count: u64, names: &[String]) -> String {
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    let processes = if count == 1 { "process" } else { "processes" };
    format!("{count} {processes}{names} killed: still writing while it was to stand still for want of room on the host")
}

fn killed(count: u64, victims: &[String], want: &str) -> String {
    let names = if victims.is_empty() { String::new() } else { format!(" ({})", victims.join(", ")) };
    let processes = if count == 1 { "process" } else { "processes" };
    format!("{count} {processes}{names} killed by the out-of-memory killer: {want}")
}

fn refused(count: u64, limit: Option<u64>) -> String {
    let processes = if count == 1 { "new process" } else { "new processes" };
    let limit = limit.map_or_else(|| "a limit".to_owned(), |limit| format!("the limit of {limit}"));
    format!("{count} {processes} refused: {limit} was reached")
}

/// Returns the words of facts that carry nothing but perhaps a reason.
fn plain(event: &ContainerEvent) -> String {
    let (words, reason) = match event {
        ContainerEvent::NameClaimed => ("name claimed", None),
        ContainerEvent::TemplateClaimed { .. } => ("template claimed", None),
        ContainerEvent::DiskPrepared => ("disk prepared", None),
        ContainerEvent::ContainerCreated => ("created", None),
        ContainerEvent::CreateFailed { reason } => ("could not be created, undoing", Some(reason)),
        ContainerEvent::DiskRemoved => ("disk removed", None),
        ContainerEvent::TemplateReleased => ("template released", None),
        ContainerEvent::AddressReleased => ("address released", None),
        ContainerEvent::IdRangeReleased => ("ids released", None),
        ContainerEvent::NameReleased => ("name released", None),
        ContainerEvent::CreateUndone { reason } => ("failed creation undone", Some(reason)),
        ContainerEvent::StartRequested { .. } => ("start requested", None),
        ContainerEvent::ContainerReady => ("ready", None),
        ContainerEvent::StartFailing { reason } => ("does not start, undoing", Some(reason)),
        ContainerEvent::StartFailed { reason } => ("start failed", Some(reason)),
        ContainerEvent::StopRequested { .. } => ("stop requested", None),
        ContainerEvent::StopSignalled => ("init told to stop", None),
        ContainerEvent::StopAskedAgain { .. } => ("stop asked for again", None),
        ContainerEvent::ReturnPromised { paused: false } => ("to run again when it is let go on", None),
        ContainerEvent::ReturnPromised { paused: true } => ("paused until now, to stay stopped", None),
        ContainerEvent::ReturnCalledOff => ("stop requested: it stays stopped", None),
        ContainerEvent::RestartDue => ("starting again", None),
        ContainerEvent::DiskCleared => ("disk has room again", None),
        ContainerEvent::RemainsCleared => ("what the start left is cleared away", None),
        ContainerEvent::RestartRequested { .. } => ("restart requested", None),
        ContainerEvent::StopStuck { reason } => ("stop stuck", Some(reason)),
        ContainerEvent::PauseRequested => ("pause requested", None),
        ContainerEvent::ContainerPaused => ("paused", None),
        ContainerEvent::PauseFailed { reason } => ("pause failed", Some(reason)),
        ContainerEvent::ResumeRequested => ("resume requested", None),
        ContainerEvent::ContainerResumed => ("resumed", None),
        ContainerEvent::ResumeFailed { reason } => ("resume failed", Some(reason)),
        ContainerEvent::LimitChangeRequested { .. } => ("other limits requested", None),
        ContainerEvent::LimitChangeFailing { reason } => {
            ("other limits do not take, putting the old back", Some(reason))
        }
        ContainerEvent::LimitChangeFailed { reason } => ("limits unchanged", Some(reason)),
        ContainerEvent::RenameFailed { reason } => ("name unchanged", Some(reason)),
        ContainerEvent::DeleteRequested { .. } => ("deletion requested", None),
        ContainerEvent::UndeleteRequested { .. } => ("return from the grave requested", None),
        ContainerEvent::ContainerUndeleted => ("taken back from the grave", None),
        ContainerEvent::UndeleteFailing { reason } => ("cannot come back, undoing", Some(reason)),
        ContainerEvent::UndeleteFailed { reason, .. } => ("stays in its grave", Some(reason)),
        ContainerEvent::PurgeRequested => ("purge requested", None),
        ContainerEvent::ContainerPurged => ("purged", None),
        ContainerEvent::PurgeStuck { reason } => ("purge stuck", Some(reason)),
        ContainerEvent::UndoStuck { reason } => ("undo stuck", Some(reason)),
        ContainerEvent::ParentNotified => ("outcome told to the waiting operation", None),
        _ => ("", None),
    };
    reason.map_or_else(|| words.to_owned(), |reason| format!("{words}: {reason}"))
}
