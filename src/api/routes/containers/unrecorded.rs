//! What still works where nothing can be recorded: ending what runs, and freeing what was given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::rt;
use tokio::sync::oneshot;

use crate::actors::{Recorded, Registry, UnrecordedStop, at_once};
use crate::api::edge::{Edge, Subject};
use crate::api::problem::{ApiError, ApiResult};
use crate::domain::container::{Command, Container};
use crate::domain::effect::{Failure, HostEffect, InitSignal};
use crate::effects::Observation;
use crate::projections::rows::{ContainerRow, ContainerState};
use crate::types::{ContainerId, OperationId, Span, StreamName};

/// How long a log that could not be written is waited for once room was made.
const LOG_PATIENCE: Duration = Duration::from_secs(3);
const LOG_PAUSE: Duration = Duration::from_millis(100);
/// How often a container is looked at that was told to end.
const END_PAUSE: Duration = Duration::from_millis(50);

/// Stops a container whose stop cannot be recorded, whether the log says that it runs or not. What is begun is ended, also
/// when whoever asked has gone; once it can be recorded, it is.
pub(super) async fn stop(edge: &Edge, row: &ContainerRow, subject: &Subject, grace: Span, why: ApiError) -> ApiResult {
    if edge.is_dry_run() {
        return Err(why);
    }
    let signal = match (&row.configuration.command, row.init_kind) {
        (None, Some(init)) => InitSignal::Of(init),
        _ => InitSignal::Terminate,
    };
    let order = edge.order(Command::Stop { grace, parent: None }, None)?;
    tracing::warn!(container = %row.name, who = %edge.principal.who, reason = %why, "stopped without a record");
    // Before anything ends: nobody is to take it for something that ended by itself, and start it again.
    let recorded = edge.ports.registry.owe_stop(UnrecordedStop::new(row.id, grace, order));
    let end = End {
        registry: Arc::clone(&edge.ports.registry),
        stream: subject.stream.clone(),
        container: row.id,
        operation: edge.operation,
        recorded,
    };
    let ended = rt::spawn(async move { end.come(signal, grace).await });
    if let Some(recorded) = ended.await.map_err(|error| ApiError::Internal(error.to_string()))?? {
        return edge.answer::<Container>(subject, recorded?).await;
    }
    edge.warn([format!("stopped, but not recorded: {why}")]);
    edge.done_unrecorded(subject)
}

/// Is the end of a container that nobody has recorded yet.
struct End {
    registry: Arc<Registry>,
    stream: StreamName,
    container: ContainerId,
    operation: OperationId,
    recorded: oneshot::Receiver<Recorded>,
}

impl End {
    /// Tells the init to end, gives it the time that it may take, and then takes away what is left. Once the stop is recorded
    /// the container's own plan makes it, and what runs then may be what somebody has started since: the record is returned,
    /// and the rest left to the plan.
    async fn come(mut self, signal: InitSignal, grace: Span) -> Result<Option<Recorded>, Failure> {
        let (registry, stream) = (Arc::clone(&self.registry), self.stream.clone());
        let (container, operation) = (self.container, self.operation);
        let deadline = Instant::now() + grace.as_duration();
        let perform = |work| at_once(registry.house(), &stream, operation, work);
        if grace != Span::default() && self.runs().await {
            if let Err(failure) = perform(HostEffect::SignalInit { container, signal }).await {
                tracing::warn!(%container, %failure, "the init is not told to end; it is killed when its time is over");
            }
            while Instant::now() < deadline && self.runs().await {
                if let Ok(recorded) = self.recorded.try_recv() {
                    return Ok(Some(recorded));
                }
                tokio::time::sleep(END_PAUSE).await;
            }
        }
        if let Ok(recorded) = self.recorded.try_recv() {
            return Ok(Some(recorded));
        }
        perform(HostEffect::EnsureStopped { container }).await?;
        Ok(self.recorded.try_recv().ok())
    }

    async fn runs(&self) -> bool {
        let (house, container) = (Arc::clone(self.registry.house()), self.container);
        let seen = tokio::task::spawn_blocking(move || house.host.observe(container)).await;
        matches!(seen, Ok(Observation::Running { .. }))
    }
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
