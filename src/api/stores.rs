//! Backup stores: lists, creation, and the recovery key.

use actix_web::{HttpResponse, web};

use super::containers::{reach, read};
use super::edge::{Edge, Room, Subject, draw};
use super::look::Look;
use super::problem::ApiResult;
use super::reading;
use super::resources::{CreateStore, RecoveryKey};
use super::templates::{All, absolute};
use crate::domain::store::{Command, Store};
use crate::domain::{Refusal, RefusalClass};
use crate::projections::query::Moment;
use crate::types::{Category, Name, StoreId, StreamName};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/stores", web::get().to(list))
        .route("/stores", web::post().to(create))
        .route("/stores/{reference}", web::get().to(show))
        .route("/stores/{reference}/recovery-key", web::get().to(recovery_key))
        .route("/stores/{reference}/confirm-recovery-key", web::post().to(confirm));
}

async fn list(look: Look, wanted: web::Query<All>) -> ApiResult {
    look.list("store", move |query, moment| query.stores(wanted.all, moment)).await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.store(&reference, moment)).await
}

async fn create(edge: Edge) -> ApiResult {
    edge.check_room(Room::Much)?;
    let wish: CreateStore = edge.body()?;
    let name: Name = read("name.invalid", &wish.name)?;
    absolute(&wish.path)?;
    let id = StoreId::from_bytes(draw()?);
    let node = edge.ports.node.id;
    let subject = Subject::new(StreamName::new(Category::Store, id), Some(&name));
    edge.foresee_name(&subject.stream, &name).await?;
    check_path(&edge, &wish.path).await?;
    edge.perform::<Store>(subject, Command::Create { id, name, path: wish.path, node }).await
}

/// Refuses a directory that is a store of this node already.
async fn check_path(edge: &Edge, path: &str) -> ApiResult<()> {
    let stores = edge.ask(|query| query.stores(false, Moment::Now)).await?;
    let own = |text: &str| text.trim_end_matches('/').to_owned();
    let Some(store) = stores.into_iter().find(|store| own(&store.path) == own(path)) else { return Ok(()) };
    let message = format!("{path} is the store {} already", store.name);
    let refusal = Refusal::new(RefusalClass::Conflict, "store.exists", message);
    Err(refusal.hinted(format!("berth store show {}", store.name)).into())
}

async fn recovery_key(look: Look, edge: Edge, reference: web::Path<String>) -> ApiResult {
    let row = look.ask(move |query, moment| query.store(&reference, moment)).await?;
    let subject = Subject::new(StreamName::new(Category::Store, row.id), Some(&row.name));
    reading::record::<Store>(edge, &subject, Command::ShowRecoveryKey).await?;
    let (id, fingerprint) = (row.id, row.recovery_fingerprint);
    let key = reach(&look.ports, move |access| access.recovery_key(id)).await?;
    Ok(HttpResponse::Ok().json(RecoveryKey { store: row.name.to_string(), key, fingerprint }))
}

async fn confirm(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let row = edge.ask(move |query| query.usable_store(&reference)).await?;
    let subject = Subject::new(StreamName::new(Category::Store, row.id), Some(&row.name));
    edge.perform::<Store>(subject, Command::ConfirmRecoveryKey).await
}
