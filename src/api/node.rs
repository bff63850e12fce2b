//! The node, what is wrong with its host, coverage, and the log's seal.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};

use super::edge::Edge;
use super::look::{Look, block};
use super::problem::{ApiError, ApiResult};
use super::resources::{CheckpointNote, NodeStatus};
use super::schedules;
use crate::domain::{Refusal, RefusalClass};
use crate::projections::query::{Moment, Query, QueryError, hexadecimal};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/node", web::get().to(status))
        .route("/doctor", web::get().to(doctor))
        .route("/coverage", web::get().to(coverage))
        .route("/node/rebuild", web::post().to(rebuild))
        .route("/audit/checkpoint", web::post().to(checkpoint));
}

async fn status(look: Look) -> ApiResult {
    let mut status = look.ask(node_status).await?;
    let ports = &look.ports;
    status.version = Some(ports.node.version.clone());
    status.space = Some((ports.log.level)().as_str().to_owned());
    status.read_only = (ports.log.read_only)();
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
    Ok(NodeStatus {
        node: query.node(moment)?,
        version: None,
        log: query.reader().log().to_string(),
        head: query.as_of(moment)?,
        root: hexadecimal(&head.root),
        space: None,
        read_only: None,
        projections: query.reader().projections()?,
        containers: query.container_states(moment)?,
        counts: counts.into_iter().map(|(noun, count)| (noun.to_owned(), count)).collect(),
        open_operations: query.open_operation_count()?,
    })
}

async fn doctor(look: Look) -> ApiResult {
    let doctor = look.ports.doctor.clone();
    Ok(HttpResponse::Ok().json(block(move || doctor()).await?))
}

async fn coverage(look: Look) -> ApiResult {
    let now = look.ports.clock.now();
    look.list("coverage", move |query, moment| {
        let now = query.clock_at(moment, now)?;
        let mut rows = query.coverage(now, moment)?;
        let next: BTreeMap<_, _> = query
            .schedules(false, moment)?
            .iter()
            .filter_map(|row| Some((row.name.to_string(), schedules::next(row, now)?)))
            .collect();
        for row in &mut rows {
            row.next_run = row.schedules.iter().filter_map(|name| next.get(name.as_str())).min().copied();
        }
        Ok(rows)
    })
    .await
}

async fn checkpoint(edge: Edge) -> ApiResult {
    let sealed = (edge.ports.log.checkpoint)();
    let note = sealed.await.map_err(|_| ApiError::Log("the log is closed".to_owned()))??;
    let note = note.ok_or_else(|| {
        Refusal::new(RefusalClass::Conflict, "log.empty", "the log is empty: there is nothing to sign")
    })?;
    Ok(HttpResponse::Ok().json(CheckpointNote { note }))
}

/// Makes everything anew that follows from the log.
async fn rebuild(edge: Edge) -> ApiResult {
    let rebuild = edge.ports.log.rebuild.clone();
    tracing::info!(who = %edge.principal.who, "everything that follows from the log is made anew");
    let rebuilt = block(move || rebuild()).await?.map_err(ApiError::Log)?;
    Ok(HttpResponse::Ok().json(rebuilt))
}
