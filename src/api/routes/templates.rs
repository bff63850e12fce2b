//! Templates: lists, import, verification, removal.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use actix_web::web;
use serde::Deserialize;

use super::containers::read;
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::{Look, in_time, unheard};
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::ImportTemplate;
use crate::domain::template::{Command, Template};
use crate::domain::{Refusal, RefusalClass};
use crate::effects::patience::Looks;
use crate::events::TemplateSource;
use crate::types::{Category, Name, StreamName, TemplateId};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/templates", web::get().to(list))
        .route("/templates", web::post().to(import))
        .route("/templates/{reference}", web::get().to(show))
        .route("/templates/{reference}/verify", web::post().to(verify))
        .route("/templates/{reference}/delete", web::post().to(delete));
}

/// Says whether what is gone is wanted too.
#[derive(Deserialize)]
pub(in crate::api) struct All {
    #[serde(default)]
    pub(in crate::api) all: bool,
}

async fn list(look: Look, wanted: web::Query<All>) -> ApiResult {
    look.list("template", move |query, moment| query.templates(wanted.all, moment)).await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.template(&reference, moment)).await
}

async fn import(edge: Edge) -> ApiResult {
    edge.check_room(Room::Much)?;
    let wish: ImportTemplate = edge.body()?;
    let name: Name = read("name.invalid", &wish.name)?;
    require_source(&wish.source).await?;
    let id = TemplateId::from_bytes(draw()?);
    let subject = Subject::new(StreamName::new(Category::Template, id), Some(&name));
    edge.foresee_name(&subject.stream, &name).await?;
    edge.perform::<Template>(subject, Command::Import { id, name, source: wish.source }).await
}

/// Is what was found at a path: whether it is a directory, or why that cannot be told.
type Found = Result<bool, ErrorKind>;

/// Refuses a source that is not there, or is no such thing; whether it can be read shows when it is read.
async fn require_source(source: &TemplateSource) -> ApiResult<()> {
    static LOOKS: LazyLock<Looks<PathBuf, Found>> = LazyLock::new(Looks::default);
    let (path, directory) = match source {
        TemplateSource::Directory { path } => (path, true),
        TemplateSource::Archive { path } => (path, false),
        TemplateSource::Host => return Ok(()),
    };
    absolute(path)?;
    let look = |path: &Path| std::fs::metadata(path).map(|found| found.is_dir()).map_err(|error| error.kind());
    match in_time(&LOOKS, Path::new(path), look).await?.map_err(|why| unheard(path, "path.silent", why))? {
        Err(ErrorKind::NotFound) => {
            let message = format!("there is no {path} on the node");
            Err(Refusal::new(RefusalClass::NotFound, "path.not-found", message).into())
        }
        Ok(found) if found != directory => {
            let wanted = if directory { "no directory" } else { "a directory, no archive" };
            Err(ApiError::invalid("path.kind", format!("{path} is {wanted}")))
        }
        _ => Ok(()),
    }
}

/// Refuses a path that means something else to the daemon than to its caller.
pub(in crate::api) fn absolute(path: &str) -> ApiResult<()> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(());
    }
    Err(ApiError::invalid("path.not-absolute", format!("{path:?} is no absolute path")))
}

async fn command(edge: Edge, reference: web::Path<String>, command: Command) -> ApiResult {
    let row = edge.ask(move |query| query.usable_template(&reference)).await?;
    let subject = Subject::new(StreamName::new(Category::Template, row.id), Some(&row.name));
    edge.perform::<Template>(subject, command).await
}

async fn verify(edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::Some)?;
    command(edge, reference, Command::Verify).await
}

async fn delete(edge: Edge, reference: web::Path<String>) -> ApiResult {
    command(edge, reference, Command::Delete).await
}
