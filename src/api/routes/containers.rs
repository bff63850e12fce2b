//! Containers: lists, and the commands of their lives.

mod bounds;
mod create;
pub(in crate::api) use create::NO_NETWORK;
mod undelete;
mod unrecorded;

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::console_log;
use crate::actors::Receipt;
use crate::api::edge::{Edge, Room, Subject};
use crate::api::look::{Look, block};
use crate::api::problem::{ApiError, ApiResult};
use crate::api::resources::{
    DeleteRequest, DoctorFinding, RenameRequest, RestartRequest, SetLimits, StopRequest, UndeleteRequest,
};
use crate::domain::container::{Command, Container};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{ContainerEvent, DiskKind, LimitChange};
use crate::projections::query::ContainerFilter;
use crate::projections::rows::ContainerRow;
use crate::types::{Category, Label, Name, Size, Span, StreamName};

/// How long an init may take to end if nobody says.
const GRACE_DEFAULT: Span = Span::from_secs(30);
/// How long a deleted container can be taken back if nobody says.
const GRAVE_DEFAULT: Span = Span::from_secs(7 * 24 * 3_600);
/// The finding of the doctor that says whether containers can start.
const FEATURE_START: &str = "start-containers";

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/containers", web::get().to(list))
        .route("/containers", web::post().to(create::create))
        .route("/containers/{reference}", web::get().to(show))
        .route("/containers/{reference}/history", web::get().to(history))
        .route("/containers/{reference}/log", web::get().to(console_log::stream))
        .route("/containers/{reference}/start", web::post().to(start))
        .route("/containers/{reference}/stop", web::post().to(stop))
        .route("/containers/{reference}/restart", web::post().to(restart))
        .route("/containers/{reference}/pause", web::post().to(pause))
        .route("/containers/{reference}/resume", web::post().to(resume))
        .route("/containers/{reference}/delete", web::post().to(delete))
        .route("/containers/{reference}/undelete", web::post().to(undelete))
        .route("/containers/{reference}/purge", web::post().to(purge))
        .route("/containers/{reference}/rename", web::post().to(rename))
        .route("/containers/{reference}/set", web::post().to(set));
}

#[derive(Deserialize)]
struct Wanted {
    state: Option<String>,
    template: Option<String>,
    label: Option<String>,
    name: Option<String>,
    #[serde(default)]
    all: bool,
    /// Whether to tell what was said about the last change of each.
    #[serde(default)]
    notes: bool,
}

async fn list(look: Look, wanted: web::Query<Wanted>) -> ApiResult {
    let wanted = wanted.into_inner();
    let labels = labels(wanted.label.iter().flat_map(|labels| labels.split(',')))?;
    let (access, live) = (look.ports.access.clone(), look.is_now());
    look.list("container", move |query, moment| {
        let template = wanted.template.map(|reference| query.template(&reference, moment)).transpose()?;
        let filter = ContainerFilter {
            states: wanted.state.iter().flat_map(|words| words.split(',')).map(str::to_owned).collect(),
            template: template.map(|row| row.id),
            labels,
            name: wanted.name,
            all: wanted.all,
        };
        let mut rows = query.containers(&filter, moment)?;
        if wanted.notes {
            query.join_notes(&mut rows)?;
        }
        if live {
            for row in &mut rows {
                add_usage(row, &*access);
            }
        }
        Ok(rows)
    })
    .await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    let (access, live) = (look.ports.access.clone(), look.is_now());
    look.show(move |query, moment| {
        let mut row = query.container(&reference, moment)?;
        if live {
            add_usage(&mut row, &*access);
        }
        Ok(row)
    })
    .await
}

async fn history(look: Look, reference: web::Path<String>) -> ApiResult {
    look.list("event", move |query, moment| query.history(query.container(&reference, moment)?.id, moment)).await
}

fn add_usage(row: &mut ContainerRow, access: &dyn crate::effects::access::Access) {
    row.usage = row.init.as_ref().and_then(|_| access.usage(row.id));
}

fn labels<'a>(texts: impl Iterator<Item = &'a str>) -> ApiResult<BTreeMap<String, String>> {
    let read = |text: &str| {
        let label: Label = text.parse().map_err(|error| ApiError::invalid("label.invalid", error))?;
        Ok((label.key.as_str().to_owned(), label.value.as_str().to_owned()))
    };
    texts.map(read).collect()
}

/// Reads what a user wrote, in the words of its type's own errors.
pub(in crate::api) fn read<T>(code: &str, text: &str) -> ApiResult<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| ApiError::invalid(code, error))
}

fn read_some<T>(code: &str, text: Option<&str>) -> ApiResult<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.map(|text| read(code, text)).transpose()
}

/// Finds the container that a request is about.
pub(in crate::api) async fn find(edge: &Edge, reference: web::Path<String>) -> ApiResult<(ContainerRow, Subject)> {
    let row = edge.ask(move |query| query.usable_container(&reference)).await?;
    let subject = Subject::new(StreamName::new(Category::Container, row.id), Some(&row.name));
    Ok((row, subject))
}

/// Finds the container in a grave that a request is about.
async fn find_buried(edge: &Edge, reference: web::Path<String>) -> ApiResult<(ContainerRow, Subject)> {
    let row = edge.ask(move |query| query.buried_container(&reference)).await?;
    let subject = Subject::new(StreamName::new(Category::Container, row.id), Some(&row.name));
    Ok((row, subject))
}

async fn command(edge: Edge, reference: web::Path<String>, room: Room, command: Command) -> ApiResult {
    edge.check_room(room)?;
    let (_, subject) = find(&edge, reference).await?;
    edge.perform::<Container>(subject, command).await
}

async fn start(edge: Edge, reference: web::Path<String>) -> ApiResult {
    can_start(&edge).await?;
    edge.check_room(Room::Some)?;
    let (row, subject) = find(&edge, reference).await?;
    warn_of_network(&edge, &row).await?;
    edge.perform::<Container>(subject, Command::Start { parent: None }).await
}

/// Warns of what stands in the way of a container's network.
async fn warn_of_network(edge: &Edge, row: &ContainerRow) -> ApiResult<()> {
    let Some(id) = row.configuration.network else { return Ok(()) };
    let network = edge.ask(move |query| query.network_by_id(id)).await?;
    edge.warn(network.into_iter().flat_map(|network| network.shortcomings));
    Ok(())
}

/// Refuses on a host that cannot start containers, and says what it lacks.
pub async fn can_start(edge: &Edge) -> ApiResult<()> {
    if edge.ports.node.can_start {
        return Ok(());
    }
    let doctor = edge.ports.doctor.clone();
    let findings = block(move || doctor()).await?.findings;
    Err(cannot_start(findings).into())
}

fn cannot_start(findings: Vec<DoctorFinding>) -> Refusal {
    let refusal = |message: &str| Refusal::new(RefusalClass::Unsupported, "node.cannot-start", message);
    match findings.into_iter().find(|finding| finding.feature == FEATURE_START) {
        Some(finding) if finding.ok => {
            refusal("what this host lacked when the daemon began is there now; the daemon has to begin anew")
                .hinted("systemctl restart berth")
        }
        Some(finding) if !finding.reason.is_empty() => {
            refusal(&format!("containers cannot start here: {}", finding.reason)).hinted("berth doctor")
        }
        _ => refusal("containers cannot start here").hinted("berth doctor"),
    }
}

async fn stop(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let wish: StopRequest = edge.body()?;
    let grace = if wish.kill { Span::default() } else { grace(wish.grace.as_deref())? };
    let (row, subject) = find(&edge, reference).await?;
    match edge.give::<Container>(&subject, Command::Stop { grace, parent: None }, None).await {
        Err(why) if why.is_of_the_log() => unrecorded::stop(&edge, &row, &subject, grace, why).await,
        given => edge.answer::<Container>(&subject, given?).await,
    }
}

async fn restart(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let wish: RestartRequest = edge.body()?;
    let grace = grace(wish.grace.as_deref())?;
    can_start(&edge).await?;
    edge.check_room(Room::Some)?;
    let (row, subject) = find(&edge, reference).await?;
    warn_of_network(&edge, &row).await?;
    edge.perform::<Container>(subject, Command::Restart { grace }).await
}

fn grace(text: Option<&str>) -> ApiResult<Span> {
    Ok(read_some("grace.invalid", text)?.unwrap_or(GRACE_DEFAULT))
}

async fn pause(edge: Edge, reference: web::Path<String>) -> ApiResult {
    command(edge, reference, Room::Some, Command::Pause).await
}

async fn resume(edge: Edge, reference: web::Path<String>) -> ApiResult {
    command(edge, reference, Room::None, Command::Resume).await
}

async fn delete(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let wish: DeleteRequest = edge.body()?;
    let grave = read_some("grave.invalid", wish.grave.as_deref())?.unwrap_or(GRAVE_DEFAULT);
    command(edge, reference, Room::None, Command::Delete { grave }).await
}

async fn undelete(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let wish: UndeleteRequest = edge.body()?;
    let name: Option<Name> = read_some("name.invalid", wish.name.as_deref())?;
    edge.check_room(Room::Some)?;
    let (row, subject) = find_buried(&edge, reference).await?;
    edge.foresee_free(&subject.stream, name.as_ref().unwrap_or(&row.name)).await?;
    let place = undelete::place(&edge, &row, &wish).await?;
    edge.perform::<Container>(subject, Command::Undelete { name, place }).await
}

async fn purge(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let (row, subject) = find_buried(&edge, reference).await?;
    match edge.give::<Container>(&subject, Command::Purge, None).await {
        Err(why) if why.is_of_the_log() && !why.is_of_the_history() => {
            unrecorded::purge(&edge, &row, subject, why).await
        }
        given => edge.answer::<Container>(&subject, given?).await,
    }
}

async fn rename(edge: Edge, reference: web::Path<String>) -> ApiResult {
    let wish: RenameRequest = edge.body()?;
    let name: Name = read("name.invalid", &wish.name)?;
    edge.check_room(Room::Some)?;
    let (_, subject) = find(&edge, reference).await?;
    edge.foresee_free(&subject.stream, &name).await?;
    edge.perform::<Container>(subject, Command::Rename(name)).await
}

/// Sets limits, autostart, the restart policy and labels: several facts of one operation. Limits come first, so that a refusal of them
/// leaves everything as it was; the last command carries the request's own key, so that its repetition is known whole.
async fn set(edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::Some)?;
    let commands = changes(&edge.body()?)?;
    let (row, subject) = find(&edge, reference).await?;
    if let Some(growth) = growth(&row, &commands) {
        edge.promise(growth).await?;
    }
    let mut all = Receipt::<ContainerEvent> { events: vec![], recorded: vec![], repeated: false };
    let last = commands.len() - 1;
    let asked = asked(&commands, row.configuration.limits.disk);
    for (index, command) in commands.into_iter().enumerate() {
        let part = (index < last).then(|| index.to_string());
        let receipt = edge.give::<Container>(&subject, command, part.as_deref()).await?;
        all.events.extend(receipt.events);
        all.recorded.extend(receipt.recorded);
    }
    edge.warn(bounds::warnings(asked, (edge.ports.node.capacity)()));
    edge.answer::<Container>(&subject, all).await
}

/// Returns the limits among the commands; of a disk what it is to grow by.
fn asked(commands: &[Command], disk: Size) -> bounds::Asked {
    let change = commands.iter().find_map(|command| match command {
        Command::ChangeLimits(change) => Some(change),
        _ => None,
    });
    let Some(change) = change else { return bounds::Asked::default() };
    let more = change.disk.map(|size| Size::from_bytes(size.as_bytes().saturating_sub(disk.as_bytes())));
    bounds::Asked { memory: change.memory.flatten(), cpus: change.cpus.flatten(), disk: more }
}

/// Returns by how much the commands make a disk in an image larger.
fn growth(row: &ContainerRow, commands: &[Command]) -> Option<u64> {
    let mut sizes = commands.iter().filter_map(|command| match command {
        Command::ChangeLimits(change) => change.disk,
        _ => None,
    });
    let (size, present) = (sizes.next_back()?.as_bytes(), row.configuration.limits.disk.as_bytes());
    (row.configuration.disk == DiskKind::Image && size > present).then(|| size - present)
}

fn changes(wish: &SetLimits) -> ApiResult<Vec<Command>> {
    let mut commands = vec![];
    let change = LimitChange {
        memory: lifted("memory.invalid", wish.memory.as_deref())?,
        cpus: lifted("cpus.invalid", wish.cpus.as_deref())?,
        pids: lifted("pids.invalid", wish.pids.as_deref())?,
        disk: read_some("disk.invalid", wish.disk.as_deref())?,
    };
    if change != LimitChange::default() {
        commands.push(Command::ChangeLimits(change));
    }
    commands.extend(wish.autostart.map(Command::SetAutostart));
    commands.extend(read_some("restart.invalid", wish.restart.as_deref())?.map(Command::SetRestart));
    commands.extend(read_some("hostname.invalid", wish.hostname.as_deref())?.map(Command::SetHostName));
    commands.extend(wish.nesting.map(Command::SetNesting));
    commands.extend(read_some("manage.invalid", wish.manage.as_deref())?.map(Command::SetManaged));
    let texts: Vec<String> = wish.labels_set.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let set = labels(texts.iter().map(String::as_str))?;
    commands.extend(set.into_iter().map(|(key, value)| Command::SetLabel { key, value }));
    commands.extend(wish.labels_remove.iter().cloned().map(|key| Command::RemoveLabel { key }));
    if commands.is_empty() {
        return Err(ApiError::invalid("set.nothing", "nothing was named that is to be set"));
    }
    Ok(commands)
}

/// Reads a limit; `none` lifts it.
#[allow(clippy::option_option)] // nothing: as it is; an inner nothing: no limit
fn lifted<T>(code: &str, text: Option<&str>) -> ApiResult<Option<Option<T>>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    match text {
        None => Ok(None),
        Some("none") => Ok(Some(None)),
        Some(text) => Ok(Some(Some(read(code, text)?))),
    }
}

/// Answers 201 with a body.
pub(in crate::api) fn created(body: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Created().json(body)
}

/// Runs work of the access port on a thread that may block.
pub(in crate::api) async fn reach<T: Send + 'static>(
    edge_or_look: &web::Data<crate::api::ports::Ports>,
    work: impl FnOnce(&dyn crate::effects::access::Access) -> Result<T, crate::domain::Failure> + Send + 'static,
) -> ApiResult<T> {
    let access = edge_or_look.access.clone();
    Ok(block(move || work(&*access)).await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mended_while_the_daemon_runs_is_told() {
        let start = |ok, reason: &str| {
            let (feature, reason) = (FEATURE_START.to_owned(), reason.to_owned());
            let refusal =
                cannot_start(vec![DoctorFinding { feature, required: true, spoilt: false, ok, reason, fix: None }]);
            (refusal.message, refusal.hint.unwrap())
        };
        let (message, hint) = start(false, "no overlay");
        assert!(message.ends_with("here: no overlay") && hint == "berth doctor", "{message}, {hint}");
        let (message, hint) = start(true, "");
        assert!(message.contains("is there now") && hint == "systemctl restart berth", "{message}, {hint}");
    }
}
