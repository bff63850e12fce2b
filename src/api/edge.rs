//! The edge: where everything that is not a rule is drawn, and a command is handed to its actor.
//!
//! [`Edge`] is what a change needs: who asks, the key that makes a repetition recognisable, the reason, the operation's id
//! and the time.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::forecast;
use super::look::{ask, block, ports};
use super::peer::Caller;
use super::ports::Ports;
use super::problem::{ApiError, ApiResult};
use super::resources::{Accepted, DryRun, RecordedFact};
use crate::actors::{Idempotency, Mode, Order, Receipt};
use crate::domain::container::{self, Container};
use crate::domain::directory::{self, Directory};
use crate::domain::{Aggregate, Given, Refusal, RefusalClass};
use crate::events::{self, DomainEvent, Envelope, HoldKind, Mark};
use crate::projections::query::{Moment, OperationFilter, Query, QueryError};
use crate::projections::rows::{ContainerRow, OperationRow, OperationState};
use crate::projections::told;
use crate::storage::Level;
use crate::sys;
use crate::types::{Category, Name, OperationId, Principal, StreamName, Timestamp};

/// The longest idempotency key, in bytes.
const KEY_LENGTH_MAX: usize = 200;

/// Is what a change needs.
pub struct Edge {
    /// The daemon.
    pub ports: web::Data<Ports>,
    /// Who asks.
    pub principal: Principal,
    /// Their user and group on this host.
    pub ids: (u32, u32),
    /// The operation that begins here.
    pub operation: OperationId,
    /// When it was asked for.
    pub at: Timestamp,
    /// What stands beside the first event: the reason and what else may be redacted.
    pub annex: Map<String, Value>,
    mode: Mode,
    key: Option<String>,
    request: [u8; 32],
    body: Bytes,
    warnings: RefCell<Vec<String>>,
}

/// Is the thing that a command is about, as the answer names it.
pub struct Subject {
    /// Its stream.
    pub stream: StreamName,
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// Says how much room in the log a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It takes space for long: create, backup, import.
    Much,
    /// It changes something.
    Some,
    /// It frees something or ends it: it is taken to the last.
    None,
}

impl Subject {
    /// Makes it.
    pub fn new(stream: StreamName, name: Option<impl ToString>) -> Self {
        Self { stream, name: name.map(|name| name.to_string()) }
    }
}

/// Draws sixteen random bytes for an id.
pub fn draw() -> ApiResult<[u8; 16]> {
    sys::random::bytes().map_err(|error| ApiError::Internal(format!("no randomness: {error}")))
}

impl FromRequest for Edge {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Bytes::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let body = body.await.map_err(|error| refused_body(&error))?;
            let edge = Self::new(&request, body)?;
            edge.recall().await?;
            Ok(edge)
        })
    }
}

fn refused_body(error: &actix_web::Error) -> ApiError {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => {
            Refusal::new(RefusalClass::Limit, "request.too-long", "the request has more bytes than are taken").into()
        }
        _ => ApiError::invalid("request.body", error),
    }
}

impl Edge {
    fn new(request: &HttpRequest, body: Bytes) -> ApiResult<Self> {
        let ports = ports(request)?;
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| ApiError::Internal("the caller is not known".to_owned()))?;
        // What is no text stays in the value, and is refused for it where it matters.
        let header = |name: &str| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let key = header("idempotency-key").map(|key| scoped_key(&caller.principal, &key)).transpose()?;
        let mut annex = Map::new();
        if let Some(reason) = header("berth-reason") {
            annex.insert("reason".to_owned(), Value::String(percent_decoded(&reason)));
        }
        let dry = header("berth-dry-run").map_or(Ok(false), |wish| is_dry(&wish))?;
        let at = ports.clock.now();
        Ok(Self {
            principal: caller.principal,
            ids: caller.ids,
            operation: OperationId::from_bytes(draw()?),
            at,
            annex,
            mode: if dry { Mode::DryRun } else { Mode::Commit },
            key,
            request: request_hash(request.method(), request.path(), &body),
            ports,
            body,
            warnings: RefCell::default(),
        })
    }

    /// Answers a request that was carried out before with what was recorded then, before anything is looked up again.
    async fn recall(&self) -> ApiResult<()> {
        let Some(key) = self.key.clone().filter(|_| self.mode == Mode::Commit) else { return Ok(()) };
        let (store, request) = (self.ports.registry.house().log.clone(), self.request);
        let Some(committed) = block(move || store.recall(&key, request)).await?? else { return Ok(()) };
        let Some(first) = committed.events.first() else { return Ok(()) };
        let subject = Subject { stream: first.stream.clone(), name: None };
        let accepted = self.accepted(&subject, &committed.events, true).await?;
        Err(ApiError::Repeated(Box::new(accepted)))
    }

    /// Reads the body of the request; none is an empty one.
    pub fn body<T: DeserializeOwned>(&self) -> ApiResult<T> {
        let bytes: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(bytes).map_err(|error| ApiError::invalid("request.body", error))
    }

    /// Forgets the key: for what cannot be repeated.
    pub fn forget_key(&mut self) {
        self.key = None;
    }

    /// Says whether nothing is meant.
    pub fn is_dry_run(&self) -> bool {
        self.mode == Mode::DryRun
    }

    /// Asks the read models about the present.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Query) -> Result<T, QueryError> + Send + 'static,
    ) -> ApiResult<T> {
        ask(&self.ports, question).await
    }

    /// Refuses what the log has no room for.
    pub fn check_room(&self, room: Room) -> ApiResult<()> {
        if let Some(error) = self.ports.registry.house().log.refuses() {
            return Err(error.into());
        }
        let level = (self.ports.log.level)();
        let refused = match room {
            Room::Much => level >= Level::Tight,
            Room::Some => level >= Level::Critical,
            Room::None => false,
        };
        if room != Room::None
            && let Some(why) = (self.ports.log.read_only)()
        {
            let message = format!("nothing can be recorded now, so nothing is begun: {why}");
            let refusal = Refusal::new(RefusalClass::Limit, "log.unwritable", message);
            return Err(refusal.hinted("berth node status").into());
        }
        if !refused {
            return Ok(());
        }
        let message = format!("the log's file system is too full for this (space is {})", level.as_str());
        let refusal = Refusal::new(RefusalClass::Limit, "log.no-space", message);
        Err(refusal.hinted("make room there, or remove for good what was deleted: berth container purge NAME").into())
    }

    /// Refuses what another aggregate would refuse later, before anything is recorded. Until then its answer may have
    /// become another: this spares an operation that must fail, and nothing relies on it.
    pub async fn foresee<A: Aggregate + Unpin>(&self, stream: &StreamName, command: A::Command) -> ApiResult<()> {
        let order = Order {
            command,
            given: Given { operation: self.operation, at: self.at },
            principal: self.principal.clone(),
            idempotency: None,
            annex: None,
            mode: Mode::DryRun,
        };
        match self.ports.registry.perform::<A>(stream, order).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.by_name(error.into()).await),
        }
    }

    /// Refuses what a container will not let anybody do with its files now: another one holds it, or is at work.
    pub async fn foresee_hold(&self, row: &ContainerRow, kind: HoldKind, by: &StreamName) -> ApiResult<()> {
        let (stream, by) = (StreamName::new(Category::Container, row.id), by.clone());
        let foreseen = self.foresee::<Container>(&stream, container::Command::Hold { kind, by }).await;
        foreseen.map_err(|error| error.named(Some(row.name.as_str())))
    }

    /// Puts names where a refusal says streams.
    async fn by_name(&self, error: ApiError) -> ApiError {
        let ApiError::Refused(refusal) = error else { return error };
        let text = refusal.message.clone();
        let message = self.ask(move |query| Ok(query.by_name(&text))).await;
        ApiError::Refused(Refusal { message: message.unwrap_or(refusal.message), ..refusal })
    }

    /// Refuses a name that is taken; `holder` is who would have it.
    pub async fn foresee_name(&self, holder: &StreamName, name: &Name) -> ApiResult<()> {
        let names = StreamName::new(Category::Directory, holder.category());
        let reserve = directory::Command::Reserve { name: name.clone(), holder: holder.clone() };
        self.foresee::<Directory>(&names, reserve).await
    }

    /// Refuses a name that somebody else has; whatever else stands against `holder` having it is for the holder to say.
    pub async fn foresee_free(&self, holder: &StreamName, name: &Name) -> ApiResult<()> {
        match self.foresee_name(holder, name).await {
            Err(ApiError::Refused(refusal)) if refusal.code == directory::SECOND => Ok(()),
            foreseen => foreseen,
        }
    }

    /// Gives a command and answers with what came of it.
    pub async fn perform<A: Aggregate + Unpin>(&self, subject: Subject, command: A::Command) -> ApiResult {
        let receipt = self.give::<A>(&subject, command, None).await?;
        self.answer::<A>(&subject, receipt).await
    }

    /// Gives a command; `part` tells the commands of one request apart.
    pub async fn give<A: Aggregate + Unpin>(
        &self,
        subject: &Subject,
        command: A::Command,
        part: Option<&str>,
    ) -> ApiResult<Receipt<A::Event>> {
        let order = self.order(command, part)?;
        match self.ports.registry.perform::<A>(&subject.stream, order).await {
            Ok(receipt) => Ok(receipt),
            Err(error) => Err(self.by_name(ApiError::from(error).named(subject.name.as_deref())).await),
        }
    }

    /// Makes a command an order of the caller's; `part` tells the commands of one request apart.
    pub fn order<C>(&self, command: C, part: Option<&str>) -> ApiResult<Order<C>> {
        let key = self.key.as_ref().map(|key| part.map_or_else(|| key.clone(), |part| format!("{key}#{part}")));
        Ok(Order {
            command,
            given: Given { operation: self.operation, at: self.at },
            principal: self.principal.clone(),
            idempotency: key.map(|key| Idempotency { key, request: self.request }),
            annex: self.annex_bytes()?,
            mode: self.mode,
        })
    }

    /// Returns what stands beside the first event, as it is recorded.
    pub fn annex_bytes(&self) -> ApiResult<Option<Vec<u8>>> {
        let annex = (!self.annex.is_empty()).then(|| serde_json::to_vec(&self.annex)).transpose();
        annex.map_err(|error| ApiError::Internal(error.to_string()))
    }

    /// Adds to what the answer warns of.
    pub fn warn(&self, words: impl IntoIterator<Item = String>) {
        self.warnings.borrow_mut().extend(words);
    }

    /// Answers with what came of the last command of a request.
    pub async fn answer<A: Aggregate>(&self, subject: &Subject, receipt: Receipt<A::Event>) -> ApiResult {
        if self.mode == Mode::DryRun {
            return self.dry_run::<A>(subject, receipt.events).await;
        }
        Ok(HttpResponse::Accepted().json(self.accepted(subject, &receipt.recorded, receipt.repeated).await?))
    }

    /// Answers that it is done, though nothing of it is recorded.
    pub fn done_unrecorded(&self, subject: &Subject) -> ApiResult {
        let (id, name) = (subject.stream.key().to_owned(), subject.name.clone());
        let (operation, stream, warnings) = (self.operation, subject.stream.clone(), self.warnings.take());
        let accepted = Accepted { operation, stream, id, name, events: vec![], done: true, repeated: false, warnings };
        Ok(HttpResponse::Ok().json(accepted))
    }

    async fn dry_run<A: Aggregate>(&self, subject: &Subject, facts: Vec<A::Event>) -> ApiResult {
        let given = Given { operation: self.operation, at: self.at };
        let (store, stream) = (self.ports.registry.house().log.clone(), subject.stream.clone());
        let events = facts.iter().map(wished).collect::<Result<_, _>>();
        let events = events.map_err(|error| ApiError::Internal(error.to_string()))?;
        let expected = block(move || forecast::expected::<A>(&*store, &stream, &facts, given)).await?;
        Ok(HttpResponse::Ok().json(DryRun { dry_run: true, events, expected }))
    }

    /// Puts the answer together; whether anything is left to wait for is what the read model says right now. What came to
    /// nothing meanwhile is not done: whoever waits for it hears why.
    async fn accepted(&self, subject: &Subject, events: &[Arc<Envelope>], repeated: bool) -> ApiResult<Accepted> {
        let mut operation = events.first().map_or(self.operation, |event| event.context.operation);
        let mut done = true;
        if let Some(first) = events.first().cloned()
            && let Some(row) = self.ask(move |query| carried_by(query, &first)).await?
        {
            (operation, done) = (row.id, row.state == OperationState::Done);
        }
        let (id, name) = (subject.stream.key().to_owned(), subject.name.clone());
        let events = events.iter().map(|event| recorded(event)).collect();
        let (stream, warnings) = (subject.stream.clone(), self.warnings.take());
        Ok(Accepted { operation, stream, id, name, events, done, repeated, warnings })
    }
}

/// Returns the operation that a command's first fact opened, or moved: an impatient stop hurries the stop under way, and
/// that one is to be waited for.
fn carried_by(query: &Query, first: &Envelope) -> Result<Option<OperationRow>, QueryError> {
    let rows = query.operation_rows(&first.context.operation.to_string(), Moment::Now)?;
    let own = rows.into_iter().find(|row| row.stream == first.stream);
    let moves = told(first).is_some_and(|told| matches!(told.mark, Mark::Phase { .. }));
    if own.is_some() || !moves {
        return Ok(own);
    }
    let about = OperationFilter { open: false, target: Some(first.stream.clone()), limit: None };
    let rows = query.operations(&about, Moment::Now)?;
    Ok(rows.into_iter().find(|row| row.stream == first.stream && row.opened < first.position))
}

fn wished<E: DomainEvent>(fact: &E) -> Result<RecordedFact, serde_json::Error> {
    let event = events::encode(fact, None)?;
    let body = Some(serde_json::from_slice(&event.body)?);
    Ok(RecordedFact { kind: event.kind, sentence: fact.sentence(), body, position: None })
}

fn recorded(event: &Envelope) -> RecordedFact {
    let sentence = told(event).map(|told| told.sentence).unwrap_or_default();
    RecordedFact { kind: event.kind.clone(), sentence, body: None, position: Some(event.position) }
}

/// Reads whether a request is only tried: what is neither yes nor no must not be done.
fn is_dry(wish: &str) -> ApiResult<bool> {
    wish.parse().map_err(|_| {
        let message = format!("the header Berth-Dry-Run is true or false, not {wish:?}");
        ApiError::invalid("request.dry-run", message)
    })
}

/// One caller's keys are not another's.
fn scoped_key(principal: &Principal, key: &str) -> ApiResult<String> {
    if key.is_empty() || key.len() > KEY_LENGTH_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("an Idempotency-Key has 1 to {KEY_LENGTH_MAX} printable ASCII characters without spaces");
        return Err(ApiError::invalid("idempotency.key-invalid", message));
    }
    Ok(format!("{}/{key}", principal.who))
}

/// What makes two requests the same: method, path, body, each with its length before it.
fn request_hash(method: &Method, path: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Reads a header that carries UTF-8 as RFC 3986 writes it; what is not encoded stands for itself.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).filter(|code| bytes[at] == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        let code =
            code.and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reason_survives_its_header() {
        assert_eq!(percent_decoded("caf%C3%A9%20100%25 %zz%"), "café 100% %zz%");
    }

    #[test]
    fn requests_that_differ_anywhere_hash_apart() {
        let hash = |path: &str, body: &str| request_hash(&Method::POST, path, body.as_bytes());
        assert_ne!(hash("/v1/a", "b"), hash("/v1/ab", ""));
        assert_eq!(hash("/v1/a", "b"), hash("/v1/a", "b"));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in ".{0,60}") {
            let _ = percent_decoded(&text);
        }
    }
}
