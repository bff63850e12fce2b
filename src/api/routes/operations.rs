//! Operations: lists, calling off, and waiting for the outcome.

use std::num::NonZeroUsize;
use std::sync::Arc;

use actix_web::{HttpRequest, web};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use crate::api::edge::{Edge, Subject};
use crate::api::look::{Look, ask};
use crate::api::ports::Ports;
use crate::api::problem::ApiResult;
use crate::api::resources::{MemberOutcome, WaitOutcome, WaitPhase, WaitProgress};
use crate::api::sse::{self, Frames, Gone};
use crate::domain::{
    Refusal, RefusalClass, backup_job, batch, container, maintenance, network, restore_job, store, template,
};
use crate::events::{Envelope, Mark};
use crate::projections::query::{Moment, OPERATION_PAGE, OperationFilter};
use crate::projections::rows::{BatchMemberRow, OperationRow};
use crate::projections::told;
use crate::types::{Category, OperationId, Position};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/operations", web::get().to(list))
        .route("/operations/{reference}", web::get().to(show))
        .route("/operations/{reference}/cancel", web::post().to(cancel))
        .route("/operations/{reference}/wait", web::get().to(wait));
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    open: bool,
    limit: Option<NonZeroUsize>,
    container: Option<String>,
}

async fn list(look: Look, wanted: web::Query<Wanted>) -> ApiResult {
    let wanted = wanted.into_inner();
    look.list("operation", move |query, moment| {
        let container = wanted.container.map(|reference| query.container(&reference, moment)).transpose()?;
        let target = container.map(|row| crate::types::StreamName::new(Category::Container, row.id));
        let limit = wanted.limit.map_or(OPERATION_PAGE, NonZeroUsize::get);
        query.operations(&OperationFilter { open: wanted.open, target, limit: Some(limit) }, moment)
    })
    .await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.operation(&reference, moment)).await
}

/// Calls an operation off. The command belongs to that very operation, and so does what it records.
async fn cancel(mut edge: Edge, reference: web::Path<String>) -> ApiResult {
    let row = edge.ask(move |query| query.operation(&reference, Moment::Now)).await?;
    if row.state.is_over() {
        let message = format!("operation {} is over: {}", row.id.short(), row.state);
        let refusal = Refusal::new(RefusalClass::Conflict, "operation.over", message);
        return Err(refusal.hinted(format!("berth operation show {}", row.id.short())).into());
    }
    edge.operation = row.id;
    edge.warn(gone_too_far(&row));
    let (operation, subject) = (row.id, Subject::new(row.stream.clone(), row.target_name.as_ref()));
    macro_rules! call_off {
        ($($category:ident => $module:ident::$aggregate:ident),+ $(,)?) => {
            match row.stream.category() {
                $(Category::$category => {
                    edge.perform::<$module::$aggregate>(subject, $module::Command::Cancel { operation }).await
                })+
                _ => {
                    let message = format!("{} cannot be called off", row.verb);
                    Err(Refusal::new(RefusalClass::Conflict, "operation.too-late", message).into())
                }
            }
        };
    }
    call_off! {
        Container => container::Container,
        Template => template::Template,
        Network => network::Network,
        Store => store::Store,
        BackupJob => backup_job::BackupJob,
        RestoreJob => restore_job::RestoreJob,
        Maintenance => maintenance::Maintenance,
        Batch => batch::Batch,
    }
}

/// Says what calling it off does not take back: an init that was told to end may do so yet.
fn gone_too_far(row: &OperationRow) -> Option<String> {
    let is_down = matches!(row.phase.as_deref(), Some("waiting to start again" | "starting again"));
    let may_end = matches!(row.verb.as_str(), "stop" | "restart") && !is_down;
    may_end.then(|| "its init has been told to end, and may still do so; it is not killed any more".to_owned())
}

/// Tells phases and progress, and at last the outcome. The log is subscribed to before the row is read, so that an
/// outcome between the two cannot be missed.
async fn wait(look: Look, request: HttpRequest, reference: web::Path<String>) -> ApiResult {
    let resumed = sse::last_event(&request)?.map(Position::new);
    let row = look.ask(move |query, _| query.operation(&reference, Moment::Now)).await?;
    let (frames, response) = sse::open();
    let after = resumed.unwrap_or_else(|| Position::new(row.opened.get().saturating_sub(1)));
    actix_web::rt::spawn(watch(look.ports, frames, row.id, after));
    Ok(response)
}

async fn watch(ports: web::Data<Ports>, frames: Frames, operation: OperationId, after: Position) {
    let house = ports.registry.house();
    let mut progress = house.watch_progress();
    let mut subscription = house.log.subscribe(after);
    let mut shutdown = ports.shutdown.clone();
    let head = house.log.head().position;
    let Ok(mut row) = current(&ports, operation).await else { return };
    loop {
        // What is over is told once everything before has been told.
        if row.state.is_over() && subscription.position() >= head.min(row.position) {
            let Ok(members) = members(&ports, &row).await else { return };
            let _ = frames.send("outcome", None, &outcome(&row, members)).await;
            return;
        }
        let told = tokio::select! {
            event = subscription.next() => match event {
                Ok(event) => step(&ports, &frames, &mut row, event).await,
                Err(_) => Err(Gone),
            },
            update = progress.recv() => match update {
                Ok(update) if update.operation == operation => {
                    let (phase, done) = (update.progress.phase, update.progress.done);
                    let progress = WaitProgress { operation, phase, done, total: update.progress.total };
                    frames.send("progress", None, &progress).await
                }
                Ok(_) | Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => Err(Gone),
            },
            () = tokio::time::sleep(sse::KEEP_ALIVE) => frames.keep_alive().await,
            _ = shutdown.wait_for(|ending| *ending) => Err(Gone),
        };
        if told.is_err() {
            return;
        }
    }
}

/// Tells one event of the operation; one of its stream that ends something makes the row be read again.
async fn step(
    ports: &web::Data<Ports>,
    frames: &Frames,
    row: &mut OperationRow,
    event: Arc<Envelope>,
) -> Result<(), Gone> {
    let ours = event.context.operation == row.id;
    if !ours && event.stream != row.stream {
        return Ok(());
    }
    let Some(told) = told(&event) else { return Ok(()) };
    if event.stream == row.stream && matches!(told.mark, Mark::Closed { .. }) {
        *row = current(ports, row.id).await.map_err(|_| Gone)?;
    }
    if !ours {
        return Ok(());
    }
    let phase = match told.mark {
        Mark::Phase { name } => Some(name.to_owned()),
        _ => None,
    };
    let phase = WaitPhase {
        operation: row.id,
        stream: event.stream.clone(),
        phase,
        sentence: told.sentence,
        position: event.position,
        at: event.recorded_at,
    };
    frames.send("phase", Some(event.position.get()), &phase).await
}

async fn current(ports: &web::Data<Ports>, operation: OperationId) -> ApiResult<OperationRow> {
    ask(ports, move |query| query.operation(&operation.to_string(), Moment::Now)).await
}

/// Says how it went with each, where the operation is one on many.
async fn members(ports: &web::Data<Ports>, row: &OperationRow) -> ApiResult<Vec<MemberOutcome>> {
    let Some(id) = row.stream.key().parse().ok().filter(|_| row.stream.category() == Category::Batch) else {
        return Ok(vec![]);
    };
    ask(ports, move |query| {
        let Some(batch) = query.batch(id, Moment::Now)? else { return Ok(vec![]) };
        let deed = batch.action.deed();
        let member = |member: BatchMemberRow| {
            let cause = query.operation_rows(&member.operation.to_string(), Moment::Now)?;
            let name = member.container_name.map_or_else(|| member.container.to_string(), |name| name.to_string());
            let cause = cause.into_iter().find_map(|row| row.cause);
            Ok(MemberOutcome { name, state: member.state, deed: deed.to_owned(), reason: member.reason, cause })
        };
        batch.members.into_iter().map(member).collect()
    })
    .await
}

fn outcome(row: &OperationRow, members: Vec<MemberOutcome>) -> WaitOutcome {
    WaitOutcome {
        operation: row.id,
        state: row.state,
        reason: row.reason.clone(),
        cause: row.cause.clone(),
        warnings: row.warnings.clone(),
        members,
        opened_at: Some(row.opened_at),
        closed_at: row.closed_at,
    }
}
