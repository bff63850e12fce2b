//! Redaction: what stands beside an event is removed for good, and that is an event.
//!
//! The fact comes first, so that nothing vanishes untold; a daemon that dies before the annex is gone removes it at its next
//! start. A command line that was told there and that no container has any more goes, too.

use actix_web::web;

use super::containers::reach;
use crate::api::edge::{Edge, Room, Subject};
use crate::api::problem::{ApiError, ApiResult, no_position};
use crate::domain::node::{Command, Node};
use crate::domain::{Refusal, RefusalClass};
use crate::events::{self, ContainerEvent, Envelope};
use crate::projections::query::Query;
use crate::types::{Category, Fingerprint, Position, StreamName};

/// Adds the route.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/events/{position}/redact", web::post().to(redact));
}

async fn redact(edge: Edge, position: web::Path<String>) -> ApiResult {
    edge.check_room(Room::None)?;
    let position = position.parse().map(Position::new).map_err(|_| no_position(&position))?;
    let event = edge.ask(move |query| query.event_at(position)).await?.ok_or_else(|| unknown(position))?;
    let subject = Subject::new(StreamName::new(Category::Node, edge.ports.node.id), None::<&str>);
    let command = Command::Redact { position, present: event.annex.is_some() };
    let receipt = edge.give::<Node>(&subject, command, None).await?;
    if !edge.is_dry_run() {
        let removed = (edge.ports.log.redact)(vec![position]);
        removed.await.map_err(|_| ApiError::Log("the log is closed".to_owned()))??;
        if let Some(command) = command_of(&event) {
            forget(&edge, command).await?;
        }
    }
    edge.answer::<Node>(&subject, receipt).await
}

fn unknown(position: Position) -> Refusal {
    Refusal::new(RefusalClass::NotFound, "event.not-found", format!("there is no event {position}"))
}

fn command_of(event: &Envelope) -> Option<Fingerprint> {
    if event.stream.category() != Category::Container {
        return None;
    }
    match events::decode::<ContainerEvent>(&event.kind, event.schema, &event.body).ok()? {
        ContainerEvent::CreateRequested { configuration, .. } => configuration.command,
        _ => None,
    }
}

/// Forgets a command line, unless a container still starts by it.
async fn forget(edge: &Edge, command: Fingerprint) -> ApiResult<()> {
    if edge.ask(Query::needed_commands).await?.contains(&command) {
        return Ok(());
    }
    reach(&edge.ports, move |access| access.forget_command(command)).await
}
