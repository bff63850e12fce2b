//! Backup stores: lists, creation, and the recovery key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use actix_web::{HttpResponse, web};

use super::containers::{reach, read};
use super::templates::{All, absolute};
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::{Look, block, in_time, unheard};
use crate::api::places::{Places, Taken, leads_to};
use crate::api::problem::ApiResult;
use crate::api::reading;
use crate::api::resources::{CreateStore, ListEnvelope, RecoveryKey};
use crate::domain::store::{Command, Store};
use crate::domain::{Refusal, RefusalClass};
use crate::effects::patience::{Looks, occupied};
use crate::projections::rows::{StoreRow, ThingState};
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
    let listed = look.ask(move |query, moment| Ok((query.stores(wanted.all, moment)?, query.as_of(moment)?)));
    let (rows, as_of) = listed.await?;
    let items = with_trouble(&look, rows).await?;
    Ok(HttpResponse::Ok().json(ListEnvelope { schema: "berth.store.list/v1".to_owned(), as_of, items }))
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    let row = look.ask(move |query, moment| query.store(&reference, moment)).await?;
    let rows = with_trouble(&look, vec![row]).await?;
    Ok(HttpResponse::Ok().json(rows.into_iter().next()))
}

/// Says what is wrong with stores now. The read models are let go before: a store may take its time.
async fn with_trouble(look: &Look, mut rows: Vec<StoreRow>) -> ApiResult<Vec<StoreRow>> {
    let is_ready = |row: &StoreRow| row.state == ThingState::Ready;
    let mut troubles = troubles(look, rows.iter().filter(|row| is_ready(row)).map(|row| row.id).collect()).await?;
    for row in rows.iter_mut().filter(|row| is_ready(row)) {
        row.trouble = troubles.remove(&row.id);
    }
    Ok(rows)
}

/// Returns what is wrong now with those of the stores that cannot be used.
pub(in crate::api) async fn troubles(look: &Look, ids: Vec<StoreId>) -> ApiResult<HashMap<StoreId, String>> {
    if !look.is_now() {
        return Ok(HashMap::new());
    }
    let access = look.ports.access.clone();
    let found = block(move || ids.iter().copied().zip(access.store_troubles(&ids)).collect::<Vec<_>>()).await?;
    Ok(found.into_iter().filter_map(|(id, trouble)| Some((id, trouble?))).collect())
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

/// Refuses a directory that is a store of this node already, lies in one, or in what the daemon keeps for itself.
async fn check_path(edge: &Edge, path: &str) -> ApiResult<()> {
    let wanted = leads_to(Path::new(path)).await?.map_err(|why| unheard(path, "store.silent", why))?;
    match Places::of(edge).await?.taken(&wanted) {
        None => require_room(path).await,
        Some(Taken::ByDaemon(directory)) => {
            let message = format!("{path} is in {}, which the daemon keeps for itself", directory.display());
            let refusal = Refusal::new(RefusalClass::Invalid, "store.inside-state", message);
            Err(refusal.hinted("berth store create NAME /srv/backup").into())
        }
        Some(Taken::ByStore { store, place }) => {
            let is = if wanted == place { "is" } else { "lies in" };
            let message = format!("{path} {is} the store {store} already");
            let refusal = Refusal::new(RefusalClass::Conflict, "store.exists", message);
            Err(refusal.hinted(format!("berth store show {store}")).into())
        }
    }
}

/// Refuses a place that is something already, before anything is recorded: a dry run says it, too.
async fn require_room(path: &str) -> ApiResult<()> {
    static LOOKS: LazyLock<Looks<PathBuf, Option<&'static str>>> = LazyLock::new(Looks::default);
    match in_time(&LOOKS, Path::new(path), occupied).await?.map_err(|why| unheard(path, "store.silent", why))? {
        None => Ok(()),
        Some(wrong) => {
            let message = format!("{path} {wrong}; choose an empty directory");
            Err(Refusal::new(RefusalClass::Conflict, "store.place-taken", message).into())
        }
    }
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
