//! The node, what is wrong with its host, coverage, and the log's seal.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, web};

use super::disks;
use super::{schedules, stores};
use crate::api::edge::{Edge, Room, Subject};
use crate::api::look::{Look, block};
use crate::api::ports::Acceptance;
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::{CheckpointNote, ClockStatus, ListEnvelope, NodeStatus};
use crate::domain::clock::{self, Clock};
use crate::domain::{Refusal, RefusalClass};
use crate::projections::query::{Moment, Query, QueryError, hexadecimal};
use crate::projections::rows::{CoverageRow, CoverageWarning, Kept};
use crate::types::{Category, StoreId, StreamName, Trust};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/node", web::get().to(status))
        .route("/node/accept-history", web::post().to(accept_history))
        .route("/node/confirm-clock", web::post().to(confirm_clock))
        .route("/doctor", web::get().to(doctor))
        .route("/coverage", web::get().to(coverage))
        .route("/node/rebuild", web::post().to(rebuild))
        .route("/audit/checkpoint", web::post().to(checkpoint));
}

async fn status(look: Look) -> ApiResult {
    let access = look.ports.access.clone();
    let counted = move |query: &Query, moment| {
        let disks = disks::room(query, &*access)?;
        Ok(NodeStatus { disks, ..node_status(query, moment)? })
    };
    let mut status = look.ask(counted).await?;
    let ports = &look.ports;
    status.version = Some(ports.node.version.clone());
    status.space = Some((ports.log.level)().as_str().to_owned());
    status.read_only = (ports.log.read_only)();
    let key_trouble = ports.log.key_trouble.clone();
    status.key_trouble = block(move || key_trouble()).await?;
    if look.is_now() {
        let watch = &ports.registry.house().watch;
        trust_word(watch.trust()).clone_into(&mut status.clock.trust);
        status.clock.synchronised = Some(watch.is_synchronised());
    }
    Ok(HttpResponse::Ok().json(status))
}

/// Tells what the log alone knows of the node; also the answer with the daemon down.
///
/// # Errors
/// The log cannot be read.
pub fn node_status(query: &Query, moment: Moment) -> Result<NodeStatus, QueryError> {
    let head = query.reader().head()?;
    let stores = query.stores(false, moment)?;
    let counts = [
        ("templates", query.templates(false, moment)?.len() as u64),
        ("networks", query.networks(false, moment)?.len() as u64),
        ("stores", stores.len() as u64),
        ("schedules", query.schedules(false, moment)?.len() as u64),
        ("backups", stores.iter().map(|store| store.backups).sum()),
    ];
    let clock = query.clock(moment)?;
    let trust = if clock.doubted { Trust::Doubted } else { Trust::Sure };
    Ok(NodeStatus {
        node: query.node(moment)?,
        version: None,
        log: query.reader().log().to_string(),
        head: query.as_of(moment)?,
        root: hexadecimal(&head.root),
        space: None,
        clock: ClockStatus {
            trust: trust_word(trust).to_owned(),
            synchronised: None,
            stepped: clock.steps.last().copied(),
        },
        read_only: None,
        key_trouble: None,
        disks: None,
        projections: query.reader().projections()?,
        containers: query.container_states(moment)?,
        counts: counts.into_iter().map(|(noun, count)| (noun.to_owned(), count)).collect(),
        open_operations: query.open_operation_count()?,
    })
}

const fn trust_word(trust: Trust) -> &'static str {
    match trust {
        Trust::Sure => "sure",
        Trust::Settling => "settling",
        Trust::Doubted => "doubted",
    }
}

async fn confirm_clock(edge: Edge) -> ApiResult {
    edge.check_room(Room::None)?;
    let stream = StreamName::new(Category::Clock, edge.ports.node.id);
    edge.ports.registry.read_on(&stream); // its last step was written by the log itself
    edge.perform::<Clock>(Subject::new(stream, Some("clock")), clock::Command::Confirm).await
}

async fn doctor(look: Look) -> ApiResult {
    let doctor = look.ports.doctor.clone();
    Ok(HttpResponse::Ok().json(block(move || doctor()).await?))
}

async fn coverage(look: Look) -> ApiResult {
    let (now, doubt) = schedules::present(&look);
    let asked = look.ask(move |query, moment| {
        let now = query.clock_at(moment, now)?;
        let mut rows = query.coverage(now, moment)?;
        let next: BTreeMap<_, _> = query
            .schedules(false, moment)?
            .iter()
            .filter_map(|row| Some((row.name.to_string(), schedules::next(row, now, doubt)?)))
            .collect();
        for row in &mut rows {
            row.next_run = row.schedules.iter().filter_map(|name| next.get(name.as_str())).min().copied();
        }
        Ok((rows, query.as_of(moment)?))
    });
    let (mut items, as_of) = asked.await?;
    warn_of_stores(&look, &mut items).await?;
    Ok(HttpResponse::Ok().json(ListEnvelope { schema: "berth.coverage.list/v1".to_owned(), as_of, items }))
}

/// Warns, before all else, where backups lie in a store that cannot be used now.
async fn warn_of_stores(look: &Look, rows: &mut [CoverageRow]) -> ApiResult<()> {
    let ids: BTreeSet<StoreId> = rows.iter().flat_map(|row| &row.stores).map(|kept| kept.store).collect();
    let troubles = stores::troubles(look, ids.into_iter().collect()).await?;
    for row in rows {
        let warning = |kept: &Kept| {
            let trouble = troubles.get(&kept.store)?;
            let which = if kept.backups == row.backups {
                "its backups lie".to_owned()
            } else {
                format!("{} of its {} backups lie", kept.backups, row.backups)
            };
            let text = format!("{which} in {}: {trouble}", kept.name);
            Some(CoverageWarning { code: "store-not-usable".to_owned(), text })
        };
        let found: Vec<CoverageWarning> = row.stores.iter().filter_map(warning).collect();
        row.warnings.splice(0..0, found);
    }
    Ok(())
}

async fn checkpoint(edge: Edge) -> ApiResult {
    let sealed = (edge.ports.log.checkpoint)();
    let note = sealed.await.map_err(|_| ApiError::Log("the log is closed".to_owned()))??;
    let note = note.ok_or_else(|| {
        Refusal::new(RefusalClass::Conflict, "log.empty", "the log is empty: there is nothing to sign")
    })?;
    Ok(HttpResponse::Ok().json(CheckpointNote { note }))
}

/// Goes on with a log that is not the one that was signed.
async fn accept_history(edge: Edge) -> ApiResult {
    let (accept, dry_run) = (edge.ports.log.accept.clone(), edge.is_dry_run());
    let (principal, operation, annex) = (edge.principal.clone(), edge.operation, edge.annex_bytes()?);
    let word = Acceptance { principal, operation, annex, dry_run };
    let accepted = block(move || accept(&word)).await?.map_err(ApiError::Log)?;
    let accepted = accepted.ok_or_else(|| {
        let message = "there is nothing to accept: the log is the one that was signed";
        Refusal::new(RefusalClass::Conflict, "node.history-is-whole", message)
    })?;
    Ok(HttpResponse::Ok().json(accepted))
}

/// Makes everything anew that follows from the log.
async fn rebuild(edge: Edge) -> ApiResult {
    edge.check_room(Room::None)?;
    let rebuild = edge.ports.log.rebuild.clone();
    tracing::info!(who = %edge.principal.who, "everything that follows from the log is made anew");
    let rebuilt = block(move || rebuild()).await?.map_err(ApiError::Log)?;
    Ok(HttpResponse::Ok().json(rebuilt))
}
