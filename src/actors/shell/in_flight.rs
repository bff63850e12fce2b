//! What a state owes the world: one effect in flight per stream, called off when it is owed no more, tried again when its
//! failure may pass, and reported to the state like any command.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, SpawnHandle, WrapFuture};

use super::Shell;
use crate::actors::message::Finished;
use crate::actors::runner;
use crate::domain::effect::{Action, Effect, Failure, FailureKind, Outcome, Report};
use crate::domain::{Aggregate, Given};
use crate::effects::Cancel;
use crate::events::{AttemptFailed, EventReference, NewEvent};
use crate::storage::Commit;

/// Is the effect being carried out.
pub(super) struct InFlight {
    effect: Effect,
    attempt: u32,
    pub(super) cancel: Cancel,
    timer: Option<SpawnHandle>,
}

impl<A: Aggregate + Unpin> Shell<A> {
    /// Returns what is to be done now.
    fn owed(&self) -> Option<Effect> {
        self.replica.state.next_effect().filter(|_| !self.registry.holds_back(&self.stream))
    }

    /// Starts what the state owes, unless it is under way; calls off what it does not owe any more.
    pub(super) fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.parked.is_some() || self.registry.is_closing() {
            return;
        }
        let owed = self.owed();
        if let Some(flying) = &self.in_flight {
            if owed.as_ref() == Some(&flying.effect) {
                return;
            }
            flying.cancel.cancel();
            let Some(timer) = flying.timer else { return }; // its end is awaited: effects of a stream never overlap
            ctx.cancel_future(timer);
            self.in_flight = None;
        }
        if let Some(effect) = owed {
            self.start(effect, 1, ctx);
        }
    }

    fn start(&mut self, effect: Effect, attempt: u32, ctx: &mut Context<Self>) {
        let cancel = Cancel::default();
        let timer = match &effect.action {
            Action::Wake(due) => {
                let finished =
                    Finished { operation: effect.operation, step: effect.step, attempt, outcome: Outcome::Woken };
                let address = ctx.address();
                let wait = runner::wait(Arc::clone(&self.house().watch), *due, self.replica.named_at());
                Some(
                    ctx.spawn(
                        async move {
                            wait.await;
                            address.do_send(finished);
                        }
                        .into_actor(self),
                    ),
                )
            }
            Action::Ask(to, ask) => {
                let by = (self.stream.clone(), self.replica.version, self.replica.asker(effect.operation));
                runner::ask(Arc::clone(&self.registry), ctx.address(), by, &effect, (to.clone(), ask.clone()), attempt);
                None
            }
            Action::Host(work) => {
                runner::host(
                    self.house(),
                    ctx.address(),
                    &self.stream,
                    &effect,
                    (**work).clone(),
                    (attempt, cancel.clone()),
                );
                None
            }
        };
        self.in_flight = Some(InFlight { effect, attempt, cancel, timer });
    }

    /// Decides whether an effect that did not work is tried again, and if so when.
    fn tries_again(&mut self, finished: &Finished, ctx: &mut Context<Self>) -> bool {
        let Outcome::Failed(Failure { kind: FailureKind::Transient, reason, .. }) = &finished.outcome else {
            return false;
        };
        let Some(flying) = &self.in_flight else { return false };
        let effect = flying.effect.clone();
        let policy = self.house().retry;
        if flying.attempt >= policy.tries(effect.undo) || self.owed().as_ref() != Some(&effect) {
            return false;
        }
        tracing::warn!(stream = %self.stream, step = effect.step, attempt = flying.attempt, %reason, "trying again");
        let (attempt, pause) = (flying.attempt + 1, policy.pause_after(flying.attempt));
        let waited = tokio::time::sleep(pause).into_actor(self).map(move |(), shell, ctx| {
            if shell.owed().as_ref() == Some(&effect) {
                shell.start(effect, attempt, ctx);
            } else {
                shell.in_flight = None;
                shell.pump(ctx);
            }
        });
        // A pause between two tries is not waited for when something else is owed.
        let timer = Some(ctx.spawn(waited));
        if let Some(flying) = &mut self.in_flight {
            flying.timer = timer;
        }
        true
    }

    /// Records the first failure of a step that is tried again; the last one is told by the outcome, those between by the
    /// daemon's log.
    fn first_failure(&self, finished: &Finished) -> Option<Commit> {
        let Outcome::Failed(failure) = &finished.outcome else { return None };
        let failed = AttemptFailed {
            step: finished.step.to_owned(),
            reason: failure.reason.clone(),
            again: true,
            class: failure.class,
            code: None,
        };
        let events = vec![failed.written().ok().filter(|_| finished.attempt == 1)?];
        let given = Given { operation: finished.operation, at: self.house().clock.now() };
        let causation = Some(EventReference { stream: self.stream.clone(), version: self.replica.version });
        Some(self.commit_of(events, given, self.replica.asker(finished.operation), causation))
    }

    /// Returns what stands before the facts that follow from a failure or a refusal: which kind of answer it is, where that
    /// can be told. A way back that fails says nothing about why there was one.
    fn classed(effect: &Effect, outcome: &Outcome) -> Option<NewEvent> {
        let (reason, class, code) = match outcome {
            Outcome::Refused(refusal) => (&refusal.message, Some(refusal.class), Some(refusal.code.clone())),
            Outcome::Failed(failure) => (&failure.reason, failure.class, None),
            _ => return None,
        };
        class.filter(|_| !effect.undo)?;
        let (step, reason) = (effect.step.to_owned(), reason.clone());
        AttemptFailed { step, reason, again: false, class, code }.written().ok()
    }

    /// A report that changes nothing although its effect is still owed would be asked for again for ever.
    fn unheard(&mut self, effect: &Effect) {
        if self.replica.state.next_effect().as_ref() == Some(effect) {
            self.park(&format!("the plan has no answer to what came of {:?}", effect.step));
        }
    }
}

impl<A: Aggregate + Unpin> Handler<Finished> for Shell<A> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, finished: Finished, ctx: &mut Context<Self>) -> Self::Result {
        let ours = self.in_flight.as_ref().is_some_and(|flying| {
            (flying.effect.operation, flying.effect.step, flying.attempt)
                == (finished.operation, finished.step, finished.attempt)
        });
        if !ours {
            return Self::done();
        }
        if self.tries_again(&finished, ctx) {
            let first = self.first_failure(&finished);
            return first.map_or_else(Self::done, |commit| self.append(commit, Box::new(|_, _| ())));
        }
        let Some(flown) = self.in_flight.take() else { return Self::done() };
        let Finished { operation, step, attempt, outcome } = finished;
        let given = Given { operation, at: self.house().clock.now() };
        let classed = Self::classed(&flown.effect, &outcome);
        let command = A::Command::from(Report { operation, step, attempt, outcome });
        let causation = Some(EventReference { stream: self.stream.clone(), version: self.replica.version });
        let commit = match self.decide(&command, given) {
            Ok(facts) if facts.is_empty() => {
                self.unheard(&flown.effect);
                self.pump(ctx);
                return Self::done();
            }
            Ok(facts) => self.commit(&facts, given, self.replica.asker(operation), causation),
            Err(error) => Err(error),
        };
        match commit {
            Ok(mut commit) => {
                commit.events.splice(0..0, classed);
                self.append(commit, Box::new(|_, _| ()))
            }
            Err(error) => {
                self.park(&error);
                Self::done()
            }
        }
    }
}
