//! Events: paged, one in full, and followed as they come.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use actix_web::{HttpRequest, web};
use serde::Deserialize;

use crate::api::look::{Look, ask};
use crate::api::ports::Ports;
use crate::api::problem::{ApiResult, no_position};
use crate::api::sse::{self, Frames, Gone};
use crate::events::Envelope;
use crate::projections::query::{EventFilter, Moment, Query, QueryError, glob_matches};
use crate::projections::told;
use crate::types::{Category, ContainerId, OperationId, Position, StreamName};

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/events", web::get().to(list))
        .route("/events/follow", web::get().to(follow))
        .route("/events/{position}", web::get().to(show));
}

#[derive(Deserialize, Clone)]
struct Wanted {
    after: Option<u64>,
    limit: Option<NonZeroUsize>,
    stream: Option<StreamName>,
    container: Option<String>,
    operation: Option<String>,
    kind: Option<String>,
    who: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Wanted {
    fn filter(self, query: &Query, moment: Moment, now: crate::types::Timestamp) -> Result<EventFilter, QueryError> {
        let container = self.container.map(|reference| query.container(&reference, moment)).transpose()?;
        let operation = self.operation.map(|reference| query.operation(&reference, moment)).transpose()?;
        Ok(EventFilter {
            after: self.after.map(Position::new),
            limit: self.limit.map(NonZeroUsize::get),
            stream: self.stream,
            container: container.map(|row| row.id),
            operation: operation.map(|row| row.id),
            kind: self.kind,
            who: self.who,
            since: self.since.map(|text| query.instant(&text, now)).transpose()?,
            until: self.until.map(|text| query.instant(&text, now)).transpose()?,
        })
    }
}

async fn list(look: Look, wanted: web::Query<Wanted>) -> ApiResult {
    let now = look.ports.clock.now();
    look.list("event", move |query, moment| query.events(&wanted.into_inner().filter(query, moment, now)?, moment))
        .await
}

async fn show(look: Look, position: web::Path<String>) -> ApiResult {
    let position: u64 = position.parse().map_err(|_| no_position(&position))?;
    look.show(move |query, _| query.event(Position::new(position))).await
}

/// Follows the log. Without a position it begins with what comes next; the id of each event resumes right behind it.
async fn follow(look: Look, request: HttpRequest, wanted: web::Query<Wanted>) -> ApiResult {
    let wanted = wanted.into_inner();
    let now = look.ports.clock.now();
    let store = look.ports.registry.house().log.clone();
    let after = sse::last_event(&request)?.or(wanted.after).map_or_else(|| store.head().position, Position::new);
    let filter = look.ask(move |query, moment| {
        let filter = wanted.filter(query, moment, now)?;
        Ok(Sieve { streams: related(query, filter.container)?, filter })
    });
    let sieve = filter.await?;
    let (frames, response) = sse::open();
    actix_web::rt::spawn(feed(look.ports, frames, sieve, after));
    Ok(response)
}

/// Lets through the events that are wanted.
struct Sieve {
    filter: EventFilter,
    streams: HashSet<StreamName>,
}

fn related(query: &Query, container: Option<ContainerId>) -> Result<HashSet<StreamName>, QueryError> {
    let Some(container) = container else { return Ok(HashSet::new()) };
    let own = StreamName::new(Category::Container, container);
    let filter = crate::projections::query::OperationFilter { target: Some(own.clone()), ..Default::default() };
    let rows = query.operations(&filter, Moment::Now)?;
    Ok(rows.into_iter().map(|row| row.stream).chain([own]).collect())
}

impl Sieve {
    fn lets_through(&mut self, event: &Envelope) -> bool {
        let filter = &self.filter;
        if let Some(container) = filter.container {
            if told(event).is_some_and(|told| told.container == Some(container)) {
                self.streams.insert(event.stream.clone());
            }
            if !self.streams.contains(&event.stream) {
                return false;
            }
        }
        filter.stream.as_ref().is_none_or(|stream| event.stream == *stream)
            && filter.operation.is_none_or(|operation: OperationId| event.context.operation == operation)
            && filter.kind.as_ref().is_none_or(|pattern| glob_matches(pattern, &event.kind))
            && filter.who.as_ref().is_none_or(|who| event.context.principal.who == *who)
            && filter.since.is_none_or(|since| event.recorded_at >= since)
            && filter.until.is_none_or(|until| event.recorded_at <= until)
    }
}

async fn feed(ports: web::Data<Ports>, frames: Frames, mut sieve: Sieve, after: Position) {
    let mut subscription = ports.registry.house().log.subscribe(after);
    let mut shutdown = ports.shutdown.clone();
    loop {
        let sent = tokio::select! {
            event = subscription.next() => match event {
                Ok(event) if sieve.lets_through(&event) => tell(&ports, &frames, event).await,
                Ok(_) => Ok(()),
                Err(_) => Err(Gone),
            },
            () = tokio::time::sleep(sse::KEEP_ALIVE) => frames.keep_alive().await,
            _ = shutdown.wait_for(|ending| *ending) => Err(Gone),
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn tell(ports: &web::Data<Ports>, frames: &Frames, event: Arc<Envelope>) -> Result<(), Gone> {
    let position = event.position.get();
    let row = ask(ports, move |query| query.in_words(&event)).await.map_err(|_| Gone)?;
    frames.send("event", Some(position), &row).await
}
