//! What the host reports by itself.

use crate::domain::Given;
use crate::domain::container::{Container, Life, Work, hits};
use crate::events::{ContainerEvent, Exit, ProcessIdentity};
use crate::types::Hits;

/// An exit ends whatever had a running init for its object; a rename goes on, and the exit is reported again after it.
pub(super) fn report_exit(
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

pub(super) fn report_ready(state: &Container, init: &ProcessIdentity) -> Vec<ContainerEvent> {
    let news = state.life == Life::Running(init.clone()) && !state.ready;
    if news { vec![ContainerEvent::ContainerReady] } else { vec![] }
}

pub(super) fn report_boot(state: &Container, boot: &str) -> Vec<ContainerEvent> {
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
