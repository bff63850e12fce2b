//! Restores: into a new container, in place, or some paths into a directory; then confirmed or rolled back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use actix_web::web;

use super::containers::{can_start, reach, read};
use super::templates::absolute;
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::{Look, unheard};
use crate::api::places::{Places, Taken, leads_to};
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::{RestoreRequest, RestoreTo};
use crate::domain::restore_job::{Command, Request, RestoreJob};
use crate::domain::{Refusal, RefusalClass};
use crate::effects::access::Access;
use crate::events::{Configuration, HoldKind, RestoreTarget, TemplateSource};
use crate::projections::query::{Moment, Query, QueryError};
use crate::projections::rows::{BackupRow, TemplateRow};
use crate::sys::process::{effective_group, effective_user};
use crate::types::{Category, ContainerId, Fingerprint, Name, RunId, StreamName, readings};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/backups/{reference}/restore", web::post().to(restore))
        .route("/restores", web::get().to(list))
        .route("/restores/{reference}", web::get().to(show))
        .route("/restores/{reference}/confirm", web::post().to(confirm))
        .route("/restores/{reference}/roll-back", web::post().to(roll_back));
}

async fn list(look: Look) -> ApiResult {
    look.list("restore", Query::restores).await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.restore(&reference, moment)).await
}

async fn restore(edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::Much)?;
    let wish: RestoreRequest = edge.body()?;
    if wish.start == Some(true) {
        can_start(&edge).await?;
    }
    let (backup, source) = edge
        .ask(move |query| {
            let backup = query.backup(&reference, Moment::Now)?;
            let source = query.container_by_id(backup.container)?;
            Ok((backup, source))
        })
        .await?;
    let id = RunId::from_bytes(draw()?);
    let subject = Subject::new(StreamName::new(Category::RestoreJob, id), Some(&backup.container_name));
    let in_place = wish.to == RestoreTo::InPlace;
    if let Some(row) = source.as_ref().filter(|_| in_place) {
        edge.foresee_hold(row, HoldKind::Writing, &subject.stream).await?;
    }
    let target = target(&edge, &wish, &backup).await?;
    edge.promise_restored(&target, source.as_ref()).await?;
    let request = Request {
        id,
        backup: backup.id,
        source: backup.container,
        store: backup.store,
        start: wish.start.unwrap_or(false),
        target,
    };
    edge.perform::<RestoreJob>(subject, Command::Request(request)).await
}

async fn target(edge: &Edge, wish: &RestoreRequest, backup: &BackupRow) -> ApiResult<RestoreTarget> {
    if wish.paths.iter().any(String::is_empty) {
        return Err(ApiError::invalid("restore.paths", "a path cannot be empty; / stands for all"));
    }
    if !wish.paths.is_empty() && wish.to != RestoreTo::Directory {
        return Err(ApiError::invalid("restore.paths", "single paths are restored into a directory only"));
    }
    if (wish.keep_owners || wish.keep_privileges) && wish.to != RestoreTo::Directory {
        let message = "owners and privileges are kept inside a container anyway; the choice is for a directory only";
        return Err(ApiError::invalid("restore.keep", message));
    }
    match wish.to {
        RestoreTo::InPlace => Ok(RestoreTarget::InPlace { container: backup.container }),
        RestoreTo::Directory => {
            let missing = || ApiError::invalid("restore.into", "name the directory that the files go into");
            let into = wish.into.clone().ok_or_else(missing)?;
            absolute(&into)?;
            check_place(edge, &into, &wish.paths).await?;
            let owner = (!wish.keep_owners && !wish.keep_privileges).then(|| owner(edge.ids));
            Ok(RestoreTarget::Directory { paths: wish.paths.clone(), into, owner, privileges: wish.keep_privileges })
        }
        RestoreTo::New => {
            let missing = || ApiError::invalid("restore.name", "name the new container");
            let name: Name = read("name.invalid", wish.name.as_deref().ok_or_else(missing)?)?;
            let mut configuration = Box::new(configuration(edge, backup).await?);
            configuration.hostname = name.clone().into();
            let container = ContainerId::from_bytes(draw()?);
            edge.foresee_name(&StreamName::new(Category::Container, container), &name).await?;
            Ok(RestoreTarget::New { container, name, configuration })
        }
    }
}

/// Refuses to write over what is Berth's own: its state, the disks of containers, the stores.
async fn check_place(edge: &Edge, into: &str, paths: &[String]) -> ApiResult<()> {
    let root = leads_to(Path::new(into)).await?.map_err(|why| unheard(into, "path.silent", why))?;
    let meant = paths.iter().flat_map(|path| readings(path.trim_start_matches('/')));
    let places = meant.map(|path| root.join(below_root(&path)));
    let known = Places::of(edge).await?;
    for place in [root.clone()].into_iter().chain(places) {
        let (code, whose) = match known.taken(&place) {
            None => continue,
            Some(Taken::ByDaemon(directory)) => {
                ("restore.inside-state", format!("{}, which the daemon keeps for itself", directory.display()))
            }
            Some(Taken::ByStore { store, place }) => {
                ("restore.inside-store", format!("{}, which is the store {store}", place.display()))
            }
        };
        let message = format!("files would go to {}, which is in {whose}", place.display());
        let refusal = Refusal::new(RefusalClass::Invalid, code, message);
        return Err(refusal.hinted("berth backup restore BACKUP --path PATH --into /srv/restored").into());
    }
    Ok(())
}

/// A path whose escapes make a slash of its first bytes is no path from the root of the host on.
fn below_root(path: &[u8]) -> &Path {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    Path::new(OsStr::from_bytes(&path[start..]))
}

/// Says to whom files outside belong: to the caller, if this daemon can give anything away.
fn owner(caller: (u32, u32)) -> (u32, u32) {
    if effective_user() == 0 { caller } else { (effective_user(), effective_group()) }
}

/// Returns what the container was when it was backed up. A network that is gone by now is left out, and a fixed
/// address, which its first owner may still have, becomes a free one. A template with the same files
/// does as well as its own; without one there is nothing to make it of.
async fn configuration(edge: &Edge, backup: &BackupRow) -> ApiResult<Configuration> {
    let run = backup.run;
    let found = edge.ask(move |query| {
        let Some(mut configuration) = query.backup_configuration(run)? else { return Ok(None) };
        let had = configuration.network;
        if let Some(network) = had {
            match query.usable_network(&network.to_string()) {
                Ok(_) => {}
                Err(QueryError::NotFound { .. }) => configuration.network = None,
                Err(error) => return Err(error),
            }
        }
        let template = query.template_of_backup(configuration.template)?;
        configuration.address = crate::events::AddressRequest::Auto;
        Ok(Some((had.is_some(), template, configuration)))
    });
    let message = "the log does not tell what the container was when it was backed up";
    let unknown = || Refusal::new(RefusalClass::NotFound, "backup.no-configuration", message);
    let (had_network, template, mut configuration) = found.await?.ok_or_else(unknown)?;
    configuration.template = template.map_err(|gone| no_template(&gone))?.id;
    if had_network && configuration.network.is_none() {
        edge.warn(["the network it was in is gone, so it has none".to_owned()]);
    }
    if let Some(command) = configuration.command {
        require_command(edge, command).await?;
    }
    Ok(configuration)
}

/// Says what a backup can become without the template of its container.
fn no_template(gone: &TemplateRow) -> Refusal {
    let name = &gone.name;
    let digest = gone.summary.as_ref().map_or("unknown", |summary| &summary.digest);
    let (from, again) = match &gone.source {
        TemplateSource::Directory { path } => (&**path, format!("berth template create NAME --from-dir {path}")),
        TemplateSource::Archive { path } => (&**path, format!("berth template create NAME --from-tar {path}")),
        TemplateSource::Host => ("this host", "berth template create NAME --from-host".to_owned()),
    };
    let message = format!(
        "the template {name} of its container was deleted, and no other has the same files; restore its files with --into DIR, \
         or make the template again from the same source ({from}), which gives the same digest ({digest}) if nothing changed \
         there"
    );
    Refusal::new(RefusalClass::NotFound, "template.not-found", message).hinted(again)
}

/// Refuses a container that could never start, because its command line was redacted since.
async fn require_command(edge: &Edge, command: Fingerprint) -> ApiResult<()> {
    if reach(&edge.ports, Access::kept_commands).await?.contains(&command) {
        return Ok(());
    }
    let message = "the command line of the container was redacted or lost, so a new one could not start; its files can be \
                   restored: --into DIR";
    Err(Refusal::new(RefusalClass::Conflict, "backup.no-command", message).into())
}

async fn command(edge: Edge, reference: web::Path<String>, command: Command) -> ApiResult {
    let row = edge.ask(move |query| query.restore(&reference, Moment::Now)).await?;
    let subject = Subject::new(StreamName::new(Category::RestoreJob, row.id), None::<&str>);
    edge.perform::<RestoreJob>(subject, command).await
}

async fn confirm(edge: Edge, reference: web::Path<String>) -> ApiResult {
    command(edge, reference, Command::Confirm).await
}

async fn roll_back(edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::Some)?;
    let text = reference.clone();
    let held = edge.ask(move |query| {
        let restore = query.restore(&text, Moment::Now)?;
        let target = match restore.target {
            RestoreTarget::InPlace { container } if restore.waits() => query.container_by_id(container)?,
            _ => None,
        };
        Ok(target.map(|row| (row, StreamName::new(Category::RestoreJob, restore.id))))
    });
    if let Some((row, own)) = held.await? {
        edge.foresee_hold(&row, HoldKind::Exchanging, &own).await?;
    }
    command(edge, reference, Command::RollBack).await
}
