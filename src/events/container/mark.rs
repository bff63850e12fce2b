//! What each fact does to its operation: opens it, moves it on, or closes it.

use super::ContainerEvent;
use crate::events::{Closing, Mark};
use crate::types::Span;

/// Returns what a fact means to the operation of its stream.
pub fn of(event: &ContainerEvent) -> Mark {
    if let Some(verb) = opens(event) {
        return Mark::Opened { verb };
    }
    if let Some(outcome) = closes(event) {
        return Mark::Closed { outcome };
    }
    match event {
        ContainerEvent::NameClaimed
        | ContainerEvent::IdRangeClaimed { .. }
        | ContainerEvent::TemplateClaimed { .. } => Mark::Phase { name: "claiming" },
        ContainerEvent::AddressClaimed(_) => Mark::Phase { name: "preparing the disk" },
        ContainerEvent::CreateFailed { .. }
        | ContainerEvent::StartFailing { .. }
        | ContainerEvent::LimitChangeFailing { .. }
        | ContainerEvent::UndeleteFailing { .. } => Mark::Phase { name: "undoing" },
        ContainerEvent::ContainerHalted { delay, .. } if *delay > Span::default() => {
            Mark::Phase { name: "waiting to start again" }
        }
        ContainerEvent::ContainerHalted { .. } | ContainerEvent::RestartDue => Mark::Phase { name: "starting again" },
        ContainerEvent::StopAskedAgain { .. } => Mark::Phase { name: "asked again" },
        ContainerEvent::ReturnCalledOff => Mark::Done { verb: "stop" },
        ContainerEvent::StopSignalled => Mark::Phase { name: "waiting for init" },
        ContainerEvent::GraceExpired { .. } => Mark::Phase { name: "killing" },
        _ => Mark::Fact,
    }
}

fn opens(event: &ContainerEvent) -> Option<&'static str> {
    Some(match event {
        ContainerEvent::CreateRequested { .. } => "create",
        ContainerEvent::StartRequested { .. } => "start",
        ContainerEvent::StopRequested { .. } => "stop",
        ContainerEvent::RestartRequested { .. } => "restart",
        ContainerEvent::PauseRequested | ContainerEvent::SpacePauseRequested { .. } => "pause",
        ContainerEvent::ResumeRequested => "resume",
        ContainerEvent::LimitChangeRequested { .. } => "set",
        ContainerEvent::RenameRequested { .. } => "rename",
        ContainerEvent::DeleteRequested { .. } => "delete",
        ContainerEvent::UndeleteRequested { .. } => "undelete",
        ContainerEvent::PurgeRequested => "purge",
        _ => return None,
    })
}

fn closes(event: &ContainerEvent) -> Option<Closing> {
    Some(match event {
        ContainerEvent::ContainerCreated
        | ContainerEvent::ContainerStarted { .. }
        | ContainerEvent::ContainerStopped { .. }
        | ContainerEvent::ContainerPaused
        | ContainerEvent::ContainerResumed
        | ContainerEvent::LimitsSet { .. }
        | ContainerEvent::ContainerRenamed { .. }
        | ContainerEvent::ContainerBuried { .. }
        | ContainerEvent::ContainerUndeleted
        | ContainerEvent::ContainerPurged => Closing::Done,
        ContainerEvent::CreateUndone { reason }
        | ContainerEvent::StartFailed { reason }
        | ContainerEvent::PauseFailed { reason }
        | ContainerEvent::ResumeFailed { reason }
        | ContainerEvent::LimitChangeFailed { reason }
        | ContainerEvent::RenameFailed { reason }
        | ContainerEvent::UndeleteFailed { reason, .. } => Closing::Failed { reason: reason.clone() },
        ContainerEvent::OperationCalledOff { .. } => Closing::Cancelled,
        ContainerEvent::StopStuck { reason }
        | ContainerEvent::PurgeStuck { reason }
        | ContainerEvent::UndoStuck { reason } => Closing::Stuck { reason: reason.clone() },
        _ => return None,
    })
}
