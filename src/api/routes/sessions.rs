//! Sessions: a ticket for whoever enters a container. The fact is recorded before the door opens; the arguments stand
//! beside it in the annex, where they can be redacted.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::containers::{created, find, reach};
use crate::api::edge::{Edge, Room, Subject, draw};
use crate::api::look::Look;
use crate::api::problem::{ApiError, ApiResult, no_such_route};
use crate::api::resources::{CloseSession, SessionRequest};
use crate::domain::container::Rejection;
use crate::domain::session::{Command, Session};
use crate::domain::{Refusal, RefusalClass};
use crate::projections::query::Moment;
use crate::projections::rows::ContainerState;
use crate::types::{Category, SessionId, StreamName};

/// The largest request: the kernel gives a program 2 MiB of arguments, and JSON may need several bytes for one.
const BODY_MAX: usize = 16 << 20;
/// The most bytes of a command's words that the record keeps.
const RECORDED_MAX: usize = 16 << 10;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/containers/{reference}/sessions")
                .app_data(web::PayloadConfig::new(BODY_MAX))
                .route(web::get().to(list))
                .route(web::post().to(open))
                .default_service(web::to(no_such_route)),
        )
        .route("/containers/{reference}/sessions/{session}/close", web::post().to(close));
}

async fn list(look: Look, reference: web::Path<String>) -> ApiResult {
    look.list("session", move |query, moment| {
        let container = query.container(&reference, moment)?;
        query.sessions(Some(container.id), moment)
    })
    .await
}

async fn open(mut edge: Edge, reference: web::Path<String>) -> ApiResult {
    edge.check_room(Room::None)?;
    let request: SessionRequest = edge.body()?;
    check_words(&reference, &request)?;
    let (container, _) = find(&edge, reference).await?;
    if container.rest == ContainerState::Deleted {
        let since = container.deleted_at.unwrap_or(container.change.since);
        let buried = Rejection::Buried { since, until: container.deleted_until.unwrap_or(since) };
        return Err(ApiError::from(Refusal::from(buried)).named(Some(container.name.as_str())));
    }
    if container.init.is_none() {
        let message = format!("the container {} is not running", container.name);
        let refusal = Refusal::new(RefusalClass::Conflict, "container.not-running", message);
        return Err(refusal.hinted(format!("berth container start {}", container.name)).into());
    }
    if container.state == ContainerState::Paused {
        let message = format!("the container {} is paused", container.name);
        let refusal = Refusal::new(RefusalClass::Conflict, "container.paused", message);
        return Err(refusal.hinted(format!("berth container resume {}", container.name)).into());
    }
    let id = SessionId::from_bytes(draw()?);
    let user = request.user.clone().unwrap_or_else(|| "root".to_owned());
    let (argv, left_out) = for_the_record(&request.argv);
    edge.annex.insert("argv".to_owned(), json!(argv));
    if left_out > 0 {
        edge.annex.insert("argv_left_out".to_owned(), json!(left_out));
    }
    edge.forget_key(); // a ticket is valid once: a repeated request is another session
    let subject = Subject::new(StreamName::new(Category::Session, id), Some(&container.name));
    let terminal = request.terminal.is_some();
    let (own, command) = (container.id, Command::Open { id, container: container.id, user, terminal });
    let receipt = edge.give::<Session>(&subject, command, None).await?;
    if edge.is_dry_run() {
        return edge.answer::<Session>(&subject, receipt).await;
    }
    match reach(&edge.ports, move |access| access.open_session(own, id, &request)).await {
        Ok(ticket) => Ok(created(&ticket)),
        Err(error) => {
            edge.give::<Session>(
                &subject,
                Command::Close { code: None, reason: Some("the door did not open".to_owned()) },
                None,
            )
            .await?;
            Err(error)
        }
    }
}

/// Refuses what names nothing: the kernel would only say that it is not there.
fn check_words(name: &str, request: &SessionRequest) -> ApiResult<()> {
    let (code, message, hint) = if request.argv.first().is_none_or(String::is_empty) {
        let message = match request.argv.first() {
            None => "there is no command to run",
            Some(_) => "the command \"\" names no program",
        };
        ("session.argv", message, format!("berth exec {name} -- COMMAND"))
    } else if request.directory.as_deref() == Some("") {
        let message = "the directory \"\" to run it in names none; without one it is the user's own";
        ("session.directory", message, format!("berth exec {name} --dir DIR -- COMMAND"))
    } else if request.user.as_deref() == Some("") {
        let message = "the user \"\" to run it as names nobody; without one it is root";
        ("session.user", message, format!("berth exec {name} --user USER -- COMMAND"))
    } else {
        return Ok(());
    };
    Err(Refusal::new(RefusalClass::Invalid, code, message).hinted(hint).into())
}

/// Returns the first words of a command, as many as the record keeps, and how many more there are.
fn for_the_record(argv: &[String]) -> (&[String], usize) {
    let mut room = RECORDED_MAX;
    let fits = |word: &&String| {
        let left = room.checked_sub(word.len() + 1);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let kept = argv.iter().take_while(fits).count();
    (&argv[..kept], argv.len() - kept)
}

async fn close(edge: Edge, path: web::Path<(String, String)>) -> ApiResult {
    let wish: CloseSession = edge.body()?;
    let (reference, session) = path.into_inner();
    let row = edge.ask(move |query| {
        let container = query.container(&reference, Moment::Now)?;
        let row = query.session(&session, Moment::Now)?;
        Ok((row.container == container.id).then_some(row))
    });
    let Some(row) = row.await? else {
        let message = "the container has no such session";
        return Err(Refusal::new(RefusalClass::NotFound, "session.not-found", message).into());
    };
    if row.closed_at.is_some() {
        return Ok(HttpResponse::Ok().json(row));
    }
    let mut edge = edge;
    edge.operation = row.operation; // the close belongs to what was opened
    let subject = Subject::new(StreamName::new(Category::Session, row.id), None::<&str>);
    edge.perform::<Session>(subject, Command::Close { code: wish.code, reason: None }).await
}
