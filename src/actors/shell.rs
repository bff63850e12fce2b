//! The one generic actor: decide, append, evolve, then pay what the state owes.
//!
//! Commands are handled one at a time: while an append is awaited, nothing else is (`AtomicResponse`, which makes actix
//! hold the mailbox). Only the append is awaited there; asks to other actors and work for the host run beside, one in
//! flight per stream. When an append fails the state is no longer known: the actor ends and is made anew from the log.

mod in_flight;

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AtomicResponse, Context, Handler, WrapFuture, fut};
use tokio::sync::oneshot;

use super::house::House;
use super::message::{
    AskMessage, CommandError, Idempotency, Mode, Order, Perform, ReadAgain, ReadOn, Receipt, Rest, Wake,
};
use super::registry::Registry;
use super::replica::{ReplayError, Replica};
use crate::domain::effect::{Answer, Asked};
use crate::domain::{Aggregate, Given, Refusal, RefusalClass};
use crate::events::{self, Envelope, EventReference, NewEvent};
use crate::storage::{AppendError, Commit, Committed, Expected, Snapshot};
use crate::types::{Principal, StreamName};
use in_flight::InFlight;

/// How many commands may wait for one stream before it answers `busy`.
pub(super) const MAILBOX_CAPACITY: usize = 256;

/// Is the actor of one stream.
pub(super) struct Shell<A: Aggregate> {
    stream: StreamName,
    registry: Arc<Registry>,
    /// What follows by itself from the state is recorded under the name of whom it is as it is.
    replica: Replica<A>,
    in_flight: Option<InFlight>,
    parked: Option<Parked>,
    /// Whether an append failed: what the log has now is not known here.
    lost: bool,
    orderly: bool,
}

/// Says why nothing more is decided here.
struct Parked {
    reason: String,
    /// Whether the file could not be read as it was written.
    damaged: bool,
}

/// Is what follows an append.
type Continuation<A> = Box<dyn FnOnce(&mut Shell<A>, Result<Vec<Arc<Envelope>>, CommandError>)>;

impl<A: Aggregate + Unpin> Shell<A> {
    pub(super) fn new(stream: StreamName, registry: Arc<Registry>) -> Self {
        Self {
            stream,
            registry,
            replica: Replica::default(),
            in_flight: None,
            parked: None,
            lost: false,
            orderly: false,
        }
    }

    fn house(&self) -> &Arc<House> {
        self.registry.house()
    }

    /// Rebuilds the state from the log. Facts this program does not know park the stream, not the daemon.
    fn replay(&mut self) {
        match Replica::read(&*self.house().log, &self.stream) {
            Ok(replica) => self.replica = replica,
            Err(error) => self.park_unread(&error),
        }
    }

    fn park_unread(&mut self, error: &ReplayError) {
        self.park(error);
        let damaged = matches!(error, ReplayError::Read(error) if error.is_damage());
        self.parked = self.parked.take().map(|parked| Parked { damaged, ..parked });
    }

    /// Hands a snapshot over if one is due; nobody waits for it.
    fn keep(&mut self, due: impl FnOnce(&mut Replica<A>, &StreamName) -> Option<Snapshot>) {
        if self.parked.is_some() || self.lost {
            return;
        }
        if let Some(snapshot) = due(&mut self.replica, &self.stream) {
            self.house().log.keep(snapshot);
        }
    }

    fn park(&mut self, reason: &dyn std::fmt::Display) {
        tracing::error!(stream = %self.stream, %reason, "stream parked");
        self.parked = Some(Parked { reason: reason.to_string(), damaged: false });
    }

    fn understood(&self) -> Result<(), CommandError> {
        let Some(Parked { reason, damaged }) = &self.parked else { return Ok(()) };
        Err(CommandError::Parked { stream: self.stream.to_string(), reason: reason.clone(), damaged: *damaged })
    }

    fn decide(&self, command: &A::Command, given: Given) -> Result<Vec<A::Event>, CommandError> {
        self.understood()?;
        self.replica.state.decide(command, given).map_err(|rejection| CommandError::Refused(rejection.into()))
    }

    fn commit(
        &self,
        facts: &[A::Event],
        given: Given,
        principal: Principal,
        causation: Option<EventReference>,
    ) -> Result<Commit, CommandError> {
        let written: Result<Vec<NewEvent>, _> = facts.iter().map(|fact| events::encode(fact, None)).collect();
        let events =
            written.map_err(|error| CommandError::Log(AppendError::Unavailable { reason: error.to_string() }))?;
        Ok(self.commit_of(events, given, principal, causation))
    }

    fn commit_of(
        &self,
        events: Vec<NewEvent>,
        given: Given,
        principal: Principal,
        causation: Option<EventReference>,
    ) -> Commit {
        let house = self.house();
        Commit {
            stream: self.stream.clone(),
            expected: Expected::Version(self.replica.version),
            key: None,
            request_hash: [0; 32],
            context: events::Context {
                wall_clock: given.at,
                boot: house.boot.clone(),
                principal,
                operation: given.operation,
                causation,
                node: house.node,
            },
            events,
        }
    }

    /// Appends and, once that is durable, folds, pays what is owed, and goes on with `then`.
    fn append(&self, commit: Commit, then: Continuation<A>) -> AtomicResponse<Self, ()> {
        let receiver = self.house().log.append(commit);
        let done = receiver.into_actor(self).map(|result, shell: &mut Self, ctx: &mut Context<Self>| {
            let result =
                result.unwrap_or_else(|_| Err(AppendError::Unavailable { reason: "the log is closed".to_owned() }));
            let folded = shell.take_note(result, ctx);
            then(shell, folded);
            shell.keep(Replica::due_snapshot);
        });
        AtomicResponse::new(Box::pin(done))
    }

    fn take_note(
        &mut self,
        result: Result<Committed, AppendError>,
        ctx: &mut Context<Self>,
    ) -> Result<Vec<Arc<Envelope>>, CommandError> {
        match result {
            Ok(committed) => {
                self.registry.goes_well(&self.stream);
                if !committed.repeated {
                    for envelope in &committed.events {
                        if let Err(error) = self.replica.fold(envelope) {
                            self.park(&error);
                        }
                    }
                }
                self.pump(ctx);
                Ok(committed.events)
            }
            Err(error @ (AppendError::KeyReused { .. } | AppendError::Busy { .. } | AppendError::TooLarge { .. })) => {
                self.pump(ctx); // nothing was written, the state is known
                Err(CommandError::Log(error))
            }
            Err(error) => {
                tracing::error!(stream = %self.stream, %error, "append failed; the actor is made anew from the log");
                self.lost = true;
                ctx.stop();
                Err(CommandError::Log(error))
            }
        }
    }

    fn done() -> AtomicResponse<Self, ()> {
        AtomicResponse::new(Box::pin(fut::ready(())))
    }
}

impl<A: Aggregate + Unpin> Actor for Shell<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.replay();
        self.pump(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // An actor that ends owing something is made anew; one that owes nothing when it is next needed. After a failed
        // append the log may owe what this state does not: it is looked at again.
        let owes = self.lost || self.replica.state.next_effect().is_some();
        self.orderly = self.registry.is_closing() || !owes;
    }
}

impl<A: Aggregate> Drop for Shell<A> {
    fn drop(&mut self) {
        if let Some(flying) = &self.in_flight {
            flying.cancel.cancel();
        }
        if !self.orderly {
            self.registry.revive(self.stream.clone());
        }
    }
}

impl<A: Aggregate + Unpin> Handler<Perform<A>> for Shell<A> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, message: Perform<A>, _: &mut Context<Self>) -> Self::Result {
        let Perform { order, reply } = message;
        if let Some(receipt) = self.recall(order.idempotency.as_ref()).transpose() {
            let _ = reply.send(receipt);
            return Self::done();
        }
        let facts = match self.decide(&order.command, order.given) {
            Ok(facts) => facts,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Self::done();
            }
        };
        if facts.is_empty() || order.mode == Mode::DryRun {
            let _ = reply.send(Ok(Receipt { events: facts, recorded: vec![], repeated: false }));
            return Self::done();
        }
        match self.ordered(order, &facts) {
            Ok(commit) => self.append(commit, Box::new(move |_, result| answer_order(reply, facts, result))),
            Err(error) => {
                let _ = reply.send(Err(error));
                Self::done()
            }
        }
    }
}

fn answer_order<E>(
    reply: oneshot::Sender<Result<Receipt<E>, CommandError>>,
    events: Vec<E>,
    result: Result<Vec<Arc<Envelope>>, CommandError>,
) {
    let _ = reply.send(result.map(|recorded| Receipt { events, recorded, repeated: false }));
}

impl<A: Aggregate + Unpin> Shell<A> {
    /// Answers a request that was carried out before with what was recorded then.
    fn recall(&self, idempotency: Option<&Idempotency>) -> Result<Option<Receipt<A::Event>>, CommandError> {
        let Some(Idempotency { key, request }) = idempotency else { return Ok(None) };
        let Some(committed) = self.house().log.recall(key, *request)? else { return Ok(None) };
        let decoded =
            committed.events.iter().map(|envelope| events::decode(&envelope.kind, envelope.schema, &envelope.body));
        let events = decoded.collect::<Result<Vec<_>, _>>();
        let events = events.map_err(|error| AppendError::Unavailable { reason: error.to_string() })?;
        Ok(Some(Receipt { events, recorded: committed.events, repeated: true }))
    }

    fn ordered(&self, order: Order<A::Command>, facts: &[A::Event]) -> Result<Commit, CommandError> {
        let mut commit = self.commit(facts, order.given, order.principal, None)?;
        if let Some(first) = commit.events.first_mut() {
            first.annex = order.annex;
        }
        if let Some(Idempotency { key, request }) = order.idempotency {
            commit.key = Some(key);
            commit.request_hash = request;
        }
        Ok(commit)
    }
}

impl<A: Aggregate + Unpin> Handler<AskMessage> for Shell<A> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, message: AskMessage, _: &mut Context<Self>) -> Self::Result {
        let AskMessage { asked, causation, reply } = message;
        match self.asked(&asked, causation) {
            Ok(None) => {
                let _ = reply.send(Ok(self.replica.state.answer(&asked)));
                Self::done()
            }
            Ok(Some(commit)) => self.append(
                commit,
                Box::new(move |shell, result| {
                    let _ = reply.send(result.map(|_| shell.replica.state.answer(&asked)));
                }),
            ),
            Err(error) => {
                let _: Result<(), Result<Answer, CommandError>> = reply.send(Err(error));
                Self::done()
            }
        }
    }
}

impl<A: Aggregate + Unpin> Shell<A> {
    /// Returns what is to be recorded for an ask; nothing if it is so already, or was asked before: then the subject may
    /// have moved on, and doing it again would undo what came since.
    fn asked(&self, asked: &Asked, causation: Option<EventReference>) -> Result<Option<Commit>, CommandError> {
        self.understood()?;
        let key = asked.key();
        if self.house().log.recall(&key, [0; 32])?.is_some() {
            return Ok(None);
        }
        let given = Given { operation: asked.operation, at: asked.at };
        let command = A::Command::try_from(asked.clone())
            .map_err(|_| CommandError::Refused(not_understood(&self.stream, asked.ask.name())))?;
        let facts = self.decide(&command, given)?;
        if facts.is_empty() {
            return Ok(None);
        }
        let commit = self.commit(&facts, given, asked.principal.clone(), causation)?;
        Ok(Some(Commit { key: Some(key), ..commit }))
    }
}

fn not_understood(stream: &StreamName, ask: &str) -> Refusal {
    Refusal::new(RefusalClass::Invalid, "ask.not-understood", format!("{stream} does not know what {ask:?} means"))
}

impl<A: Aggregate + Unpin> Handler<Wake> for Shell<A> {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.pump(ctx);
    }
}

impl<A: Aggregate + Unpin> Handler<ReadOn> for Shell<A> {
    type Result = ();

    fn handle(&mut self, _: ReadOn, ctx: &mut Context<Self>) {
        if self.understood().is_err() {
            return;
        }
        if let Err(error) = self.replica.catch_up(&*self.registry.house().log, &self.stream) {
            self.park(&error);
        }
        self.pump(ctx);
    }
}

impl<A: Aggregate + Unpin> Handler<Rest> for Shell<A> {
    type Result = ();

    fn handle(&mut self, rest: Rest, _: &mut Context<Self>) {
        self.keep(Replica::last_snapshot);
        drop(rest.done);
    }
}

impl<A: Aggregate + Unpin> Handler<ReadAgain> for Shell<A> {
    type Result = ();

    fn handle(&mut self, message: ReadAgain, ctx: &mut Context<Self>) {
        if self.lost || self.parked.is_none() && !message.distrusted {
            return;
        }
        match Replica::read_whole(&*self.house().log, &self.stream) {
            Ok(replica) => {
                (self.replica, self.parked) = (replica, None);
                self.pump(ctx);
            }
            Err(error) => self.park_unread(&error),
        }
    }
}
