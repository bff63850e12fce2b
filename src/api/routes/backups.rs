//! Backups: lists, runs, what is inside, verification.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::num::NonZeroUsize;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::containers::reach;
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::Look;
use crate::api::pieces::{self, END};
use crate::api::problem::{ApiError, ApiResult};
use crate::api::reading;
use crate::api::resources::RunBackup;
use crate::domain::backup_job::{self, BackupJob};
use crate::domain::batch::{self, Batch};
use crate::domain::maintenance::{self, Maintenance};
use crate::domain::{Failure, Refusal, RefusalClass};
use crate::events::{BackupMode, BatchAction, BatchMember, HoldKind, MaintenanceAction, Reading, Selection};
use crate::projections::query::{BackupFilter, Moment};
use crate::projections::rows::{BackupRow, ContainerRow};
use crate::types::{BackupId, Category, ContainerId, OperationId, RunId, StoreId, StreamName, readings};

/// How many pieces of a file wait for a slow reader.
const PIECES_HELD: usize = 16;
/// Pieces are gathered up to this size, so that a thousand small writes are not a thousand chunks.
const PIECE_SIZE: usize = 64 << 10;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/backups", web::get().to(list))
        .route("/backups", web::post().to(run))
        .route("/backups/{reference}", web::get().to(show))
        .route("/backups/{reference}/files", web::get().to(files))
        .route("/backups/{reference}/content", web::get().to(content))
        .route("/backups/{reference}/verify", web::post().to(verify));
}

#[derive(Deserialize)]
struct Wanted {
    container: Option<String>,
    store: Option<String>,
    limit: Option<NonZeroUsize>,
}

async fn list(look: Look, wanted: web::Query<Wanted>) -> ApiResult {
    let wanted = wanted.into_inner();
    look.list("backup", move |query, moment| {
        let container = wanted.container.map(|reference| query.container(&reference, moment)).transpose()?;
        let store = wanted.store.map(|reference| query.store(&reference, moment)).transpose()?;
        let (container, store) = (container.map(|row| row.id), store.map(|row| row.id));
        query.backups(&BackupFilter { container, store, limit: wanted.limit.map(NonZeroUsize::get) }, moment)
    })
    .await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.backup(&reference, moment)).await
}

async fn run(mut edge: Edge) -> ApiResult {
    edge.check_room(Room::Much)?;
    let wish: RunBackup = edge.body()?;
    let store = only_store(&edge, wish.store).await?;
    let mode = wish.mode.unwrap_or(BackupMode::Incremental);
    if let Some(note) = wish.note {
        edge.annex.insert("note".to_owned(), note.into());
    }
    let id = RunId::from_bytes(draw()?);
    match members(&edge, wish.containers, wish.all).await? {
        Members::One(row) => {
            let subject = Subject::new(StreamName::new(Category::BackupJob, id), Some(&row.name));
            edge.foresee_hold(&row, HoldKind::Reading, &subject.stream).await?;
            let command = backup_job::Command::Request {
                id,
                container: row.id,
                store,
                mode,
                backup: BackupId::from_bytes(draw()?),
                schedule: None,
                parent: None,
            };
            edge.perform::<BackupJob>(subject, command).await
        }
        Members::Many(rows) => {
            let request = batch::Request {
                id,
                action: BatchAction::Backup { store, mode },
                members: batch_members(rows.iter().map(|row| row.id))?,
                schedule: None,
                parallel: parallel(wish.parallel)?,
                parent: None,
            };
            let subject = Subject::new(StreamName::new(Category::Batch, id), None::<&str>);
            edge.perform::<Batch>(subject, batch::Command::Request(request)).await
        }
    }
}

/// Is whom a request means.
pub(in crate::api) enum Members {
    /// One container, by name.
    One(Box<ContainerRow>),
    /// Several, or all.
    Many(Vec<ContainerRow>),
}

/// Finds the containers that a request means.
pub(in crate::api) async fn members(edge: &Edge, references: Vec<String>, all: bool) -> ApiResult<Members> {
    if all != references.is_empty() {
        return Err(ApiError::invalid(
            "selection.invalid",
            "name containers, or all of them, not both and not neither",
        ));
    }
    let mut rows = edge
        .ask(move |query| {
            if all {
                return query.selected(&Selection::All);
            }
            references.iter().map(|reference| query.usable_container(reference)).collect()
        })
        .await?;
    let mut seen = BTreeSet::new();
    rows.retain(|row| seen.insert(row.id));
    match rows.len() {
        0 => Err(Refusal::new(RefusalClass::NotFound, "selection.empty", "there is no container").into()),
        1 if !all => Ok(Members::One(Box::new(rows.remove(0)))),
        _ => Ok(Members::Many(rows)),
    }
}

/// The most runs of a batch that go on at the same time: each keeps a disk and the processors at work.
const PARALLEL_MAX: u32 = 64;

/// Reads how many runs of a batch go on at the same time.
pub(in crate::api) fn parallel(wished: Option<u32>) -> ApiResult<u32> {
    match wished.unwrap_or(1) {
        0 => Err(ApiError::invalid("parallel.invalid", "0 at the same time would never begin; 1 is the least")),
        many if many > PARALLEL_MAX => {
            let message = format!("{many} at the same time are too many; {PARALLEL_MAX} are the most");
            Err(ApiError::invalid("parallel.invalid", message))
        }
        count => Ok(count),
    }
}

/// Draws the ids of the runs of a batch.
pub(in crate::api) fn batch_members(containers: impl Iterator<Item = ContainerId>) -> ApiResult<Vec<BatchMember>> {
    let member = |container| {
        let (run, operation) = (RunId::from_bytes(draw()?), OperationId::from_bytes(draw()?));
        Ok(BatchMember { container, run, operation, backup: BackupId::from_bytes(draw()?) })
    };
    containers.map(member).collect()
}

/// Finds the store that is named, or the only one there is.
pub(in crate::api) async fn only_store(edge: &Edge, reference: Option<String>) -> ApiResult<StoreId> {
    if let Some(reference) = reference {
        return Ok(edge.ask(move |query| query.usable_store(&reference)).await?.id);
    }
    let stores = edge.ask(|query| query.stores(false, Moment::Now)).await?;
    match stores.as_slice() {
        [only] => Ok(only.id),
        [] => {
            let refusal = Refusal::new(RefusalClass::NotFound, "store.not-found", "there is no backup store");
            Err(refusal.hinted("berth store create NAME PATH").into())
        }
        several => {
            let names: Vec<_> = several.iter().map(|row| row.name.to_string()).collect();
            Err(ApiError::invalid("store.ambiguous", format!("name one of the stores: {}", names.join(", "))))
        }
    }
}

#[derive(Deserialize)]
struct Below {
    below: Option<String>,
}

async fn files(look: Look, edge: Edge, reference: web::Path<String>, wanted: web::Query<Below>) -> ApiResult {
    let row = look.ask(move |query, moment| query.backup(&reference, moment)).await?;
    let below = wanted.into_inner().below.unwrap_or_else(|| "/".to_owned());
    reading::tell(edge, row.container, Reading::Names { backup: row.id }, Some(&below)).await?;
    let (store, backup, path) = (row.store, row.id, below.clone());
    let files = reach(&look.ports, move |access| access.backup_files(store, backup, &path)).await?;
    if files.is_empty() && !below.trim_matches('/').is_empty() {
        return Err(nothing_at(&below, backup).hinted(format!("berth backup files {}", backup.short())).into());
    }
    look.list("file", move |_, _| Ok(files)).await
}

#[derive(Deserialize)]
struct At {
    path: String,
}

/// Streams one file. The first piece is waited for, so that a failure before it is a proper problem.
async fn content(
    look: Look,
    edge: Edge,
    request: HttpRequest,
    reference: web::Path<String>,
    wanted: web::Query<At>,
) -> ApiResult {
    let row = look.ask(move |query, moment| query.backup(&reference, moment)).await?;
    let path = wanted.into_inner().path;
    reading::tell(edge, row.container, Reading::Content { backup: row.id }, Some(&path)).await?;
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Failure>>(PIECES_HELD);
    let access = look.ports.access.clone();
    let (store, backup, wished) = (row.store, row.id, path.clone());
    drop(tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { sender, held: Vec::new() };
        let written = access.backup_file(store, backup, &wished, &mut pieces);
        match written {
            Ok(()) => drop(pieces.flush().map(|()| pieces.sender.blocking_send(Ok(END)))),
            Err(failure) => drop(pieces.sender.blocking_send(Err(failure))),
        }
    }));
    let first = receiver.recv().await;
    if let Some(Err(failure)) = first {
        let why = why_no_file(&look, &row, &path).await;
        return Err(why.unwrap_or_else(|| unread(failure, row.id)));
    }
    let (pieces, rest) = mpsc::channel(PIECES_HELD);
    actix_web::rt::spawn(async move {
        let mut next = first;
        while let Some(piece) = next {
            let piece = piece.map_err(|failure| unread(failure, backup));
            if pieces.send(piece).await.is_err() {
                return;
            }
            next = receiver.recv().await;
        }
    });
    Ok(pieces::answer(&request, "application/octet-stream", rest))
}

/// Says why a file is not read, and what tells how much of the backup is like that.
fn unread(failure: Failure, backup: BackupId) -> ApiError {
    match ApiError::from(failure) {
        ApiError::Refused(refusal) if refusal.class == RefusalClass::Damaged => {
            refusal.hinted(format!("berth backup verify {}", backup.short())).into()
        }
        error => error,
    }
}

/// Looks why a file cannot be read: it is not there, or it is none.
async fn why_no_file(look: &Look, row: &BackupRow, path: &str) -> Option<ApiError> {
    let (store, backup, below) = (row.store, row.id, path.to_owned());
    let found = reach(&look.ports, move |access| access.backup_files(store, backup, &below)).await.ok()?;
    let path = format!("/{}", path.trim_matches('/'));
    let meant = readings(&path);
    let entry = meant.iter().find_map(|path| found.iter().find(|entry| entry.path.as_bytes() == path.as_slice()));
    let refusal = match entry {
        None => nothing_at(&path, backup),
        Some(entry) if entry.kind == "file" => return None,
        Some(entry) => {
            let target = entry.target.as_ref().map_or(String::new(), |target| format!(" to {target}"));
            let message = format!("{path:?} is a {}{target}; only the content of a file can be printed", entry.kind);
            Refusal::new(RefusalClass::Invalid, "backup.no-file", message)
        }
    };
    Some(refusal.hinted(format!("berth backup files {}", backup.short())).into())
}

fn nothing_at(path: &str, backup: BackupId) -> Refusal {
    let message = format!("there is nothing at {path:?} in backup {}", backup.short());
    Refusal::new(RefusalClass::NotFound, "backup.no-such-path", message)
}

/// Writes into a channel.
struct Pieces {
    sender: mpsc::Sender<Result<Bytes, Failure>>,
    held: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE_SIZE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.held));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads any more");
        self.sender.blocking_send(Ok(piece)).map_err(gone)
    }
}

async fn verify(edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::Some)?;
    let row = edge.ask(move |query| query.backup(&reference, Moment::Now)).await?;
    let id = RunId::from_bytes(draw()?);
    let action = MaintenanceAction::Verify { container: row.container, store: row.store, backup: row.id };
    let subject = Subject::new(StreamName::new(Category::Maintenance, id), Some(&row.container_name));
    edge.perform::<Maintenance>(subject, maintenance::Command::Request { id, action, parent: None }).await
}
