//! Maintenance: one container is a run of its own, several are a batch.

use std::num::NonZeroUsize;

use actix_web::web;
use serde::Deserialize;

use super::backups::{Members, batch_members, members, parallel};
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::Look;
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::RunMaintenance;
use crate::domain::batch::{self, Batch};
use crate::domain::maintenance::{Command, Maintenance};
use crate::events::{BatchAction, HoldKind, MaintenanceAction};
use crate::projections::query::MaintenanceFilter;
use crate::types::{Category, RunId, StreamName};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/maintenance", web::get().to(list))
        .route("/maintenance", web::post().to(run))
        .route("/maintenance/{reference}", web::get().to(show));
}

#[derive(Deserialize)]
struct Wanted {
    container: Option<String>,
    action: Option<String>,
    limit: Option<NonZeroUsize>,
}

async fn list(look: Look, wanted: web::Query<Wanted>) -> ApiResult {
    let wanted = wanted.into_inner();
    look.list("maintenance", move |query, moment| {
        let container = wanted.container.map(|reference| query.container(&reference, moment)).transpose()?;
        let container = container.map(|row| row.id);
        query.maintenance(
            &MaintenanceFilter { container, action: wanted.action, limit: wanted.limit.map(NonZeroUsize::get) },
            moment,
        )
    })
    .await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.maintenance_run(&reference, moment)).await
}

async fn run(edge: Edge) -> ApiResult {
    edge.check_room(Room::Some)?;
    let wish: RunMaintenance = edge.body()?;
    let action = match wish.action.as_str() {
        "defragment" => BatchAction::Defragment,
        "update-check" => BatchAction::UpdateCheck,
        other => {
            let message = format!("{other:?} is no maintenance; write defragment or update-check");
            return Err(ApiError::invalid("maintenance.action", message));
        }
    };
    let id = RunId::from_bytes(draw()?);
    match members(&edge, wish.containers, wish.all).await? {
        Members::One(row) => {
            let subject = Subject::new(StreamName::new(Category::Maintenance, id), Some(&row.name));
            edge.foresee_hold(&row, HoldKind::Reading, &subject.stream).await?;
            let container = row.id;
            let action = match action {
                BatchAction::Defragment => MaintenanceAction::Defragment { container },
                _ => MaintenanceAction::UpdateCheck { container },
            };
            edge.perform::<Maintenance>(subject, Command::Request { id, action, parent: None }).await
        }
        Members::Many(rows) => {
            let members = batch_members(rows.iter().map(|row| row.id))?;
            let parallel = parallel(wish.parallel)?;
            let request = batch::Request { id, action, members, schedule: None, parallel, parent: None };
            let subject = Subject::new(StreamName::new(Category::Batch, id), None::<&str>);
            edge.perform::<Batch>(subject, batch::Command::Request(request)).await
        }
    }
}
