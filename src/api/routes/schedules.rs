//! Schedules: lists with what comes next, creation, and running one now.

use actix_web::web;
use serde::Deserialize;

use super::backups::{batch_members, only_store, parallel};
use super::containers::read;
use super::templates::All;
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::Look;
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::{CreateSchedule, NextSlot};
use crate::domain::batch::{self, Batch};
use crate::domain::schedule::{Command, Schedule};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{BackupMode, BatchAction, ScheduleDefinition, ScheduledAction};
use crate::projections::rows::{ScheduleRow, ScheduleState};
use crate::scheduler::due::{self, Doubt, Plan, Planned};
use crate::types::{CatchUp, Category, Name, RunId, ScheduleId, Span, StreamName, Timestamp, Zone};

/// How many slots are shown if nobody says.
const NEXT_DEFAULT: usize = 5;
/// The most slots that are shown.
const NEXT_MAX: usize = 1_000;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/schedules", web::get().to(list))
        .route("/schedules", web::post().to(create))
        .route("/schedules/{reference}", web::get().to(show))
        .route("/schedules/{reference}/next", web::get().to(next_slots))
        .route("/schedules/{reference}/enable", web::post().to(enable))
        .route("/schedules/{reference}/disable", web::post().to(disable))
        .route("/schedules/{reference}/delete", web::post().to(delete))
        .route("/schedules/{reference}/run-now", web::post().to(run_now));
}

async fn list(look: Look, wanted: web::Query<All>) -> ApiResult {
    let (now, doubt) = present(&look);
    look.list("schedule", move |query, moment| {
        let (mut rows, then) = (query.schedules(wanted.all, moment)?, query.clock_at(moment, now)?);
        for row in &mut rows {
            row.next = next(row, then, doubt);
        }
        Ok(rows)
    })
    .await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    let (now, doubt) = present(&look);
    look.show(move |query, moment| {
        let mut row = query.schedule(&reference, moment)?;
        row.next = next(&row, query.clock_at(moment, now)?, doubt);
        Ok(row)
    })
    .await
}

#[derive(Deserialize)]
struct Count {
    count: Option<usize>,
}

async fn next_slots(look: Look, reference: web::Path<String>, wanted: web::Query<Count>) -> ApiResult {
    let (now, doubt) = present(&look);
    let count = wanted.count.unwrap_or(NEXT_DEFAULT);
    if !(1..=NEXT_MAX).contains(&count) {
        let message = format!("{count} times cannot be shown; 1 is the least and {NEXT_MAX} the most");
        return Err(ApiError::invalid("count.invalid", message));
    }
    look.list("slot", move |query, moment| {
        let row = query.schedule(&reference, moment)?;
        if row.state != ScheduleState::Enabled {
            return Ok(vec![]);
        }
        let plan = Plan { doubt, ..Plan::of(&row) };
        Ok(due::coming(&plan, query.clock_at(moment, now)?, count).into_iter().map(shown).collect())
    })
    .await
}

/// Returns the time, and why the clock is not trusted, if it is not.
pub(in crate::api) fn present(look: &Look) -> (Timestamp, Option<Doubt>) {
    let watch = &look.ports.registry.house().watch;
    (watch.now(), due::doubt(watch))
}

fn shown(planned: Planned) -> NextSlot {
    NextSlot { slot: planned.slot, at: planned.at, skipped: planned.skipped.map(|why| why.to_string()) }
}

/// Returns when a schedule runs next, jitter included; nothing if it does not.
pub(in crate::api) fn next(row: &ScheduleRow, now: Timestamp, doubt: Option<Doubt>) -> Option<Timestamp> {
    if row.state != ScheduleState::Enabled {
        return None;
    }
    due::next_run(&Plan { doubt, ..Plan::of(row) }, now).map(|planned| planned.at)
}

async fn create(edge: Edge) -> ApiResult {
    edge.check_room(Room::Some)?;
    let wish: CreateSchedule = edge.body()?;
    let name: Name = read("name.invalid", &wish.name)?;
    let definition = Box::new(definition(&edge, &wish).await?);
    if let Some(first) = due::never_runs(&definition, edge.at) {
        return Err(never_runs(&definition, first).into());
    }
    if let Some(gap) = due::overrun(&definition, edge.at) {
        let jitter = definition.jitter;
        let message = format!("the jitter {jitter} is longer than {gap}, the shortest time between two of its slots");
        return Err(ApiError::invalid("jitter.invalid", message));
    }
    let id = ScheduleId::from_bytes(draw()?);
    let subject = Subject::new(StreamName::new(Category::Schedule, id), Some(&name));
    edge.foresee_name(&subject.stream, &name).await?;
    edge.perform::<Schedule>(subject, Command::Create { id, name, definition, from: edge.at }).await
}

fn never_runs(definition: &ScheduleDefinition, first: Timestamp) -> Refusal {
    let window = definition.window.map(|window| window.to_string()).unwrap_or_default();
    let first = first.as_datetime().with_timezone(&definition.zone).naive_local().format("%Y-%m-%d %H:%M");
    let message = format!("it would never run: none of its times, the first {first}, is in the window {window}");
    Refusal::new(RefusalClass::Invalid, "schedule.window", message).hinted("berth schedule create --help")
}

async fn definition(edge: &Edge, wish: &CreateSchedule) -> ApiResult<ScheduleDefinition> {
    let zone = wish.zone.as_deref().unwrap_or("UTC");
    Ok(ScheduleDefinition {
        cron: read("cron.invalid", &wish.cron)?,
        zone: read::<Zone>("zone.invalid", zone)?,
        action: action(edge, wish).await?,
        selection: wish.select.clone(),
        catch_up: wish.catch_up.as_deref().map_or(Ok(CatchUp::Once), |text| read("catch-up.invalid", text))?,
        jitter: wish.jitter.as_deref().map_or(Ok(Span::default()), |text| read("jitter.invalid", text))?,
        window: wish.window.as_deref().map(|text| read("window.invalid", text)).transpose()?,
        parallel: parallel(wish.parallel)?,
    })
}

async fn action(edge: &Edge, wish: &CreateSchedule) -> ApiResult<ScheduledAction> {
    match wish.action.as_str() {
        "backup" => {
            let store = only_store(edge, wish.store.clone()).await?;
            Ok(ScheduledAction::Backup { store, mode: wish.mode.unwrap_or(BackupMode::Incremental) })
        }
        "defragment" => Ok(ScheduledAction::Defragment),
        "update-check" => Ok(ScheduledAction::UpdateCheck),
        other => {
            let message = format!("{other:?} is no action of a schedule; write backup, defragment or update-check");
            Err(ApiError::invalid("schedule.action", message))
        }
    }
}

async fn find(edge: &Edge, reference: web::Path<String>) -> ApiResult<(ScheduleRow, Subject)> {
    let row = edge.ask(move |query| query.usable_schedule(&reference)).await?;
    let subject = Subject::new(StreamName::new(Category::Schedule, row.id), Some(&row.name));
    Ok((row, subject))
}

async fn enable(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let (_, subject) = find(&edge, reference).await?;
    edge.perform::<Schedule>(subject, Command::Enable { from: edge.at }).await
}

async fn disable(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let (_, subject) = find(&edge, reference).await?;
    edge.perform::<Schedule>(subject, Command::Disable).await
}

async fn delete(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let (_, subject) = find(&edge, reference).await?;
    edge.perform::<Schedule>(subject, Command::Delete).await
}

/// Carries out what the schedule does, now and once; its slots are as they were.
async fn run_now(edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::Much)?;
    let (row, _) = find(&edge, reference).await?;
    let selection = row.definition.selection.clone();
    let selected = edge.ask(move |query| query.selected(&selection)).await?;
    if selected.is_empty() {
        let message = format!("the schedule {} selects no container at this moment", row.name);
        return Err(Refusal::new(RefusalClass::Conflict, "schedule.selects-nothing", message).into());
    }
    let id = RunId::from_bytes(draw()?);
    let request = batch::Request {
        id,
        action: batch_action(&row.definition.action),
        members: batch_members(selected.iter().map(|row| row.id))?,
        schedule: Some(row.name.clone()),
        parallel: row.definition.parallel,
        parent: None,
    };
    let subject = Subject::new(StreamName::new(Category::Batch, id), Some(&row.name));
    edge.perform::<Batch>(subject, batch::Command::Request(request)).await
}

/// Returns what a batch of a schedule does.
fn batch_action(action: &ScheduledAction) -> BatchAction {
    match action {
        ScheduledAction::Backup { store, mode } => BatchAction::Backup { store: *store, mode: *mode },
        ScheduledAction::Defragment => BatchAction::Defragment,
        ScheduledAction::UpdateCheck => BatchAction::UpdateCheck,
    }
}
