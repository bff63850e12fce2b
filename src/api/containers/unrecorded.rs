//! What still works where nothing can be recorded: ending what runs, and freeing what was given up.

use std::time::Duration;

use super::super::edge::{Edge, Subject};
use super::super::problem::{ApiError, ApiResult};
use crate::actors::at_once;
use crate::domain::container::{Command, Container};
use crate::domain::effect::HostEffect;
use crate::domain::{Refusal, RefusalClass};
use crate::projections::rows::{ContainerRow, ContainerState};

/// How long a log that could not be written is waited for once room was made.
const LOG_PATIENCE: Duration = Duration::from_secs(3);
const LOG_PAUSE: Duration = Duration::from_millis(100);

/// Kills a container whose stop cannot be recorded. Once it can, the end of its init is found and recorded.
pub(super) async fn kill(edge: &Edge, row: &ContainerRow, subject: &Subject, why: &ApiError) -> ApiResult {
    if edge.is_dry_run() {
        return Err(ApiError::Log(why.to_string()));
    }
    let work = HostEffect::EnsureStopped { container: row.id };
    at_once(edge.ports.registry.house(), &subject.stream, edge.operation, work).await?;
    edge.warn([format!("killed, but not recorded yet: {why}")]);
    edge.done_unrecorded(subject)
}

/// Says what is left where a stop cannot be recorded and nobody said that the container may be killed.
pub(super) fn only_kill(why: &ApiError) -> ApiError {
    let message = format!("nothing can be recorded, so nothing is waited for: {why}");
    let refusal = Refusal::new(RefusalClass::Limit, "log.unwritable", message);
    refusal.hinted("berth container stop NAME --kill").into()
}

/// Frees what a deleted container still takes, and then records its purge.
///
/// The room that its disk took is what the log lacks. Only what was given up, and is recorded so, is removed.
pub(super) async fn purge(edge: &Edge, row: &ContainerRow, subject: Subject, why: ApiError) -> ApiResult {
    if row.rest != ContainerState::Deleted || edge.is_dry_run() {
        return Err(why);
    }
    let work = HostEffect::EnsureDiskGone { container: row.id };
    at_once(edge.ports.registry.house(), &subject.stream, edge.operation, work).await?;
    let begun = std::time::Instant::now();
    loop {
        tokio::time::sleep(LOG_PAUSE).await;
        match edge.give::<Container>(&subject, Command::Purge, None).await {
            Err(error) if error.is_of_the_log() && begun.elapsed() < LOG_PATIENCE => {}
            Err(error) if error.is_of_the_log() => {
                break edge.warn([format!("removed, but not recorded yet: {error}")]);
            }
            given => return edge.answer::<Container>(&subject, given?).await,
        }
    }
    edge.done_unrecorded(&subject)
}
